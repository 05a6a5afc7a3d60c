// A pool whose members speak HTTP/2: requests share connections, and what becomes of them when a
// connection goes or the pool changes. The members are the test's own, with raw frames.
#include <map>

#include "tests/support/h2_client.h"
#include "tests/unit/proxy/exchange_fixture.h"

namespace portunus::proxy {
namespace {

using test::h2_data;
using test::h2_frame;
using test::h2_headers;
using test::h2_settings;

class PoolH2Test : public testing::Test {
 protected:
  void start() {
    world_.model->pools[0].protocol = conf::UpstreamProtocol::h2c;
    for (auto& member : world_.members)
      member->listen();
    world_.start();
  }
  // What the member has got on its i-th connection.
  test::H2Reader& got(std::size_t i = 0) {
    test::Peer& peer = world_.connection(0, i);
    std::string bytes = peer.take();
    test::H2Reader*& reader = readers_[i];
    if (reader == nullptr && !bytes.empty()) {
      EXPECT_TRUE(bytes.starts_with(test::kH2Preface));
      bytes.erase(0, test::kH2Preface.size());
    }
    if (reader == nullptr) {
      owned_.push_back(std::make_unique<test::H2Reader>());
      reader = owned_.back().get();
    }
    reader->feed(bytes);
    return *reader;
  }
  void says(std::string_view bytes, std::size_t i = 0) {
    world_.connection(0, i).send(bytes);
    world_.driver.settle();
  }
  static std::string ok(std::uint32_t id) {
    return h2_headers(id, {{":status", "200"}}, false) + h2_data(id, "ok", true);
  }
  static std::string goaway(std::uint32_t last) {
    return h2_frame(NGHTTP2_GOAWAY, 0, 0, test::h2_number(last, 4) + test::h2_number(0, 4));
  }
  std::size_t connections() { return world_.members[0]->peers.size(); }

