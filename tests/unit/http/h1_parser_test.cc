// H1Parser: requests that pass, limits, pieces, and message after message.
#include "tests/unit/http/h1_parser_fixture.h"

namespace portunus::http {
namespace {

struct Good {
  const char* what;
  std::string text;
  std::string expected;  // of describe()
};

TEST(H1ParserRequest, WhatIsRightIsUnderstood) {
  const std::vector<Good> rows{
      {"plain", "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
       "complete heads=1 consumed=40\n"
       "GET||127.0.0.1:8080|127.0.0.1|/|0||HTTP/1.1|body 0 0|keep\nhost: 127.0.0.1:8080\nbody=\n"},
      {"pipelined", "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
       "complete heads=1 consumed=28\nGET||a|a|/a|0||HTTP/1.1|body 0 0|keep\nhost: a\nbody=\n"},
      {"empty line before", "\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
       "complete heads=1 consumed=30\nGET||a|a|/a|0||HTTP/1.1|body 0 0|keep\nhost: a\nbody=\n"},
      {"white space around values",
       "GET /a?b=c?d HTTP/1.1\r\nHost:a\r\nA:\t b c \t \r\nB:\r\nC: \t\r\n\r\n",
       "complete heads=1 consumed=55\nGET||a|a|/a?b=c?d|0||HTTP/1.1|body 0 0|keep\nhost: a\na: b "
       "c\n"
       "b: \nc: \nbody=\n"},
      {"obs-text", get("A: \xe4\r\n"),
       "complete heads=1 consumed=33\nGET||a|a|/|0||HTTP/1.1|body 0 0|keep\nhost: a\na: "
       "\xe4\nbody=\n"},
      {"empty query", "GET /? HTTP/1.1\r\nHost: A.Example:80\r\n\r\n",
       "complete heads=1 consumed=39\nGET||a.example:80|a.example|/?|0||HTTP/1.1|body 0 0|keep\n"
       "host: A.Example:80\nbody=\n"},
      {"IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
       "complete heads=1 consumed=36\nGET||[::1]:8080|::1|/|0||HTTP/1.1|body 0 0|keep\n"
       "host: [::1]:8080\nbody=\n"},
      {"absolute host name", "GET / HTTP/1.1\r\nHost: a.example.:80\r\n\r\n",
       "complete heads=1 consumed=39\nGET||a.example.:80|a.example|/|0||HTTP/1.1|body 0 0|keep\n"
       "host: a.example.:80\nbody=\n"},
      {"absolute-form", "GET http://A:80?x HTTP/1.1\r\nHost: a\r\n\r\n",
       "complete heads=1 consumed=39\nGET|http|a:80|a|/?x|0||HTTP/1.1|body 0 0|keep\nhost: "
       "a:80\nbody=\n"},
      {"absolute-form in HTTP/1.0", "GET http://a/b HTTP/1.0\r\n\r\n",
       "complete heads=1 consumed=27\nGET|http|a|a|/b|0||HTTP/1.0|body 0 0|close\nhost: "
       "a\nbody=\n"},
      {"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n",
       "complete heads=1 consumed=18\nGET||||/|0||HTTP/1.0|body 0 0|close\nbody=\n"},
      {"HTTP/1.0 kept", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
       "complete heads=1 consumed=42\nGET||||/|0||HTTP/1.0|body 0 0|keep\nconnection: "
       "Keep-Alive\nbody=\n"},
      {"close", get("Connection: x, CLOSE\r\n"),
       "complete heads=1 consumed=49\nGET||a|a|/|0||HTTP/1.1|body 0 0|close\nhost: a\n"
       "connection: x, CLOSE\nbody=\n"},
      {"OPTIONS *", line("OPTIONS * HTTP/1.1"),
       "complete heads=1 consumed=31\nOPTIONS||a|a|*|0||HTTP/1.1|body 0 0|keep\nhost: a\nbody=\n"},
      {"OPTIONS of a host", line("OPTIONS http://a HTTP/1.1"),
       "complete heads=1 consumed=38\nOPTIONS|http|a|a|*|0||HTTP/1.1|body 0 0|keep\nhost: "
       "a\nbody=\n"},
      {"other method", line("M-SEARCH /a/../b HTTP/1.1"),
       "complete heads=1 consumed=38\nM-SEARCH||a|a|/b|0||HTTP/1.1|body 0 0|keep\nhost: "
       "a\nbody=\n"},
      {"length", post("Content-Length: 5\r\n", "helloGET"),
       "complete heads=1 consumed=52\nPOST||a|a|/|0||HTTP/1.1|body 1 5|keep\nhost: a\n"
       "content-length: 5\nbody=hello\n"},
      {"length 0", post("Content-Length: 0\r\n", "GET"),
       "complete heads=1 consumed=47\nPOST||a|a|/|0||HTTP/1.1|body 0 0|keep\nhost: a\n"
       "content-length: 0\nbody=\n"},
      {"length of a GET", get("Content-Length: 2\r\n") + "hi",
       "complete heads=1 consumed=48\nGET||a|a|/|0||HTTP/1.1|body 1 2|keep\nhost: a\n"
       "content-length: 2\nbody=hi\n"},
      {"chunked", chunked("5\r\nhello\r\n000A;x=\"a;\\\"\";y \r\n0123456789\r\n0\r\n\r\nGET"),
       "complete heads=1 consumed=101\nPOST||a|a|/|0||HTTP/1.1|body 2 0|keep\nhost: a\n"
       "transfer-encoding: chunked\nbody=hello0123456789\n"},
      {"chunked in capitals", post("Transfer-Encoding:Chunked\r\n", "0\r\n\r\n"),
       "complete heads=1 consumed=60\nPOST||a|a|/|0||HTTP/1.1|body 2 0|keep\nhost: a\n"
       "transfer-encoding: Chunked\nbody=\n"},
      {"trailers",
       chunked("1\r\nx\r\n0;a\r\nA: b\r\nHost: c\r\nETag: \"e\"\r\nX_Forwarded_For: d\r\n\r\nGET"),
       "complete heads=1 consumed=115\nPOST||a|a|/|0||HTTP/1.1|body 2 0|keep\nhost: a\n"
       "transfer-encoding: chunked\nbody=x\na: b\netag: \"e\"\n"},
      {"expects", post("Expect: 100-Continue\r\nContent-Length: 1\r\n", "x"),
       "complete heads=1 consumed=70\nPOST||a|a|/|0||HTTP/1.1|expects|body 1 1|keep\nhost: a\n"
       "expect: 100-Continue\ncontent-length: 1\nbody=x\n"},
      {"expects nothing", get("Expect: 100-continue\r\n"),
       "complete heads=1 consumed=49\nGET||a|a|/|0||HTTP/1.1|body 0 0|keep\nhost: a\nbody=\n"},
      {"websocket", get("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n") + "bytes",
       "upgraded heads=1 consumed=80\nGET||a|a|/|0||HTTP/1.1|upgrade websocket|body 0 "
       "0|keep\nhost: a\n"
       "connection: keep-alive, Upgrade\nupgrade: websocket\nbody=\n"},
      {"upgrade after a body",
       post("Connection: upgrade\r\nUpgrade: x/1\r\nContent-Length: 1\r\n", "yz"),
       "upgraded heads=1 consumed=83\nPOST||a|a|/|0||HTTP/1.1|upgrade x/1|body 1 1|keep\nhost: a\n"
       "connection: upgrade\nupgrade: x/1\ncontent-length: 1\nbody=y\n"},
      {"upgrade not nominated", get("Upgrade: websocket\r\n"),
       "complete heads=1 consumed=47\nGET||a|a|/|0||HTTP/1.1|body 0 0|keep\nhost: a\nbody=\n"},
      {"upgrade in HTTP/1.0", "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
       "complete heads=1 consumed=59\nGET||||/|0||HTTP/1.0|body 0 0|close\nconnection: "
       "upgrade\nbody=\n"},
      {"h2c", get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n"),
       "complete heads=1 consumed=99\nGET||a|a|/|0||HTTP/1.1|body 0 0|keep\nhost: a\n"
       "connection: Upgrade, HTTP2-Settings\nbody=\n"},
      {"h2c and websocket", get("Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n"),
       "upgraded heads=1 consumed=73\nGET||a|a|/|0||HTTP/1.1|upgrade websocket|body 0 "
       "0|keep\nhost: a\n"
       "connection: Upgrade\nupgrade: websocket\nbody=\n"},
      {"twins of known names",
       get("X_Forwarded_For: 1\r\nContent.Length: 5\r\nA_b: c\r\nHOST_: d\r\n"),
       "complete heads=1 consumed=84\nGET||a|a|/|0||HTTP/1.1|body 0 0|keep\nhost: a\na_b: "
       "c\nhost_: d\n"
       "body=\n"},
  };
  for (const Good& row : rows) {
    SCOPED_TRACE(row.what);
    EXPECT_EQ(outcome(true, row.text, 0, 0, Method::get, false, {}), row.expected);
    expect_same_in_all_cuts(true, row.text);
  }
}

// What is not complete asks for more, at every place, and a close there is an error.
TEST(H1ParserRequest, EveryBeginningNeedsMore) {
  const std::string text = chunked("5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n");
  for (std::size_t size = 0; size < text.size(); ++size) {
    H1Replay replay;
    replay.run(true, text.substr(0, size), 0, 0);
    ASSERT_EQ(replay.result, Result::need_more) << size;
    EXPECT_EQ(replay.parser.has_begun(), size > 0);
    EXPECT_EQ(replay.parser.has_head(), replay.heads == 1);
    replay.finish();
    EXPECT_EQ(replay.result, Result::failed);
    EXPECT_EQ(replay.parser.error().reason, EndReason::client_closed);
  }
}

TEST(H1ParserRequest, Limits) {
  const MessageLimits limits{.header_bytes = 200, .header_count = 3, .uri_bytes = 50};
  const auto reason = [&limits](const std::string& text) {
    H1Replay replay(limits);
    replay.run(true, text, 0, 0);
    expect_same_in_all_cuts(true, text, Method::get, false, limits);
    return replay.result == Result::complete ? EndReason::ok : replay.parser.error().reason;
  };
  const std::string host = "Host: a\r\n";
  EXPECT_EQ(reason("GET /" + std::string(49, 'a') + " HTTP/1.1\r\n" + host + "\r\n"),
            EndReason::ok);
  EXPECT_EQ(reason("GET /" + std::string(50, 'a') + " HTTP/1.1\r\n" + host + "\r\n"),
            EndReason::rejected_uri_length);
  EXPECT_EQ(reason(get("A: 1\r\nB: 2\r\n")), EndReason::ok);
  EXPECT_EQ(reason(get("A: 1\r\nB: 2\r\nC: 3\r\n")), EndReason::rejected_header_size);
  const std::string fixed = get("A: \r\n");
  EXPECT_EQ(reason(get("A: " + std::string(200 - fixed.size() - 1, 'x') + "\r\n")), EndReason::ok);
  EXPECT_EQ(reason(get("A: " + std::string(200 - fixed.size() + 1, 'x') + "\r\n")),
            EndReason::rejected_header_size);
  EXPECT_EQ(reason(get("A: " + std::string(20000, 'x') + "\r\n")), EndReason::rejected_header_size);
  EXPECT_EQ(reason(get(std::string(20000, 'x') + ": a\r\n")), EndReason::rejected_header_size);
  EXPECT_EQ(reason(chunked("0\r\nA: " + std::string(100, 'x') + "\r\n\r\n")), EndReason::ok);
  EXPECT_EQ(reason(chunked("0\r\nA: " + std::string(200, 'x') + "\r\n\r\n")),
            EndReason::rejected_header_size);
  EXPECT_EQ(reason(chunked("0\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\n\r\n")),
            EndReason::rejected_header_size);
}

TEST(H1ParserRequest, ChunkExtensionsAreBoundedInSum) {
  std::string body;
  for (int i = 0; i < 70; ++i)
    body += "1;" + std::string(1000, 'a') + "\r\nx\r\n";
  H1Replay replay;
  replay.run(true, chunked(body), 0, 0);
  EXPECT_EQ(replay.result, Result::failed);
  EXPECT_EQ(replay.parser.error().reason, EndReason::rejected_chunk);
  EXPECT_EQ(replay.body.size(), 65u);
}

// A long value that comes byte by byte is copied a few times, not once for each byte.
TEST(H1ParserRequest, ManySmallPiecesTakeLittleMemory) {
  base::ChunkPool pool;
  base::Arena arena(pool);
  H1Replay sink;
  Head head;
  H1Parser parser;
  const MessageLimits limits;
  parser.start_request(arena, head, sink, limits);
  const std::string text = get("A: " + std::string(16000, 'x') + "\r\n");
  for (const char c : text)
    static_cast<void>(parser.feed({&c, 1}));
  EXPECT_TRUE(parser.has_head());
  EXPECT_EQ(head.fields.value_of(HeaderId::host), "a");
  EXPECT_EQ(head.fields.field(1).value_size, 16000u);
  EXPECT_LE(pool.in_use(), 4u);
}

class Stopper final : public H1ParserSink {
 public:
  H1Parser* parser = nullptr;
  int stop_at = 0;
  int events = 0;
  void on_message_head() override { count(); }
  void on_message_body(std::span<const char>) override { count(); }

