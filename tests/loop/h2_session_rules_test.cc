// Each MUST of RFC 9113 that a client can break, and what a server then has to do: end the stream, or
// the connection, with the right code.
#include <nghttp2/nghttp2.h>

#include "tests/loop/h2_session_fixture.h"

namespace portunus::http {
namespace {

using test::h2_hpack;
using test::h2_number;

struct RuleRow {
  const char* what;
  std::string bytes;
  int code;
};

std::string post(std::uint32_t id, const H2Fields& more = {}) {
  return h2_headers(id, h2_request("POST", "/p", more), false);
}

std::string without(H2Fields fields, std::string_view name) {
  std::erase_if(fields, [&](const auto& field) { return field.first == name; });
  return h2_headers(1, fields, true);
}

std::string with_first(std::string name, std::string value) {
  H2Fields fields = h2_request("GET", "/");
  fields.insert(fields.begin(), {std::move(name), std::move(value)});
  return h2_headers(1, fields, true);
}

std::string with_path(std::string path) {
  return h2_headers(1, h2_request("GET", std::move(path)), true);
}

TEST_F(H2SessionTest, RulesOfConnections) {
  const std::vector<RuleRow> rows{
      // 4.1, 4.2
      {"frame above the limit of size", h2_frame(NGHTTP2_DATA, 0, 1, std::string(16385, 'x')),
       NGHTTP2_FRAME_SIZE_ERROR},
      {"SETTINGS of an odd size", h2_frame(NGHTTP2_SETTINGS, 0, 0, "12345"),
       NGHTTP2_FRAME_SIZE_ERROR},
      {"SETTINGS acknowledgement with content",
       h2_frame(NGHTTP2_SETTINGS, test::h2_ack, 0, "123456"), NGHTTP2_FRAME_SIZE_ERROR},
      {"PING of another size", h2_frame(NGHTTP2_PING, 0, 0, "1234567"), NGHTTP2_FRAME_SIZE_ERROR},
      {"WINDOW_UPDATE of another size", h2_frame(NGHTTP2_WINDOW_UPDATE, 0, 0, "123"),
       NGHTTP2_FRAME_SIZE_ERROR},
      {"RST_STREAM of another size", post(1) + h2_frame(NGHTTP2_RST_STREAM, 0, 1, "123"),
       NGHTTP2_FRAME_SIZE_ERROR},
      {"GOAWAY too short", h2_frame(NGHTTP2_GOAWAY, 0, 0, "1234567"), NGHTTP2_FRAME_SIZE_ERROR},
      {"padding longer than the frame",
       post(1) + h2_frame(NGHTTP2_DATA, test::h2_padded, 1, "\x05xyz"), NGHTTP2_PROTOCOL_ERROR},
      {"padding longer than the head",
       h2_frame(NGHTTP2_HEADERS, test::h2_padded | 4U, 1, "\x05xyz"), NGHTTP2_PROTOCOL_ERROR},
      // 4.3
      {"broken HPACK", h2_frame(NGHTTP2_HEADERS, 5, 1, "\xff\xff\xff\xff\xff\xff"),
       NGHTTP2_COMPRESSION_ERROR},
      {"HPACK table above what was allowed", h2_frame(NGHTTP2_HEADERS, 5, 1, "\x3f\xe1\xff\x03"),
       NGHTTP2_COMPRESSION_ERROR},
      // 5.1: states
      {"DATA on an idle stream", h2_data(1, "x", false), NGHTTP2_PROTOCOL_ERROR},
      {"RST_STREAM on an idle stream", h2_reset(1), NGHTTP2_PROTOCOL_ERROR},
      {"WINDOW_UPDATE on an idle stream", h2_window(1, 1), NGHTTP2_PROTOCOL_ERROR},
      // Errors of a stream, which nghttp2 takes for ones of the connection, as it may (5.4.1).
      {"DATA behind the end of the request", h2_get(1) + h2_data(1, "x", false),
       NGHTTP2_STREAM_CLOSED},
      {"a second end", h2_get(1) + h2_data(1, "", true), NGHTTP2_STREAM_CLOSED},
      {"window of a stream by nothing", post(1) + h2_window(1, 0), NGHTTP2_PROTOCOL_ERROR},
      // 5.1.1: identifiers
      {"even stream", h2_get(2), NGHTTP2_PROTOCOL_ERROR},
      // 6.1 to 6.10: on the wrong stream
      {"DATA on stream 0", h2_data(0, "x", false), NGHTTP2_PROTOCOL_ERROR},
      {"HEADERS on stream 0", h2_get(0), NGHTTP2_PROTOCOL_ERROR},
      {"RST_STREAM on stream 0", h2_reset(0), NGHTTP2_PROTOCOL_ERROR},
      {"SETTINGS on a stream", h2_frame(NGHTTP2_SETTINGS, 0, 1), NGHTTP2_PROTOCOL_ERROR},
      {"PING on a stream", h2_frame(NGHTTP2_PING, 0, 1, "12345678"), NGHTTP2_PROTOCOL_ERROR},
      {"GOAWAY on a stream", h2_frame(NGHTTP2_GOAWAY, 0, 1, "12345678"), NGHTTP2_PROTOCOL_ERROR},
      {"PUSH_PROMISE of a client", post(1) + h2_frame(NGHTTP2_PUSH_PROMISE, 4, 1, h2_number(2, 4)),
       NGHTTP2_PROTOCOL_ERROR},
      // 6.2, 6.10
      {"another frame amid a head",
       h2_frame(NGHTTP2_HEADERS, 1, 1, h2_hpack(h2_request("GET", "/"))) + h2_ping(),
       NGHTTP2_PROTOCOL_ERROR},
      {"CONTINUATION of another stream",
       h2_frame(NGHTTP2_HEADERS, 1, 1, h2_hpack(h2_request("GET", "/"))) +
           h2_frame(NGHTTP2_CONTINUATION, 4, 3),
       NGHTTP2_PROTOCOL_ERROR},
      {"CONTINUATION without HEADERS", h2_frame(NGHTTP2_CONTINUATION, 4, 1),
       NGHTTP2_PROTOCOL_ERROR},
      {"CONTINUATION behind the end of a head", post(1) + h2_frame(NGHTTP2_CONTINUATION, 4, 1),
       NGHTTP2_PROTOCOL_ERROR},
      // 6.5.2
      {"ENABLE_PUSH above one", h2_settings({{NGHTTP2_SETTINGS_ENABLE_PUSH, 2}}),
       NGHTTP2_PROTOCOL_ERROR},
      {"window above 2^31 - 1", h2_settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1U << 31}}),
       NGHTTP2_FLOW_CONTROL_ERROR},
      {"frame size below 2^14", h2_settings({{NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 16383}}),
       NGHTTP2_PROTOCOL_ERROR},
      {"frame size above 2^24 - 1", h2_settings({{NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 1U << 24}}),
       NGHTTP2_PROTOCOL_ERROR},
      // 6.9, 6.9.1
      {"window of the connection by nothing", h2_window(0, 0), NGHTTP2_PROTOCOL_ERROR},
      {"window of the connection that overflows", h2_window(0, 0x7fffffff),
       NGHTTP2_FLOW_CONTROL_ERROR},
  };
  at_end_ = nullptr;
  for (const RuleRow& row : rows) {
    auto peer = connect();
    EXPECT_EQ(goaway_after(*peer, row.bytes), row.code) << row.what;
    peer->socket->close();
    EXPECT_TRUE(driver_.run_until([&] { return open_.empty(); })) << row.what;
  }
}

