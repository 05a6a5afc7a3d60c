#include "http/h1_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "h1_replay.h"

namespace portunus::http {
namespace {

using base::EndReason;
using Result = H1Parser::Result;
using std::string_literals::operator""s;

std::string outcome(bool is_request,
                    std::string_view text,
                    std::size_t step,
                    std::size_t cut,
                    Method method,
                    bool upgrade_asked,
                    MessageLimits limits) {
  H1Replay replay(limits);
  replay.request_method = method;
  replay.upgrade_asked = upgrade_asked;
  replay.run(is_request, text, step, cut);
  return replay.describe();
}

// The same message whole, byte by byte, and cut once at every place: one outcome.
void expect_same_in_all_cuts(bool is_request,
                             const std::string& text,
                             Method method = Method::get,
                             bool upgrade_asked = false,
                             MessageLimits limits = {}) {
  const std::string whole = outcome(is_request, text, 0, 0, method, upgrade_asked, limits);
  EXPECT_EQ(whole.find("OVERRUN"), std::string::npos) << whole;
  EXPECT_EQ(outcome(is_request, text, 1, 0, method, upgrade_asked, limits), whole) << text;
  EXPECT_EQ(outcome(is_request, text, 7, 0, method, upgrade_asked, limits), whole) << text;
  if (text.size() > 4000) return;
  for (std::size_t cut = 1; cut < text.size(); ++cut) {
    ASSERT_EQ(outcome(is_request, text, 0, cut, method, upgrade_asked, limits), whole)
        << "cut at " << cut << " of\n"
        << text;
  }
}

struct Bad {
  const char* what;
  std::string text;
  EndReason reason;
};

std::string get(const std::string& fields) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}
std::string post(const std::string& fields, const std::string& body = "") {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body;
}
std::string chunked(const std::string& body) {
  return post("Transfer-Encoding: chunked\r\n", body);
}
std::string line(const std::string& request_line) {
  return request_line + "\r\nHost: a\r\n\r\n";
}

// THREATS.md section 1, requests: nothing of these messages may pass.
const std::vector<Bad>& bad_requests() {
  static const std::vector<Bad> rows{
      {"CL and TE", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
       EndReason::rejected_framing},
      {"TE and CL", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
       EndReason::rejected_framing},
      {"two CL, equal", post("Content-Length: 1\r\nContent-Length: 1\r\n", "x"),
       EndReason::rejected_framing},
      {"two CL, differing", post("Content-Length: 1\r\nContent-Length: 2\r\n", "xx"),
       EndReason::rejected_framing},
      {"CL list", post("Content-Length: 5, 5\r\n", "xxxxx"), EndReason::rejected_framing},
      {"CL +5", post("Content-Length: +5\r\n", "xxxxx"), EndReason::rejected_framing},
      {"CL -0", post("Content-Length: -0\r\n"), EndReason::rejected_framing},
      {"CL 0x5", post("Content-Length: 0x5\r\n", "xxxxx"), EndReason::rejected_framing},
      {"CL 5 5", post("Content-Length: 5 5\r\n", "xxxxx"), EndReason::rejected_framing},
      {"CL empty", post("Content-Length: \r\n"), EndReason::rejected_framing},
      {"CL 2^63", post("Content-Length: 9223372036854775808\r\n"), EndReason::rejected_framing},
      {"CL 2^64", post("Content-Length: 18446744073709551616\r\n"), EndReason::rejected_framing},
      {"CL long", post("Content-Length: 00000000000000000000001\r\n", "x"),
       EndReason::rejected_framing},
      {"TE identity", post("Transfer-Encoding: identity\r\n"), EndReason::rejected_transfer_coding},
      {"TE gzip", post("Transfer-Encoding: gzip\r\n"), EndReason::rejected_transfer_coding},
      {"TE gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
       EndReason::rejected_framing},
      {"TE chunked, chunked", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
       EndReason::rejected_framing},
      {"TE chunked, identity", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
       EndReason::rejected_framing},
      {"TE xchunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
       EndReason::rejected_transfer_coding},
      {"TE chunked;q=1", post("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"),
       EndReason::rejected_framing},
      {"TE VT",
       post("Transfer-Encoding: \x0b"
            "chunked\r\n",
            "0\r\n\r\n"),
       EndReason::rejected_header},
      {"TE tab before", post("Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n"),
       EndReason::rejected_framing},
      {"TE space and tab before", post("Transfer-Encoding: \tchunked\r\n", "0\r\n\r\n"),
       EndReason::rejected_framing},
      {"TE tab and space before", post("Transfer-Encoding:\t chunked\r\n", "0\r\n\r\n"),
       EndReason::rejected_framing},
      {"TE tab behind", post("Transfer-Encoding: chunked\t\r\n", "0\r\n\r\n"),
       EndReason::rejected_framing},
      {"TE VT behind", post("Transfer-Encoding: chunked\x0b\r\n", "0\r\n\r\n"),
       EndReason::rejected_header},
      {"TE quoted", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
       EndReason::rejected_framing},
      {"TE empty", post("Transfer-Encoding:\r\n"), EndReason::rejected_framing},
      {"TE comma", post("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n"),
       EndReason::rejected_framing},
      {"TE two fields",
       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
       EndReason::rejected_framing},
      {"TE two fields, gzip",
       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", "0\r\n\r\n"),
       EndReason::rejected_framing},
      {"TE in HTTP/1.0",
       "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       EndReason::rejected_framing},
      {"chunk size empty", chunked("\r\nx\r\n0\r\n\r\n"), EndReason::rejected_chunk},
      {"chunk size sign", chunked("+1\r\nx\r\n0\r\n\r\n"), EndReason::rejected_chunk},
      {"chunk size minus", chunked("-1\r\nx\r\n0\r\n\r\n"), EndReason::rejected_chunk},
      {"chunk size 0x", chunked("0x1\r\nx\r\n0\r\n\r\n"), EndReason::rejected_chunk},
      {"chunk size 17 digits", chunked("00000000000000001\r\nx\r\n0\r\n\r\n"),
       EndReason::rejected_chunk},
      {"chunk size over 2^63", chunked("8000000000000000\r\nx"), EndReason::rejected_chunk},
      {"chunk size 2^64", chunked("10000000000000000\r\nx"), EndReason::rejected_chunk},
      {"chunk size space behind", chunked("1 \r\nx\r\n0\r\n\r\n"), EndReason::rejected_chunk},
      {"chunk size space before", chunked(" 1\r\nx\r\n0\r\n\r\n"), EndReason::rejected_chunk},
      {"chunk size tab", chunked("1\t\r\nx\r\n0\r\n\r\n"), EndReason::rejected_chunk},
      {"chunk size bare LF", chunked("1\nx\r\n0\r\n\r\n"), EndReason::rejected_chunk},
      {"chunk size bare CR", chunked("1\rx\r\n0\r\n\r\n"), EndReason::rejected_chunk},
      {"chunk extension LF", chunked("1;a\nx\r\n0\r\n\r\n"), EndReason::rejected_chunk},
      {"chunk extension CR", chunked("1;a\rb\r\nx\r\n0\r\n\r\n"), EndReason::rejected_chunk},
      {"chunk extension NUL", chunked("1;a\0b\r\nx\r\n0\r\n\r\n"s), EndReason::rejected_chunk},
      {"chunk extension quoted CRLF", chunked("1;a=\"\r\nx\r\n0\r\n\r\n"),
       EndReason::rejected_chunk},
      {"chunk extension escaped CR", chunked("1;a=\"\\\r\nx\r\n0\r\n\r\n"),
       EndReason::rejected_chunk},
      {"chunk extension long", chunked("1;" + std::string(1100, 'a') + "\r\nx\r\n0\r\n\r\n"),
       EndReason::rejected_chunk},
      {"chunk data without CRLF", chunked("1\r\nx0\r\n\r\n"), EndReason::rejected_chunk},
      {"chunk data with LF", chunked("1\r\nx\n0\r\n\r\n"), EndReason::rejected_chunk},
      {"chunk data with CR CR", chunked("1\r\nx\r\r0\r\n\r\n"), EndReason::rejected_chunk},
      {"chunk data too long", chunked("1\r\nxy\r\n0\r\n\r\n"), EndReason::rejected_chunk},
      {"last chunk LF", chunked("0\n\r\n"), EndReason::rejected_chunk},
      {"trailer section LF", chunked("0\r\n\n"), EndReason::rejected_chunk},
      {"trailer field LF", chunked("0\r\nA: b\n\r\n"), EndReason::rejected_chunk},
      {"trailer folded", chunked("0\r\nA: b\r\n c\r\n\r\n"), EndReason::rejected_chunk},
      {"bare CR in a value", get("A: b\rc\r\n"), EndReason::rejected_header},
      {"bare CR as line end", "GET / HTTP/1.1\r\nHost: a\rA: b\r\n\r\n",
       EndReason::rejected_header},
      {"bare LF in a field", get("A: b\n"), EndReason::rejected_header},
      {"bare LF at the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n",
       EndReason::rejected_request_line},
      {"bare LF and a digit", "GET / HTTP/1.1\n1: a\r\n\r\n", EndReason::rejected_request_line},
      {"bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", EndReason::rejected_header},
      {"CR CR LF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", EndReason::rejected_request_line},
      {"NUL in a value", get("A: b\0c\r\n"s), EndReason::rejected_header},
      {"NUL in a name", get("A\0: b\r\n"s), EndReason::rejected_header},
      {"control in a value", get("A: b\x01\r\n"), EndReason::rejected_header},
      {"DEL in a value", get("A: b\x7f\r\n"), EndReason::rejected_header},
      {"obs-fold", get("A: b\r\n c\r\n"), EndReason::rejected_header},
      {"obs-fold with tab", get("A: b\r\n\tc\r\n"), EndReason::rejected_header},
      {"obs-fold after an empty value", get("A:\r\n b\r\n"), EndReason::rejected_header},
      {"obs-fold of a coding", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
       EndReason::rejected_header},
      {"space before the colon", get("A : b\r\n"), EndReason::rejected_header},
      {"tab before the colon", get("A\t: b\r\n"), EndReason::rejected_header},
      {"space before Host's colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
       EndReason::rejected_header},
      {"empty name", get(": b\r\n"), EndReason::rejected_header},
      {"no colon", get("Abc\r\n"), EndReason::rejected_header},
      {"name with a space", get("A b: c\r\n"), EndReason::rejected_header},
      {"name with a slash", get("A/b: c\r\n"), EndReason::rejected_header},
      {"name with a brace", get("A{: c\r\n"), EndReason::rejected_header},
      {"name not ASCII", get("\xc3\x84: c\r\n"), EndReason::rejected_header},
      {"leading space on the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
       EndReason::rejected_header},
      {"leading tab on the first field", "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n",
       EndReason::rejected_header},
      {"no Host", "GET / HTTP/1.1\r\n\r\n", EndReason::rejected_host},
      {"two Hosts", get("Host: a\r\n"), EndReason::rejected_host},
      {"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
       EndReason::rejected_host},
      {"Host empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", EndReason::rejected_host},
      {"Host with slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", EndReason::rejected_host},
      {"Host with userinfo", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", EndReason::rejected_host},
      {"Host with space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", EndReason::rejected_host},
      {"Host with two", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", EndReason::rejected_host},
      {"Host port word", "GET / HTTP/1.1\r\nHost: a:http\r\n\r\n", EndReason::rejected_host},
      {"Host port large", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", EndReason::rejected_host},
      {"Host two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", EndReason::rejected_host},
      {"Host not ASCII", "GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", EndReason::rejected_host},
      {"Host bad escape", "GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n", EndReason::rejected_host},
      {"Host bad IPv6", "GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n", EndReason::rejected_host},
      {"Host open IPv6", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", EndReason::rejected_host},
      {"Host IPv6 and more", "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", EndReason::rejected_host},
      {"absolute-form against Host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
       EndReason::rejected_host},
      {"absolute-form other port", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n",
       EndReason::rejected_host},
      {"userinfo in the authority", line("GET http://u@a/ HTTP/1.1"), EndReason::rejected_target},
      {"authority empty", line("GET http:///x HTTP/1.1"), EndReason::rejected_target},
      {"scheme ftp", line("GET ftp://a/ HTTP/1.1"), EndReason::rejected_target},
      {"two spaces after the method", line("GET  / HTTP/1.1"), EndReason::rejected_request_line},
      {"two spaces after the target", line("GET /  HTTP/1.1"), EndReason::rejected_request_line},
      {"space after the version", line("GET / HTTP/1.1 "), EndReason::rejected_request_line},
      {"leading space", line(" GET / HTTP/1.1"), EndReason::rejected_request_line},
      {"HTTP/1.2", line("GET / HTTP/1.2"), EndReason::rejected_version},
      {"HTTP/2.0", line("GET / HTTP/2.0"), EndReason::rejected_version},
      {"HTTP/0.9 spelt", line("GET / HTTP/0.9"), EndReason::rejected_version},
      {"HTTP/1.10", line("GET / HTTP/1.10"), EndReason::rejected_version},
      {"HTTP/01.1", line("GET / HTTP/01.1"), EndReason::rejected_version},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", EndReason::rejected_version},
      {"HTTP/0.9", "GET /\r\n\r\n", EndReason::rejected_request_line},
      {"lower-case version", line("GET / http/1.1"), EndReason::rejected_request_line},
      {"RTSP", line("GET / RTSP/1.0"), EndReason::rejected_version},
      {"ICE", line("SOURCE / ICE/1.0"), EndReason::rejected_version},
      {"tab after the method", line("GET\t/ HTTP/1.1"), EndReason::rejected_request_line},
      {"tab after the target", line("GET /\tHTTP/1.1"), EndReason::rejected_target},
      {"fragment", line("GET /a#b HTTP/1.1"), EndReason::rejected_target},
      {"fragment in the query", line("GET /a?b#c HTTP/1.1"), EndReason::rejected_target},
      {"not ASCII in the target", line("GET /\xc3\xa4 HTTP/1.1"), EndReason::rejected_target},
      {"not ASCII in the query", line("GET /?\xc3\xa4 HTTP/1.1"), EndReason::rejected_target},
      {"control in the target", line("GET /\x01 HTTP/1.1"), EndReason::rejected_target},
      {"DEL in the target", line("GET /\x7f HTTP/1.1"), EndReason::rejected_target},
      {"NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"s, EndReason::rejected_target},
      {"no target", line("GET HTTP/1.1"), EndReason::rejected_target},
      {"asterisk of GET", line("GET * HTTP/1.1"), EndReason::rejected_target},
      {"leaves the root", line("GET /../a HTTP/1.1"), EndReason::rejected_target},
      {"backslash", line("GET /a\\b HTTP/1.1"), EndReason::rejected_target},
      {"bad escape", line("GET /%zz HTTP/1.1"), EndReason::rejected_target},
      {"unknown method", line("FOO / HTTP/1.1"), EndReason::rejected_method},
      {"method in lower case", line("get / HTTP/1.1"), EndReason::rejected_method},
      {"method cut short", line("GE / HTTP/1.1"), EndReason::rejected_method},
      {"method too long", line("GETT / HTTP/1.1"), EndReason::rejected_method},
      {"method of RTSP", line("DESCRIBE / HTTP/1.1"), EndReason::rejected_method},
      {"method no token", line("{} / HTTP/1.1"), EndReason::rejected_request_line},
      {"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc"s, EndReason::rejected_request_line},
      {"CONNECT", line("CONNECT a:80 HTTP/1.1"), EndReason::rejected_method},
      {"TRACE", line("TRACE / HTTP/1.1"), EndReason::rejected_method},
      {"Expect other", post("Expect: 200-ok\r\nContent-Length: 1\r\n", "x"),
       EndReason::rejected_expect},
      {"Expect list", post("Expect: 100-continue, x\r\nContent-Length: 1\r\n", "x"),
       EndReason::rejected_expect},
      {"two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
       EndReason::rejected_request_line},
      {"LF before", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", EndReason::rejected_request_line},
      {"CR before", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", EndReason::rejected_request_line},
  };
  return rows;
}

TEST(H1ParserRequest, WhatMustBounceBounces) {
  for (const Bad& row : bad_requests()) {
    SCOPED_TRACE(row.what);
    H1Replay replay;
    replay.run(true, row.text, 0, 0);
    EXPECT_EQ(replay.result, Result::failed) << replay.describe();
    EXPECT_EQ(base::name_of(replay.parser.error().reason), base::name_of(row.reason))
        << replay.parser.error().detail;
    EXPECT_EQ(replay.parser.error().side, base::Side::client);
    EXPECT_NE(std::string(replay.parser.error().detail), "");
    const bool is_late = row.reason == EndReason::rejected_chunk;
    EXPECT_EQ(replay.heads, is_late ? 1 : 0) << "nothing of a bad head may be told";
    // A failed parser stays failed.
    EXPECT_EQ(replay.parser.feed(std::span<const char>("x", 1)).result, Result::failed);
    expect_same_in_all_cuts(true, row.text);
  }
}

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
