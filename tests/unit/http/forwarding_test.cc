#include "http/forwarding.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace portunus::http {
namespace {

using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

class Forwarding : public testing::Test {
 protected:
  void fill(const Fields& fields) {
    head.clear();
    head.authority = "a.example";
    for (const auto& [name, value] : fields)
      head.fields.add(name, value);
  }
  std::string request(const Fields& fields) {
    fill(fields);
    EXPECT_TRUE(forward_request(head, sender, arena));
    return text();
  }
  std::string response(const Fields& fields, std::uint16_t status = 200) {
    fill(fields);
    head.status = status;
    EXPECT_TRUE(forward_response(head, arena));
    return text();
  }
  // Without what is set on every request, unless it differs.
  std::string text() {
    std::string lines;
    for (std::size_t i = 0; i < head.fields.size(); ++i) {
      if (head.fields.is_removed(i)) continue;
      const std::string line = std::string(head.fields.field(i).name()) + ": " +
                               std::string(head.fields.field(i).value()) + "\n";
      if (usual.find("\n" + line) == std::string::npos) lines += line;
    }
    return lines;
  }

  base::ChunkPool pool;
  base::Arena arena{pool};
  Head head;
  Sender sender{"10.0.0.9", "10.0.0.9", "http", "id1", false, false};
  std::string usual;
};

constexpr const char* kUsual =
    "\nvia: 1.1 portunus\nx-forwarded-for: 10.0.0.9\nx-forwarded-proto: http\n"
    "x-forwarded-host: a.example\nx-real-ip: 10.0.0.9\nx-request-id: id1\n";

TEST_F(Forwarding, ToldOfEveryRequest) {
  EXPECT_EQ(
      request({{"host", "a.example"}}),
      "host: a.example\nvia: 1.1 portunus\nx-forwarded-for: 10.0.0.9\nx-forwarded-proto: http\n"
      "x-forwarded-host: a.example\nx-real-ip: 10.0.0.9\nx-request-id: id1\n");
}

TEST_F(Forwarding, HopByHopFieldsGo) {
  usual = kUsual;
  EXPECT_EQ(request({{"connection", "keep-alive, X-Hop"},
                     {"keep-alive", "timeout=5"},
                     {"x-hop", "1"},
                     {"x-stays", "1"},
                     {"proxy-connection", "close"},
                     {"te", "gzip"},
                     {"transfer-encoding", "chunked"},
                     {"upgrade", "websocket"},
                     {"trailer", "a"},
                     {"http2-settings", "x"},
                     {"proxy-authorization", "secret"},
                     {"x-hop", "2"}}),
            "x-stays: 1\ntrailer: a\n");
}

// THREATS.md section 1: hop-by-hop abuse.
TEST_F(Forwarding, KnownFieldsCannotBeNominated) {
  usual = kUsual;
  EXPECT_EQ(request({{"connection", "Host, Cookie, Content-Length, X-Forwarded-For, Authorization"},
                     {"host", "a"},
                     {"cookie", "c"},
                     {"content-length", "1"},
                     {"authorization", "b"}}),
            "host: a\ncookie: c\ncontent-length: 1\nauthorization: b\n");
  EXPECT_TRUE(head.fields.has(HeaderId::x_forwarded_for));
}

TEST_F(Forwarding, UpgradeStaysWhenAccepted) {
  usual = kUsual;
  fill({{"connection", "upgrade"}, {"upgrade", "websocket"}});
  head.upgrade = true;
  EXPECT_TRUE(forward_request(head, sender, arena));
  EXPECT_EQ(text(), "upgrade: websocket\n");
  EXPECT_EQ(response({{"connection", "upgrade"}, {"upgrade", "websocket"}}, 101),
            "upgrade: websocket\n");
  EXPECT_EQ(response({{"connection", "upgrade"}, {"upgrade", "websocket"}}, 426),
            "upgrade: websocket\n");
  EXPECT_EQ(response({{"connection", "upgrade"}, {"upgrade", "h2c"}}, 200), "");
}

TEST_F(Forwarding, TeTrailers) {
  usual = kUsual;
  EXPECT_EQ(request({{"te", "gzip, Trailers"}, {"te", "x"}}), "te: trailers\n");
  EXPECT_EQ(request({{"te", "xtrailers"}}), "");
}

TEST_F(Forwarding, ViaIsAppended) {
  usual = "";
  const std::string text = request({{"via", "1.1 a"}, {"via", "1.0 b"}});
  EXPECT_NE(text.find("via: 1.1 a\nvia: 1.0 b, 1.1 portunus\n"), std::string::npos) << text;
  EXPECT_EQ(response({{"via", "1.1 a"}}), "via: 1.1 a, 1.1 portunus\n");
  EXPECT_EQ(response({{"server", "s"}}), "server: s\nvia: 1.1 portunus\n");
  fill({});
  head.protocol = Protocol::http10;
  EXPECT_TRUE(forward_response(head, arena));
  EXPECT_EQ(text.empty() ? "" : std::string(head.fields.value_of(HeaderId::via)), "1.0 portunus");
}

TEST_F(Forwarding, WhatAnUntrustedPeerClaimsIsReplaced) {
  const Fields claims{{"x-forwarded-for", "1.1.1.1"}, {"x-forwarded-for", "2.2.2.2"},
                      {"x-forwarded-proto", "https"}, {"x-forwarded-host", "evil"},
                      {"x-forwarded-port", "1"},      {"x-real-ip", "3.3.3.3"},
                      {"x-request-id", "evil"},       {"forwarded", "for=4.4.4.4"}};
  usual = kUsual;
  EXPECT_EQ(request(claims), "");
  EXPECT_EQ(head.fields.count(HeaderId::x_forwarded_for), 1u);
  sender.has_forwarded = true;
  EXPECT_EQ(request(claims), "forwarded: for=10.0.0.9;host=a.example;proto=http\n");
}

TEST_F(Forwarding, WhatATrustedPeerSaysIsExtended) {
  sender.is_peer_trusted = true;
  sender.client = "1.1.1.1";
  sender.has_forwarded = true;
  EXPECT_EQ(
      request({{"x-forwarded-for", "1.1.1.1"},
               {"x-forwarded-proto", "https"},
               {"x-forwarded-host", "b"},
               {"x-forwarded-port", "444"},
               {"forwarded", "for=1.1.1.1"}}),
      "x-forwarded-for: 1.1.1.1, 10.0.0.9\nx-forwarded-proto: https\nx-forwarded-host: b\n"
      "x-forwarded-port: 444\nforwarded: for=1.1.1.1, for=10.0.0.9;host=a.example;proto=http\n"
      "via: 1.1 portunus\nx-real-ip: 1.1.1.1\nx-request-id: id1\n");
}

TEST_F(Forwarding, ForwardedQuotesWhatIsNoToken) {
  sender.has_forwarded = true;
  sender.peer = "2001:db8::1";
  fill({});
  head.authority = "[::1]:80";
  EXPECT_TRUE(forward_request(head, sender, arena));
  EXPECT_EQ(head.fields.value_of(HeaderId::forwarded),
            "for=\"[2001:db8::1]\";host=\"[::1]:80\";proto=http");
  EXPECT_EQ(head.fields.value_of(HeaderId::x_forwarded_for), "2001:db8::1");
}

TEST_F(Forwarding, FullBlockIsReported) {
  head.clear();
  head.authority = "a";
  while (head.fields.add("a", "b")) {
  }
  EXPECT_FALSE(forward_request(head, sender, arena));
  head.clear();
  while (head.fields.size() < HeaderBlock::kCapacity - kForwardingFields)
    head.fields.add("a", "b");
  sender.has_forwarded = true;
  head.fields.add("te", "trailers");
  EXPECT_TRUE(forward_request(head, sender, arena));
}

TEST_F(Forwarding, AddressIn) {
  EXPECT_EQ(address_in(" 1.2.3.4 "), "1.2.3.4");
  EXPECT_EQ(address_in("1.2.3.4:80"), "1.2.3.4");
  EXPECT_EQ(address_in("2001:db8::1"), "2001:db8::1");
  EXPECT_EQ(address_in("\"[2001:db8::1]:80\""), "2001:db8::1");
  EXPECT_EQ(address_in("[::1]"), "::1");
  for (const char* none :
       {"", "unknown", "_hidden", "[::1", "\"", "abc", "example.com", "a b", "[]"}) {
    EXPECT_EQ(address_in(none), "") << none;
  }
}

std::string_view client_of(const HeaderBlock& fields) {
  // 10.* is trusted.
  return find_client(fields, "10.0.0.9", [](std::string_view ip) { return ip.starts_with("10."); })
      .text;
}

TEST_F(Forwarding, FindClient) {
  const auto client = [this](const Fields& fields) {
    fill(fields);
    return client_of(head.fields);
  };
  EXPECT_EQ(client({}), "10.0.0.9");
  EXPECT_EQ(client({{"x-forwarded-for", "1.1.1.1"}}), "1.1.1.1");
  EXPECT_EQ(client({{"x-forwarded-for", "6.6.6.6, 1.1.1.1, 10.0.0.1"}}), "1.1.1.1");
  EXPECT_EQ(client({{"x-forwarded-for", "6.6.6.6, 1.1.1.1"},
                    {"x-forwarded-for", "10.0.0.1,, 10.0.0.2:99"}}),
            "1.1.1.1");
  EXPECT_EQ(client({{"x-forwarded-for", "10.0.0.1, 10.0.0.2"}}), "10.0.0.1");
  EXPECT_EQ(client({{"x-forwarded-for", "1.1.1.1, unknown, 10.0.0.2"}}), "10.0.0.2");
  EXPECT_EQ(client({{"x-forwarded-for", ""}, {"x-forwarded-for", ", ,"}}), "10.0.0.9");
  EXPECT_EQ(
      client({{"forwarded", "for=6.6.6.6, by=10.0.0.1;For=\"[::1]:80\";proto=http, for=10.0.0.2"}}),
      "::1");
  EXPECT_EQ(client({{"forwarded", "host=\"a,b\";for=1.1.1.1"}}), "1.1.1.1");
  EXPECT_EQ(client({{"forwarded", "for=1.1.1.1, host=x"}}), "10.0.0.9");
  EXPECT_EQ(client({{"forwarded", "for=\"1.1.1.1"}}), "10.0.0.9");
  EXPECT_EQ(client({{"forwarded", "for=6.6.6.6"}, {"x-forwarded-for", "1.1.1.1"}}), "1.1.1.1");
  const auto is_unknown = [this](const Fields& fields) {
    fill(fields);
    return find_client(head.fields, "10.0.0.9", [](std::string_view) { return true; }).is_unknown;
  };
  EXPECT_FALSE(is_unknown({}));
  EXPECT_FALSE(is_unknown({{"x-forwarded-for", ", ,"}}));
  EXPECT_FALSE(is_unknown({{"x-forwarded-for", "1.1.1.1"}}));
  EXPECT_TRUE(is_unknown({{"x-forwarded-for", "unknown"}}));
  EXPECT_TRUE(is_unknown({{"x-forwarded-for", "8.8.8.8, unknown, 1.1.1.1"}}));
  EXPECT_TRUE(is_unknown({{"forwarded", "for=_hidden"}}));
  fill({{"x-forwarded-for", "1.1.1.1"}});
  EXPECT_EQ(find_client(head.fields, "9.9.9.9", [](std::string_view) { return false; }).text,
            "9.9.9.9");
  std::string many;
  for (int i = 0; i < 1000; ++i)
    many += "10.0.0.1,";
  EXPECT_EQ(client({{"x-forwarded-for", many}}), "10.0.0.1");
}

}  // namespace
}  // namespace portunus::http