TEST_F(H2SessionTest, RulesOfStreams) {
  H2Fields get = h2_request("GET", "/");
  const std::vector<RuleRow> rows{
      // 6.9
      {"window that overflows", post(1) + h2_window(1, 0x7fffffff), NGHTTP2_FLOW_CONTROL_ERROR},
      // 8.1.1: content-length against DATA
      {"less than announced", post(1, {{"content-length", "4"}}) + h2_data(1, "abc", true),
       NGHTTP2_PROTOCOL_ERROR},
      {"more than announced", post(1, {{"content-length", "2"}}) + h2_data(1, "abc", true),
       NGHTTP2_PROTOCOL_ERROR},
      {"announced and not there", h2_get(1, "/", {{"content-length", "3"}}),
       NGHTTP2_PROTOCOL_ERROR},
      {"two lengths", post(1, {{"content-length", "3"}, {"content-length", "3"}}),
       NGHTTP2_PROTOCOL_ERROR},
      {"length that is no number", post(1, {{"content-length", "+3"}}), NGHTTP2_PROTOCOL_ERROR},
      // 8.1
      {"trailers that do not end", post(1) + h2_headers(1, {{"a", "b"}}, false),
       NGHTTP2_PROTOCOL_ERROR},
      {"pseudo-field in trailers", post(1) + h2_headers(1, {{":path", "/"}}, true),
       NGHTTP2_PROTOCOL_ERROR},
      {"upper case in trailers", post(1) + h2_headers(1, {{"Abc", "/"}}, true),
       NGHTTP2_PROTOCOL_ERROR},
      // 8.2.1
      {"upper case", h2_get(1, "/", {{"Abc", "x"}}), NGHTTP2_PROTOCOL_ERROR},
      {"empty name", h2_get(1, "/", {{"", "x"}}), NGHTTP2_PROTOCOL_ERROR},
      {"space in a name", h2_get(1, "/", {{"a b", "x"}}), NGHTTP2_PROTOCOL_ERROR},
      {"colon in a name", h2_get(1, "/", {{"a:b", "x"}}), NGHTTP2_PROTOCOL_ERROR},
      {"line feed in a name", h2_get(1, "/", {{"a\nb", "x"}}), NGHTTP2_PROTOCOL_ERROR},
      {"line feed in a value", h2_get(1, "/", {{"a", "x\ny: z"}}), NGHTTP2_PROTOCOL_ERROR},
      {"carriage return in a value", h2_get(1, "/", {{"a", "x\ry"}}), NGHTTP2_PROTOCOL_ERROR},
      {"null in a value", h2_get(1, "/", {{"a", std::string("x\0y", 3)}}), NGHTTP2_PROTOCOL_ERROR},
      {"space before a value", h2_get(1, "/", {{"a", " x"}}), NGHTTP2_PROTOCOL_ERROR},
      {"tab behind a value", h2_get(1, "/", {{"a", "x\t"}}), NGHTTP2_PROTOCOL_ERROR},
      // 8.2.2
      {"connection", h2_get(1, "/", {{"connection", "close"}}), NGHTTP2_PROTOCOL_ERROR},
      {"keep-alive", h2_get(1, "/", {{"keep-alive", "1"}}), NGHTTP2_PROTOCOL_ERROR},
      {"proxy-connection", h2_get(1, "/", {{"proxy-connection", "x"}}), NGHTTP2_PROTOCOL_ERROR},
      {"transfer-encoding", post(1, {{"transfer-encoding", "chunked"}}), NGHTTP2_PROTOCOL_ERROR},
      {"upgrade", h2_get(1, "/", {{"upgrade", "websocket"}}), NGHTTP2_PROTOCOL_ERROR},
      {"te", h2_get(1, "/", {{"te", "gzip"}}), NGHTTP2_PROTOCOL_ERROR},
      // 8.3, 8.3.1
      {"unknown pseudo-field", with_first(":a", "b"), NGHTTP2_PROTOCOL_ERROR},
      {"pseudo-field of an answer", with_first(":status", "200"), NGHTTP2_PROTOCOL_ERROR},
      {"pseudo-field behind others", with_first("a", "b"), NGHTTP2_PROTOCOL_ERROR},
      {"two methods", with_first(":method", "GET"), NGHTTP2_PROTOCOL_ERROR},
      {"two paths", with_first(":path", "/"), NGHTTP2_PROTOCOL_ERROR},
      {"two schemes", with_first(":scheme", "http"), NGHTTP2_PROTOCOL_ERROR},
      {"two authorities", with_first(":authority", "x"), NGHTTP2_PROTOCOL_ERROR},
      {"no method", without(get, ":method"), NGHTTP2_PROTOCOL_ERROR},
      {"no path", without(get, ":path"), NGHTTP2_PROTOCOL_ERROR},
      {"no scheme", without(get, ":scheme"), NGHTTP2_PROTOCOL_ERROR},
      {"neither authority nor host", without(get, ":authority"), NGHTTP2_PROTOCOL_ERROR},
      {"empty path", with_path(""), NGHTTP2_PROTOCOL_ERROR},
      {"path without a slash", with_path("a"), NGHTTP2_PROTOCOL_ERROR},
      {"absolute path", with_path("http://x/"), NGHTTP2_PROTOCOL_ERROR},
      {"asterisk without OPTIONS", with_path("*"), NGHTTP2_PROTOCOL_ERROR},
      {":protocol without CONNECT", with_first(":protocol", "websocket"), NGHTTP2_PROTOCOL_ERROR},
      {"plain CONNECT with a path",
       h2_headers(1, {{":method", "CONNECT"}, {":authority", "x:80"}, {":path", "/"}}, false),
       NGHTTP2_PROTOCOL_ERROR},
      {"a dependency on itself (RFC 7540)",
       post(1) + h2_frame(NGHTTP2_PRIORITY, 0, 1, h2_number(1, 4) + "x"), -1},
  };
  at_end_ = nullptr;
  for (const RuleRow& row : rows) {
    refused_.clear();
    auto peer = connect();
    talk(*peer, row.bytes);
    EXPECT_EQ(peer->stream(1).code, row.code) << row.what;
    EXPECT_TRUE(peer->reader.goaways.empty()) << row.what;
    // Somebody hears of it, once: the exchange, or the acceptor.
    if (row.code != -1) {
      const bool is_known = !handlers_.empty() && last().is_reset;
      EXPECT_NE(is_known, !refused_.empty()) << row.what;
    }
    // And the connection goes on.
    at_end_ = [this](RecorderHandler& handler) {
      test::answer(*handler.stream, driver_.loop.chunks(), 200, "");
    };
    talk(*peer, h2_get(3));
    EXPECT_EQ(peer->stream(3).status, "200") << row.what;
    at_end_ = nullptr;
    peer->socket->close();
    driver_.settle();
    handlers_.clear();
  }
}

