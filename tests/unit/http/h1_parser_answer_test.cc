// H1Parser: answers.
#include "tests/unit/http/h1_parser_fixture.h"

namespace portunus::http {
namespace {

struct BadAnswer {
  const char* what;
  std::string text;
  Method method = Method::get;
  bool upgrade_asked = false;
};
std::string answer(const std::string& fields, const std::string& body = "") {
  return "HTTP/1.1 200 OK\r\n" + fields + "\r\n" + body;
}

TEST(H1ParserResponse, WhatMustNotPassDoesNot) {
  const std::vector<BadAnswer> rows{
      {"CL and TE", answer("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")},
      {"TE and CL", answer("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")},
      {"two CL", answer("Content-Length: 5\r\nContent-Length: 6\r\n", "hello")},
      {"two CL, equal", answer("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")},
      {"CL list", answer("Content-Length: 5, 5\r\n", "hello")},
      {"CL negative", answer("Content-Length: -1\r\n")},
      {"TE gzip", answer("Transfer-Encoding: gzip\r\n", "x")},
      {"TE gzip, chunked", answer("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")},
      {"TE chunked, gzip", answer("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n")},
      {"TE twice",
       answer("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")},
      {"TE in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"TE of HEAD malformed", answer("Transfer-Encoding: x y\r\n"), Method::head},
      {"CL of 304 malformed", "HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n\r\n"},
      {"garbage before", "xHTTP/1.1 200 OK\r\n\r\n"},
      {"empty line before", "\r\nHTTP/1.1 200 OK\r\n\r\n"},
      {"space before", " HTTP/1.1 200 OK\r\n\r\n"},
      {"a request", get("")},
      {"HTTP/0.9", "<html>"},
      {"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n"},
      {"HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n"},
      {"ICY", "ICY 200 OK\r\n\r\n"},
      {"status 099", "HTTP/1.1 099 x\r\n\r\n"},
      {"status 600", "HTTP/1.1 600 x\r\n\r\n"},
      {"status 20", "HTTP/1.1 20 x\r\n\r\n"},
      {"status 2000", "HTTP/1.1 2000 x\r\n\r\n"},
      {"status 2x0", "HTTP/1.1 2x0 x\r\n\r\n"},
      {"control in the reason",
       "HTTP/1.1 200 a\x01"
       "b\r\n\r\n"},
      {"LF at the status line", "HTTP/1.1 200 OK\nA: b\r\n\r\n"},
      {"LF in a field", answer("A: b\n")},
      {"CR in a value", answer("A: b\rc\r\n")},
      {"NUL in a value", answer("A: b\0\r\n"s)},
      {"folded", answer("A: b\r\n c\r\n")},
      {"space before the colon", answer("A : b\r\n")},
      {"101 not asked for", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"},
      {"101 without Upgrade", "HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\n", Method::get, true},
      {"101 without Connection", "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", Method::get, true},
      {"body on 204", "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\nhello"},
      {"chunked on 204", "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"body on 100", "HTTP/1.1 100 x\r\nContent-Length: 5\r\n\r\nhello"},
      {"body on 103", "HTTP/1.1 103 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"bad chunk", answer("Transfer-Encoding: chunked\r\n", "x\r\n")},
      {"bad trailer", answer("Transfer-Encoding: chunked\r\n", "0\r\nA b\r\n\r\n")},
  };
  for (const BadAnswer& row : rows) {
    SCOPED_TRACE(row.what);
    H1Replay replay;
    replay.request_method = row.method;
    replay.upgrade_asked = row.upgrade_asked;
    replay.run(false, row.text, 0, 0);
    EXPECT_EQ(replay.result, Result::failed) << replay.describe();
    EXPECT_EQ(replay.parser.error().reason, EndReason::upstream_protocol);
    EXPECT_EQ(replay.parser.error().side, base::Side::upstream);
    EXPECT_NE(std::string(replay.parser.error().detail), "");
    expect_same_in_all_cuts(false, row.text, row.method, row.upgrade_asked);
  }
}

struct GoodAnswer {
  const char* what;
  std::string text;
  std::string expected;
  Method method = Method::get;
  bool upgrade_asked = false;
};

TEST(H1ParserResponse, WhatIsRightIsUnderstood) {
  const std::vector<GoodAnswer> rows{
      {"length", answer("Content-Length: 5\r\n", "helloHTTP/1.1"),
       "complete heads=1 consumed=43\n||||"
       "|200|OK|HTTP/1.1|body 1 5|keep\ncontent-length: 5\nbody=hello\n"},
      {"chunked",
       answer("Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\nGrpc-Status: 0\r\n\r\n"),
       "complete heads=1 consumed=75\n|||||200|OK|HTTP/1.1|body 2 0|keep\ntransfer-encoding: "
       "chunked\n"
       "body=hi\ngrpc-status: 0\n"},
      {"until close", answer("", "abc"),
       "need_more heads=1 consumed=22\n|||||200|OK|HTTP/1.1|body 2 0|close\nbody=abc\n"},
      {"chunked with white space", answer("Transfer-Encoding: \t chunked \t\r\n", "0\r\n\r\n"),
       "complete heads=1 consumed=56\n|||||200|OK|HTTP/1.1|body 2 0|keep\ntransfer-encoding: "
       "chunked\n"
       "body=\n"},
      {"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
       "complete heads=1 consumed=39\n|||||200|OK|HTTP/1.0|body 1 1|close\ncontent-length: "
       "1\nbody=x\n"},
      {"HEAD", answer("Content-Length: 5\r\n"),
       "complete heads=1 consumed=38\n|||||200|OK|HTTP/1.1|body 0 5|keep\ncontent-length: "
       "5\nbody=\n",
       Method::head},
      {"HEAD chunked", answer("Transfer-Encoding: chunked\r\n"),
       "complete heads=1 consumed=47\n|||||200|OK|HTTP/1.1|body 0 0|keep\ntransfer-encoding: "
       "chunked\n"
       "body=\n",
       Method::head},
      {"HEAD bare", answer(""),
       "complete heads=1 consumed=19\n|||||200|OK|HTTP/1.1|body 0 0|keep\nbody=\n", Method::head},
      {"204", "HTTP/1.1 204 No Content\r\n\r\n",
       "complete heads=1 consumed=27\n|||||204|No Content|HTTP/1.1|body 0 0|keep\nbody=\n"},
      {"204 with length 0", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
       "complete heads=1 consumed=46\n|||||204|No Content|HTTP/1.1|body 0 0|keep\ncontent-length: "
       "0\nbody=\n"},
      {"304", "HTTP/1.1 304 x\r\nContent-Length: 7\r\n\r\nHTTP",
       "complete heads=1 consumed=37\n|||||304|x|HTTP/1.1|body 0 7|keep\ncontent-length: "
       "7\nbody=\n"},
      {"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
       "complete heads=1 consumed=25\n|||||100|Continue|HTTP/1.1|body 0 0|keep\nbody=\n"},
      {"early hints", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
       "complete heads=1 consumed=40\n|||||103|Early Hints|HTTP/1.1|body 0 0|keep\nlink: "
       "</a>\nbody=\n"},
      {"no reason", "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
       "complete heads=1 consumed=36\n|||||404||HTTP/1.1|body 0 0|keep\ncontent-length: "
       "0\nbody=\n"},
      {"nor a space", "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
       "complete heads=1 consumed=35\n|||||404||HTTP/1.1|body 0 0|keep\ncontent-length: "
       "0\nbody=\n"},
      {"101", "HTTP/1.1 101 S P\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x01x",
       "upgraded heads=1 consumed=61\n|||||101|S P|HTTP/1.1|upgrade websocket|body 0 0|keep\n"
       "connection: Upgrade\nupgrade: websocket\nbody=\n",
       Method::get, true},
      {"upgrade refused",
       "HTTP/1.1 426 x\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\nx",
       "complete heads=1 consumed=73\n|||||426|x|HTTP/1.1|body 1 1|keep\nupgrade: h2c\n"
       "connection: upgrade\ncontent-length: 1\nbody=x\n",
       Method::get, true},
  };
  for (const GoodAnswer& row : rows) {
    SCOPED_TRACE(row.what);
    EXPECT_EQ(outcome(false, row.text, 0, 0, row.method, row.upgrade_asked, {}), row.expected);
    expect_same_in_all_cuts(false, row.text, row.method, row.upgrade_asked);
  }
}

TEST(H1ParserResponse, TheCloseEndsABodyWithoutLengthAndNoOther) {
  H1Replay open;
  open.run(false, answer("", "abc"), 0, 0);
  open.finish();
  EXPECT_EQ(open.result, Result::complete);
  EXPECT_FALSE(open.parser.keeps_alive());

  for (const std::string& text :
       {answer("Content-Length: 5\r\n", "hell"),
        answer("Transfer-Encoding: chunked\r\n", "5\r\nhel"),
        answer("Transfer-Encoding: chunked\r\n", "0\r\n"), "HTTP/1.1 200 OK\r\nA: b\r\n"s, "H"s}) {
    H1Replay cut;
    cut.run(false, text, 0, 0);
    EXPECT_EQ(cut.result, Result::need_more);
    cut.finish();
    EXPECT_EQ(cut.result, Result::failed);
    EXPECT_EQ(cut.parser.error().reason, EndReason::upstream_reset);
    EXPECT_EQ(cut.parser.error().side, base::Side::upstream);
  }
}

}  // namespace
}  // namespace portunus::http
