// HTTP/1 and HTTP/2 on one listener in the clear: the first bytes tell (RFC 9113 section 3.3).
#include <nghttp2/nghttp2.h>

#include "tests/loop/h2_session_fixture.h"

namespace portunus::http {
namespace {

class H2PriorKnowledge : public H2SessionTest {
 protected:
  H2PriorKnowledge() { context_.has_h1 = true; }

  // All that a client of HTTP/1 gets when its bytes come in two pieces.
  std::string talk_h1(std::string_view bytes, std::size_t cut) {
    auto peer = Peer::connect_to(driver_, port_);
    if (cut > 0) {
      peer->send(bytes.substr(0, cut));
      driver_.settle();
    }
    peer->send(bytes.substr(cut));
    driver_.settle();
    return peer->take();
  }
};

TEST_F(H2PriorKnowledge, PrefaceInAnyTwoPieces) {
  const std::string bytes = std::string(test::kH2Preface) + h2_settings() + h2_get(1, "/x");
  for (std::size_t cut = 0; cut < 40; ++cut) {
    auto peer = connect_raw();
    if (cut > 0) talk(*peer, std::string_view(bytes).substr(0, cut));
    talk(*peer, std::string_view(bytes).substr(cut));
    EXPECT_EQ(peer->stream(1).body, "GET /x|") << cut;
  }
}

TEST_F(H2PriorKnowledge, Http1InAnyTwoPieces) {
  for (const std::string method : {"GET", "POST", "PUT", "PATCH", "PROPFIND", "OPTIONS"}) {
    const std::string bytes = method + " /x HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    for (std::size_t cut = 0; cut < 12; ++cut) {
      const std::string answer = talk_h1(bytes, cut);
      EXPECT_EQ(answer.substr(0, 15), "HTTP/1.1 200 OK") << method << " " << cut;
      EXPECT_NE(answer.find(method + " /x|"), std::string::npos) << method << " " << cut;
    }
  }
}

TEST_F(H2PriorKnowledge, AlmostAPrefaceIsABadRequest) {
  for (const std::string bytes :
       {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", "PRI * HTTP/1.1\r\n\r\n", "PRX * HTTP/2.0\r\n\r\n"}) {
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
      const std::string answer = talk_h1(bytes, cut);
      EXPECT_TRUE(answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5"))
          << bytes << " " << cut << " " << answer;
    }
  }
  EXPECT_TRUE(handlers_.empty());
}

// Only at the very beginning.
TEST_F(H2PriorKnowledge, NotBehindARequest) {
  const std::string answer =
      talk_h1("GET /x HTTP/1.1\r\nhost: x\r\n\r\n" + std::string(test::kH2Preface), 0);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK"));
  EXPECT_NE(answer.find("HTTP/1.1 505"), std::string::npos) << answer;
}

TEST_F(H2PriorKnowledge, APartOfAPrefaceHasItsTime) {
  context_.headers_ms = 200;
  auto peer = connect_raw();
  peer->socket->send(test::kH2Preface.substr(0, 20));
  EXPECT_TRUE(driver_.run_until([&] { return peer->socket->is_over(); }));
  EXPECT_TRUE(driver_.run_until([&] { return open_.empty(); }));
}

TEST_F(H2PriorKnowledge, NotWhereItIsNotSpoken) {
  context_.h2 = nullptr;
  EXPECT_TRUE(talk_h1(test::kH2Preface, 0).starts_with("HTTP/1.1 50"));
}

}  // namespace
}  // namespace portunus::http