// Well formed HTTP/2, but not a request that is served: it gets an answer.
TEST_F(H2SessionTest, RefusedRequests) {
  const std::vector<RuleRow> rows{
      {"authority against host", h2_get(1, "/", {{"host", "y"}}), 400},
      {"malformed authority", with_first("x", "y"), 400},
      {"CONNECT", h2_headers(1, {{":method", "CONNECT"}, {":authority", "x:80"}}, false), 501},
      {"TRACE", h2_headers(1, h2_request("TRACE", "/"), true), 501},
      {"unknown method", h2_headers(1, h2_request("FOO", "/"), true), 501},
      {"lower-case method", h2_headers(1, h2_request("get", "/"), true), 501},
      {"path above the root", with_path("/../a"), 400},
      {"expectation", post(1, {{"expect", "something"}}), 417},
      {"too long a path", with_path("/" + std::string(9000, 'a')), 414},
      {"too large a field", h2_get(1, "/", {{"a", std::string(16000, 'a')}}), 431},
      {"another protocol than websocket",
       h2_headers(1,
                  {{":method", "CONNECT"},
                   {":protocol", "connect-udp"},
                   {":scheme", "https"},
                   {":authority", "x"},
                   {":path", "/"}},
                  false),
       501},
  };
  context_.limits.header_bytes = 15'000;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const RuleRow& row = rows[i];
    if (i == 1) continue;  // below
    refused_.clear();
    auto peer = connect();
    talk(*peer, row.bytes);
    EXPECT_EQ(peer->stream(1).status, std::to_string(row.code)) << row.what;
    EXPECT_TRUE(peer->stream(1).has_end) << row.what;
    EXPECT_NE(refused_, "") << row.what;
    EXPECT_TRUE(handlers_.empty()) << row.what;
    talk(*peer, h2_get(3));
    EXPECT_EQ(peer->stream(3).status, "200") << row.what;
    handlers_.clear();
  }
  auto peer = connect();
  H2Fields fields = h2_request("GET", "/");
  fields[2].second = "user@x";
  talk(*peer, h2_headers(1, fields, true));
  // nghttp2 may be the one to refuse it.
  EXPECT_TRUE(peer->stream(1).status == "400" || peer->stream(1).code == NGHTTP2_PROTOCOL_ERROR);
}

