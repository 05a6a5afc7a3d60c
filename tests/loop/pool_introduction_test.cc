// A pool whose members are told by a PROXY header who the client is: first, once, and for nobody else.
#include "net/proxy_protocol.h"
#include "tests/unit/proxy/exchange_fixture.h"

namespace portunus::proxy {
namespace {

class PoolIntroduction : public testing::Test {
 protected:
  void start(net::ProxyVersion version) {
    for (auto& member : world_.members)
      member->listen();
    settings().proxy_protocol = version;
    world_.start();
  }
  conf::Pool& settings() { return world_.model->pools[0]; }
  // With other settings, as a reload brings them.
  void change(net::ProxyVersion version) {
    other_ = world_.generation->model->pools[0];
    other_.proxy_protocol = version;
    world_.driver.turn([&] {
      world_.pool().configure(other_, world_.generation->members[0],
                              world_.generation->pool_shares[0]);
    });
    world_.driver.settle();
  }
  static constexpr std::string_view kLine = "PROXY TCP4 192.0.2.1 0.0.0.0 1234 0\r\n";

  ProxyWorld world_{1};
  conf::Pool other_;
};

TEST_F(PoolIntroduction, StandsInFrontOfTheRequest) {
  start(net::ProxyVersion::v1);
  const auto client = world_.request(Method::get);
  Peer& member = asked(world_);
  EXPECT_TRUE(member.in.starts_with(std::string(kLine) + "GET / HTTP/1.1\r\n")) << member.in;
  EXPECT_TRUE(has(member.in, "connection: close\r\n")) << member.in;
  says(world_, member, kOk);
  expect_record(world_, "ok", 1);
}

TEST_F(PoolIntroduction, IsBinaryInVersion2) {
  start(net::ProxyVersion::v2);
  const auto client = world_.request(Method::get);
  Peer& member = asked(world_);
  const net::ProxyHeader header = net::read_proxy_header({member.in.data(), member.in.size()});
  ASSERT_EQ(header.step, net::ProxyHeader::Step::done);
  EXPECT_EQ(header.source.text(), "192.0.2.1:1234");
  EXPECT_TRUE(member.in.substr(header.size).starts_with("GET / HTTP/1.1\r\n")) << member.in;
  says(world_, member, kOk);
}

TEST_F(PoolIntroduction, NoConnectionIsUsedTwice) {
  start(net::ProxyVersion::v1);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto client = world_.request(Method::get);
    Peer& member = asked(world_, 0, i);
    EXPECT_TRUE(member.in.starts_with(kLine)) << member.in;
    says(world_, member, kOk);
    EXPECT_TRUE(world_.driver.run_until([&] { return member.is_over(); }));
  }
  EXPECT_FALSE(world_.pool().has_open_connections());
}

TEST_F(PoolIntroduction, KeptConnectionsAreNotUsedOnceItIsWanted) {
  start(net::ProxyVersion::none);
  const auto first = world_.request(Method::get);
  says(world_, asked(world_), kOk);
  EXPECT_TRUE(world_.pool().has_open_connections());
  change(net::ProxyVersion::v1);
  const auto second = world_.request(Method::get);
  Peer& member = asked(world_, 0, 1);
  EXPECT_TRUE(member.in.starts_with(kLine)) << member.in;
  says(world_, member, kOk);
}

// It was opened for a client, and is nobody else's when settings have changed meanwhile.
TEST_F(PoolIntroduction, IsNotInheritedWhenItIsNotWantedAnyMore) {
  start(net::ProxyVersion::v1);
  const auto first = world_.request(Method::get);
  Peer& old = asked(world_);
  change(net::ProxyVersion::none);
  says(world_, old, kOk);
  EXPECT_TRUE(world_.driver.run_until([&] { return old.is_over(); }));
  const auto second = world_.request(Method::get);
  Peer& member = asked(world_, 0, 1);
  EXPECT_TRUE(member.in.starts_with("GET / HTTP/1.1\r\n")) << member.in;
  EXPECT_FALSE(has(member.in, "connection: close\r\n"));
  says(world_, member, kOk);
}

TEST_F(PoolIntroduction, EachTryHasItsOwn) {
  settings().retry.window = base::Milliseconds(5'000);
  settings().retry.pause = base::Milliseconds(20);
  start(net::ProxyVersion::v1);
  const auto client = world_.request(Method::get);
  asked(world_).close();
  world_.driver.settle();
  ASSERT_TRUE(world_.driver.run_until([&] { return world_.members[0]->peers.size() > 1; }));
  Peer& member = asked(world_, 0, 1);
  EXPECT_TRUE(member.in.starts_with(std::string(kLine) + "GET / HTTP/1.1\r\n")) << member.in;
  says(world_, member, kOk);
}

}  // namespace
}  // namespace portunus::proxy
