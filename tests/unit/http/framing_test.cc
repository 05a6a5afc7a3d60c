// The rows of THREATS.md section 1 go through the parser in h1_parser_test.cc. Here: what no HTTP/1
// parser lets through, as another protocol's parser might.
#include "http/framing.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace portunus::http {
namespace {

using base::EndReason;
using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

class Framing : public testing::Test {
 protected:
  EndReason judge(const Fields& fields, Protocol protocol = Protocol::http11) {
    head.clear();
    head.protocol = protocol;
    for (const auto& [name, value] : fields)
      head.fields.add(name, value);
    return judge_request(head, arena).reason;
  }
  EndReason judge_host(std::string_view host) { return judge({{"host", host}}); }

  base::ChunkPool pool;
  base::Arena arena{pool};
  Head head;
};

TEST_F(Framing, NamesAndValues) {
  for (const std::string_view name :
       {"", " ", "a ", " a", "a:b", "a\nb", "a\r\nb: c", "\x80", "a(b)", "a\"b"}) {
    EXPECT_EQ(judge({{"host", "a"}, {name, "x"}}), EndReason::rejected_header) << name;
  }
  for (const std::string_view name : {"a", "x-y", "!#$%&'*+-.^`|~0"}) {
    EXPECT_EQ(judge({{"host", "a"}, {name, "x"}}), EndReason::ok) << name;
  }
  // A bad byte at every place of values of every length, so in each path of the check.
  for (std::size_t size = 1; size < 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      std::string value(size, '\t');
      if (size % 2 == 0) value.assign(size, '\xff');
      EXPECT_EQ(judge({{"host", "a"}, {"a", value}}), EndReason::ok);
      for (const char bad : {'\0', '\r', '\n', '\x0b', '\x1f', '\x7f'}) {
        value[at] = bad;
        EXPECT_EQ(judge({{"host", "a"}, {"a", value}}), EndReason::rejected_header)
            << size << " " << at << " " << static_cast<int>(bad);
      }
    }
  }
}

TEST_F(Framing, Hosts) {
  for (const std::string_view host :
       {"a", "A.b-c_d~e", "a.", "1.2.3.4", "a:0", "a:65535", "a:", "[::1]", "[::1]:80",
        "[2001:db8::1.2.3.4]", "a%20b", "!$&'()*+;="}) {
    EXPECT_EQ(judge_host(host), EndReason::ok) << host;
  }
  for (const std::string_view host :
       {"",   "a,b", ":80",  "a:b",  "a:65536", "a:123456", "a:+1",      "a:1:2",  "a@b",
        "@",  "a/b", "a?b",  "a#b",  "a b",     "a\tb",     "a\\b",      "[",      "]",
        "[]", "[a",  "[::1", "::1",  "[::1]x",  "[::1]80",  "[1.2.3.4]", "[v1.x]", "[::1%25eth0]",
        "a%", "a%2", "a%zz", "\x80", "a\"b",    "<a>"}) {
    EXPECT_EQ(judge_host(host), EndReason::rejected_host) << host;
  }
  EXPECT_EQ(judge_host("A.Example.:8080"), EndReason::ok);
  EXPECT_EQ(head.authority, "a.example.:8080");
  EXPECT_EQ(head.host, "a.example");
  EXPECT_EQ(head.fields.value_of(HeaderId::host), "A.Example.:8080");
  EXPECT_EQ(judge_host("a:"), EndReason::ok);
  EXPECT_EQ(head.authority, "a");
}

TEST_F(Framing, HttpOneZeroNeedsNoHost) {
  EXPECT_EQ(judge({}, Protocol::http10), EndReason::ok);
  EXPECT_EQ(head.authority, "");
  EXPECT_EQ(judge({}), EndReason::rejected_host);
}

TEST_F(Framing, TwinsOfKnownNamesAreRemoved) {
  for (const std::string_view name :
       {"x_forwarded_for", "x-forwarded_for", "x.forwarded.for", "content_length",
        "transfer_encoding", "x_real_ip", "proxy_connection", "http2_settings"}) {
    EXPECT_EQ(judge({{"host", "a"}, {name, "x"}}), EndReason::ok);
    EXPECT_EQ(head.fields.find(name), HeaderBlock::kNone) << name;
  }
  for (const std::string_view name : {"x_custom", "a.b", "x_forwarded_for_", "_host"}) {
    EXPECT_EQ(judge({{"host", "a"}, {name, "x"}}), EndReason::ok);
    EXPECT_NE(head.fields.find(name), HeaderBlock::kNone) << name;
  }
}

TEST_F(Framing, ExpectIsIgnoredInHttpOneZero) {
  EXPECT_EQ(judge({{"expect", "100-continue"}, {"content-length", "1"}}, Protocol::http10),
            EndReason::ok);
  EXPECT_FALSE(head.expects_continue);
  EXPECT_FALSE(head.fields.has(HeaderId::expect));
}

TEST_F(Framing, UpgradeOffers) {
  const auto token = [this](std::string_view offer) {
    EXPECT_EQ(judge({{"host", "a"}, {"connection", "Upgrade"}, {"upgrade", offer}}), EndReason::ok);
    EXPECT_EQ(head.upgrade, !head.upgrade_token.empty());
    EXPECT_EQ(head.upgrade, head.fields.has(HeaderId::upgrade));
    return head.upgrade_token;
  };
  EXPECT_EQ(token("websocket"), "websocket");
  EXPECT_EQ(token("H2C"), "");
  EXPECT_EQ(token("h2c, HTTP/2.0, foo/1, websocket"), "foo/1");
  EXPECT_EQ(token(""), "");
  EXPECT_EQ(token("a b"), "");
  EXPECT_EQ(token("a/b/c"), "");
  EXPECT_EQ(token(","), "");
}

TEST_F(Framing, ConnectionTokens) {
  const auto keeps = [this](std::string_view connection, Protocol protocol) {
    EXPECT_EQ(judge({{"host", "a"}, {"connection", connection}}, protocol), EndReason::ok);
    return keeps_alive(head);
  };
  EXPECT_TRUE(keeps("", Protocol::http11));
  EXPECT_TRUE(keeps("closed, xclose", Protocol::http11));
  EXPECT_FALSE(keeps("a,Close", Protocol::http11));
  EXPECT_FALSE(keeps(" ,, close ,", Protocol::http11));
  EXPECT_FALSE(keeps("keep-alive, close", Protocol::http10));
  EXPECT_TRUE(keeps("x, Keep-Alive", Protocol::http10));
  EXPECT_FALSE(keeps("x", Protocol::http10));
}

TEST_F(Framing, Trailers) {
  HeaderBlock trailers;
  for (const char* name : {"grpc-status", "etag", "proxy-status", "host", "content-length",
                           "transfer-encoding", "authorization", "set-cookie", "x_forwarded_for"}) {
    trailers.add(name, "x");
  }
  EXPECT_FALSE(judge_trailers(trailers, base::Side::client).is_error());
  std::string left;
  for (std::size_t i = 0; i < trailers.size(); ++i) {
    if (!trailers.is_removed(i)) left += std::string(trailers.field(i).name()) + " ";
  }
  EXPECT_EQ(left, "grpc-status etag proxy-status ");
  trailers.add("a", "b\nc");
  EXPECT_EQ(judge_trailers(trailers, base::Side::client).reason, EndReason::rejected_header);
  EXPECT_EQ(judge_trailers(trailers, base::Side::upstream).reason, EndReason::upstream_protocol);
}

}  // namespace
}  // namespace portunus::http