TEST_F(H2SessionTest, TooManyFields) {
  auto peer = connect();
  H2Fields more;
  for (int i = 0; i < 99; ++i)
    more.push_back({"a", "b"});
  talk(*peer, h2_get(1, "/", more));
  EXPECT_EQ(peer->stream(1).status, "200");  // and Host
  more.push_back({"a", "b"});
  more.push_back({"a", "b"});
  talk(*peer, h2_get(3, "/", more));
  EXPECT_EQ(peer->stream(3).status, "431");
  // Crumbs of a cookie are one field.
  more.assign(200, {"cookie", "a=b"});
  talk(*peer, h2_get(5, "/", more));
  EXPECT_EQ(peer->stream(5).status, "200");
  EXPECT_EQ(last().last->fields.value_of(HeaderId::cookie).substr(0, 13), "a=b; a=b; a=b");
}

TEST_F(H2SessionTest, NotHttp2) {
  for (const char* bytes :
       {"GET / HTTP/1.1\r\nhost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"}) {
    auto peer = connect_raw();
    EXPECT_EQ(goaway_after(*peer, bytes), NGHTTP2_PROTOCOL_ERROR) << bytes;
  }
  // The first frame is SETTINGS (3.4).
  auto peer = connect_raw();
  EXPECT_EQ(goaway_after(*peer, std::string(test::kH2Preface) + h2_get(1)), NGHTTP2_PROTOCOL_ERROR);
  EXPECT_TRUE(handlers_.empty());
}

