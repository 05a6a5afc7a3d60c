// Client connections that begin with a PROXY header: whose it is counts from trusted peers alone, and
// from those it must come.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "http/h2_shared.h"
#include "tests/loop/h1_server_fixture.h"
#include "tests/support/h2_client.h"

namespace portunus::http {
namespace {

constexpr const char* kLine = "PROXY TCP4 192.0.2.7 198.51.100.9 4711 80\r\n";

class ProxyHeaderTest : public H1ServerTest {
 protected:
  ProxyHeaderTest() {
    EXPECT_TRUE(trusted_.add("127.0.0.0/8"));
    context_.proxies = &trusted_;
  }
  StreamHandler* on_stream(Stream& stream, const ClientInfo& client) override {
    clients_.push_back(client);
    return H1ServerTest::on_stream(stream, client);
  }
  void on_no_proxy_header(ServerConnection&, std::string_view why) override {
    refusals_.emplace_back(why);
  }
  // Sends, and waits for the end; what was answered.
  std::string refused_answer(Peer& peer, std::string_view bytes) {
    peer.send(bytes);
    EXPECT_TRUE(driver_.run_until([&] { return peer.is_over(); }));
    return peer.take();
  }

  net::CidrSet trusted_;
  std::vector<ClientInfo> clients_;
  std::vector<std::string> refusals_;
};

TEST_F(ProxyHeaderTest, SaysWhoTheClientIs) {
  auto peer = connect();
  EXPECT_TRUE(starts_with(talk(*peer, std::string(kLine) + kGet), "HTTP/1.1 200"));
  ASSERT_EQ(clients_.size(), 1U);
  EXPECT_EQ(clients_[0].source.text(), "192.0.2.7:4711");
  EXPECT_EQ(clients_[0].local.text(), "198.51.100.9:80");
  EXPECT_EQ(clients_[0].peer.ip_text(), "127.0.0.1");
  // It stands for all of the connection, and comes once.
  EXPECT_TRUE(starts_with(talk(*peer, kGet), "HTTP/1.1 200"));
  EXPECT_EQ(clients_[1].source.text(), "192.0.2.7:4711");
  EXPECT_TRUE(starts_with(refused_answer(*peer, kLine), "HTTP/1.1 501"));
  EXPECT_TRUE(refusals_.empty());
}

TEST_F(ProxyHeaderTest, ComesInPieces) {
  const std::string all = std::string(kLine) + kGet;
  for (const std::size_t cut : {std::size_t{1}, std::size_t{5}, std::size_t{6}, std::size_t{20},
                                std::string(kLine).size() - 1, std::string(kLine).size()}) {
    auto peer = connect();
    EXPECT_EQ(talk(*peer, std::string_view(all).substr(0, cut)), "");
    EXPECT_TRUE(starts_with(talk(*peer, std::string_view(all).substr(cut)), "HTTP/1.1 200"));
    EXPECT_EQ(clients_.back().source.text(), "192.0.2.7:4711") << cut;
  }
}

TEST_F(ProxyHeaderTest, MaySayNothing) {
  using namespace std::string_literals;
  for (const std::string& header : {"PROXY UNKNOWN\r\n"s, "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"s}) {
    auto peer = connect();
    EXPECT_TRUE(starts_with(talk(*peer, header + kGet), "HTTP/1.1 200"));
    EXPECT_EQ(clients_.back().source, clients_.back().peer);
    EXPECT_FALSE(clients_.back().local.is_set());
  }
}

TEST_F(ProxyHeaderTest, IsNeededOfWhoIsTrusted) {
  auto without = connect();
  EXPECT_EQ(refused_answer(*without, kGet), "");
  auto broken = connect();
  EXPECT_EQ(refused_answer(*broken, "PROXY TCP4 a b c d\r\n"), "");
  EXPECT_EQ(refusals_,
            (std::vector<std::string>{"there is no PROXY header", "an address is malformed"}));
  EXPECT_TRUE(clients_.empty() && refused_.empty());
}

TEST_F(ProxyHeaderTest, HasToComeInTime) {
  context_.headers_ms = 50;
  auto silent = connect();
  auto slow = connect();
  EXPECT_EQ(refused_answer(*slow, "PROXY TCP4 192.0."), "");
  EXPECT_TRUE(driver_.run_until([&] { return silent->is_over(); }));
  EXPECT_EQ(refusals_, (std::vector<std::string>{"too slow", "too slow"}));
}

TEST_F(ProxyHeaderTest, WhoOnlyLooksDoesNoWrong) {
  auto looks = connect();
  driver_.settle();
  looks->end_writing();
  EXPECT_TRUE(driver_.run_until([&] { return looks->is_over(); }));
  EXPECT_TRUE(refusals_.empty());
  auto breaks_off = connect();
  talk(*breaks_off, "PROXY TC");
  breaks_off->end_writing();
  EXPECT_TRUE(driver_.run_until([&] { return breaks_off->is_over(); }));
  EXPECT_EQ(refusals_, std::vector<std::string>{"the header has no end"});
}

TEST_F(ProxyHeaderTest, OfStrangersIsNoHeader) {
  net::CidrSet others;
  ASSERT_TRUE(others.add("192.0.2.0/24"));
  context_.proxies = &others;
  auto peer = connect();
  EXPECT_TRUE(starts_with(refused_answer(*peer, std::string(kLine) + kGet), "HTTP/1.1 501"));
  using namespace std::string_literals;
  auto binary = connect();
  EXPECT_TRUE(starts_with(
      refused_answer(*binary, "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"s + std::string(12, '\1') + kGet),
      "HTTP/1.1 400"));
  EXPECT_TRUE(clients_.empty() && refusals_.empty());
}

TEST_F(ProxyHeaderTest, EndsWithTheListener) {
  auto peer = connect();
  talk(*peer, "PROXY ");
  ASSERT_EQ(open_.size(), 1U);
  driver_.turn([&] {
    open_[0]->shut_down({EndReason::shutdown, base::Side::internal, base::Retry::no, ""});
  });
  EXPECT_TRUE(driver_.run_until([&] { return peer->is_over(); }));
  EXPECT_EQ(refusals_, std::vector<std::string>{"closed by us"});
}

TEST_F(ProxyHeaderTest, StandsInFrontOfAnyProtocol) {
  H2Shared shared;
  context_.h2 = &shared;
  auto peer = connect();
  const std::string all =
      std::string(kLine) + std::string(test::kH2Preface) + std::string("\0\0\0\4\0\0\0\0\0", 9);
  peer->send(all);
  driver_.settle();
  // SETTINGS of ours.
  const std::string answer = peer->take();
  ASSERT_GE(answer.size(), 9U);
  EXPECT_EQ(answer[3], '\4');
  peer->close();
  EXPECT_TRUE(driver_.run_until([&] { return open_.empty(); }));
}

}  // namespace
}  // namespace portunus::http