 private:
  void count() {
    if (++events == stop_at) parser->stop();
  }
};

TEST(H1ParserRequest, StopsWithinAnyEvent) {
  const std::string text = chunked("1\r\nx\r\n2\r\nyz\r\n0\r\n\r\n");
  for (int at = 1; at <= 3; ++at) {
    base::ChunkPool pool;
    base::Arena arena(pool);
    Head head;
    H1Parser parser;
    Stopper sink;
    sink.parser = &parser;
    sink.stop_at = at;
    const MessageLimits limits;
    parser.start_request(arena, head, sink, limits);
    const auto progress = parser.feed({text.data(), text.size()});
    EXPECT_EQ(progress.result, Result::stopped);
    EXPECT_EQ(sink.events, at);
    EXPECT_LT(progress.consumed, text.size());
  }
}

TEST(H1ParserRequest, IsReusedForMessageAfterMessage) {
  base::ChunkPool pool;
  base::Arena arena(pool);
  Head head;
  H1Parser parser;
  H1Replay sink;
  const MessageLimits limits;
  const std::string text = chunked("1\r\nx\r\n0\r\nA: b\r\n\r\n") + get("B: c\r\n") +
                           post("Content-Length: 1\r\n", "y") + get("");
  std::size_t at = 0;
  for (int i = 0; i < 4; ++i) {
    parser.start_request(arena, head, sink, limits);
    EXPECT_FALSE(parser.has_begun());
    const auto progress = parser.feed({text.data() + at, text.size() - at});
    ASSERT_EQ(progress.result, Result::complete) << i;
    EXPECT_EQ(parser.trailers() != nullptr, i == 0);
    at += progress.consumed;
    arena.reset();
  }
  EXPECT_EQ(at, text.size());
  EXPECT_EQ(sink.heads, 4);
  EXPECT_EQ(sink.body, "xy");
}

}  // namespace
}  // namespace portunus::http