// A number that goes back cannot be told from the trailers of a stream that we have reset, which are to
// be ignored (5.1, 5.1.1): nghttp2 ignores both.
TEST_F(H2SessionTest, NumberThatGoesBack) {
  auto peer = connect();
  talk(*peer, h2_get(5) + h2_get(3) + h2_get(7));
  EXPECT_EQ(handlers_.size(), 2U);
  EXPECT_EQ(peer->stream(3).status, "");
  EXPECT_EQ(peer->stream(7).status, "200");
}

// What nobody knows is ignored (4.1, 5.5, 6.5.2).
TEST_F(H2SessionTest, UnknownFramesAndSettings) {
  auto peer = connect();
  talk(*peer, h2_frame(0xbe, 0xff, 0, "grease") + h2_frame(0xbe, 0xff, 7, "grease") +
                  h2_settings({{0x4a4a, 1}}) + h2_get(1));
  EXPECT_EQ(peer->stream(1).status, "200");
}

TEST_F(H2SessionTest, PaddingAndPriorityOfHeads) {
  auto peer = connect();
  const std::string block = h2_hpack(h2_request("GET", "/padded"));
  talk(*peer,
       h2_frame(NGHTTP2_HEADERS, 5U | 8U | 0x20U, 1,
                std::string("\x04", 1) + h2_number(0, 4) + "\x10" + block + std::string(4, '\0')));
  EXPECT_EQ(peer->stream(1).body, "GET /padded|");
  // DATA in which padding counts towards the window, not towards the body.
  talk(*peer, post(3, {{"content-length", "3"}}) + h2_frame(NGHTTP2_DATA, 9, 3,
                                                            std::string("\x02"
                                                                        "abc\0\0",
                                                                        6)));
  EXPECT_EQ(peer->stream(3).body, "POST /p|abc");
}

TEST_F(H2SessionTest, HeadsInContinuations) {
  auto peer = connect();
  const std::string block = h2_hpack(h2_request("GET", "/c", {{"a", std::string(300, 'b')}}));
  std::string bytes = h2_frame(NGHTTP2_HEADERS, 1, 1, block.substr(0, 7));
  bytes += h2_frame(NGHTTP2_CONTINUATION, 0, 1, block.substr(7, 50));
  bytes += h2_frame(NGHTTP2_CONTINUATION, 4, 1, block.substr(57));
  talk(*peer, bytes);
  EXPECT_EQ(peer->stream(1).body, "GET /c|");
}

TEST_F(H2SessionTest, PingIsAnswered) {
  auto peer = connect();
  talk(*peer, h2_ping() + h2_ping() + h2_frame(NGHTTP2_PING, test::h2_ack, 0, "abcdefgh"));
  EXPECT_EQ(peer->reader.pings_acked, 2);
}

TEST_F(H2SessionTest, HostsAndSchemes) {
  auto peer = connect();
  // Host instead of :authority, as one that converts from HTTP/1 may send it (8.3.1).
  talk(*peer,
       h2_headers(1, {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {"host", "A:443"}},
                  true));
  EXPECT_EQ(last().last->authority, "a:443");
  EXPECT_EQ(last().last->host, "a");
  // Both, alike but for the usual port.
  talk(*peer, h2_get(3, "/", {{"host", "x:80"}}));
  EXPECT_EQ(peer->stream(3).status, "200");
  EXPECT_EQ(last().last->fields.count(HeaderId::host), 1U);
  talk(*peer, h2_headers(5, h2_request("OPTIONS", "*"), true));
  EXPECT_EQ(last().last->path, "*");
}

}  // namespace
}  // namespace portunus::http