  ProxyWorld world_{1};
  std::map<std::size_t, test::H2Reader*> readers_;
  std::vector<std::unique_ptr<test::H2Reader>> owned_;
};

TEST_F(PoolH2Test, RequestsShareAConnectionFromItsBeginning) {
  start();
  std::vector<std::unique_ptr<test::RecordedClient>> clients;
  for (int i = 0; i < 3; ++i)
    clients.push_back(world_.request(Method::get));
  EXPECT_EQ(connections(), 1U);
  EXPECT_EQ(got().streams.size(), 3U);
  says(h2_settings() + ok(5) + ok(1) + ok(3));
  for (const auto& client : clients)
    EXPECT_EQ(client->stream.status, 200);
  auto next = world_.request(Method::post);
  says(ok(7));
  EXPECT_EQ(next->stream.status, 200);
  EXPECT_EQ(connections(), 1U);
  EXPECT_EQ(world_.member(0).connections.load(), 1U);
}

TEST_F(PoolH2Test, AnotherConnectionWhenOneIsFull) {
  start();
  auto first = world_.request(Method::get);
  says(h2_settings({{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1}}));
  auto second = world_.request(Method::get);
  EXPECT_EQ(connections(), 2U);
  says(ok(1));
  says(h2_settings() + ok(1), 1);
  EXPECT_EQ(first->stream.status, 200);
  EXPECT_EQ(second->stream.status, 200);
}

// Neither has reached the member, so that it may be sent again even though it is a POST.
TEST_F(PoolH2Test, WhatTheMemberHasNotSeenIsSentAgainOnANewConnection) {
  start();
  auto warm = world_.request(Method::get);
  says(h2_settings() + ok(1));
  auto refused = world_.request(Method::post);
  says(test::h2_reset(3, NGHTTP2_REFUSED_STREAM));
  ASSERT_EQ(connections(), 2U);
  EXPECT_EQ(refused->stream.status, 0);
  auto unseen = world_.request(Method::post);  // the first connection goes on
  ASSERT_EQ(got().streams.size(), 3U);
  says(goaway(3));
  says(h2_settings() + ok(1) + ok(3), 1);
  EXPECT_EQ(refused->stream.status, 200);
  ASSERT_EQ(connections(), 3U) << "not one that had stood before";
  says(h2_settings() + ok(1), 2);
  EXPECT_EQ(unseen->stream.status, 200);
}

TEST_F(PoolH2Test, APostThatMayHaveBeenSeenIsNotSentAgain) {
  world_.model->pools[0].retry.window = base::Milliseconds(5'000);
  world_.model->pools[0].retry.pause = base::Milliseconds(10);
  start();
  auto warm = world_.request(Method::get);
  says(h2_settings() + ok(1));
  auto lost = world_.request(Method::post);
  auto safe = world_.request(Method::get);
  world_.connection().close();
  ASSERT_TRUE(world_.driver.run_until([&] { return connections() == 2; }));
  world_.driver.settle();
  EXPECT_EQ(lost->stream.status, 502);
  says(h2_settings() + ok(1), 1);
  EXPECT_EQ(safe->stream.status, 200);
}

// The connection goes on, so the request has been seen: nothing is sent again without being asked for.
TEST_F(PoolH2Test, AResetOfOneRequestIsNoClosedConnection) {
  world_.model->pools[0].retry.window = base::Milliseconds(0);
  start();
  auto warm = world_.request(Method::get);
  says(h2_settings() + ok(1));
  auto failed = world_.request(Method::get);
  says(test::h2_reset(3, NGHTTP2_INTERNAL_ERROR));
  EXPECT_EQ(failed->stream.status, 502);
  EXPECT_EQ(connections(), 1U);
  EXPECT_EQ(got().streams.size(), 2U);
}

TEST_F(PoolH2Test, AllWhoWaitForAConnectionHearOfItsFailure) {
  world_.model->pools[0].protocol = conf::UpstreamProtocol::h2c;
  world_.model->pools[0].retry.window = base::Milliseconds(0);
  world_.start();  // the member does not listen
  auto a = world_.request(Method::get);
  auto b = world_.request(Method::get);
  ASSERT_TRUE(world_.driver.run_until([&] { return a->stream.status != 0; }));
  EXPECT_EQ(a->stream.status, 502);
  EXPECT_EQ(b->stream.status, 502);
}

TEST_F(PoolH2Test, WhoGivesUpIsTakenBackAndTheConnectionStays) {
  start();
  auto gone = world_.request(Method::get);
  auto stays = world_.request(Method::get);
  world_.reset(*gone);
  EXPECT_EQ(got().streams.at(1).code, NGHTTP2_CANCEL);
  says(h2_settings() + ok(3));
  EXPECT_EQ(stays->stream.status, 200);
}

TEST_F(PoolH2Test, AMemberThatLeavesAnswersWhatItHas) {
  start();
  auto client = world_.request(Method::get);
  says(h2_settings());
  world_.driver.turn([&] { world_.pool().set_members(std::make_shared<MemberList>()); });
  world_.driver.settle();
  says(ok(1));
  EXPECT_EQ(client->stream.status, 200);
  EXPECT_TRUE(world_.driver.run_until([&] { return !world_.pool().has_open_connections(); }));
  EXPECT_EQ(got().goaways, std::vector<int>{NGHTTP2_NO_ERROR});
}

TEST_F(PoolH2Test, AnotherProtocolFromTheNextRequestOn) {
  start();
  auto before = world_.request(Method::get);
  says(h2_settings());
  conf::Pool other = world_.generation->model->pools[0];
  other.protocol = conf::UpstreamProtocol::h1;
  world_.driver.turn([&] {
    world_.pool().configure(other, world_.generation->members[0],
                            world_.generation->pool_shares[0]);
  });
  auto after = world_.request(Method::get);
  ASSERT_EQ(connections(), 2U);
  says("HTTP/1.1 204 No Content\r\n\r\n", 1);
  EXPECT_EQ(after->stream.status, 204);
  says(ok(1));
  EXPECT_EQ(before->stream.status, 200);
  EXPECT_TRUE(world_.driver.run_until([&] { return world_.member(0).connections.load() == 1; }));
  world_.driver.turn([&] {
    world_.pool().configure(world_.generation->model->pools[0], world_.generation->members[0],
                            world_.generation->pool_shares[0]);
  });
}

}  // namespace
}  // namespace portunus::proxy
