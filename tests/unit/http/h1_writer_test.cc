#include "http/h1_writer.h"

#include <gtest/gtest.h>

#include <string>

namespace portunus::http {
namespace {

Head& request(Head& head) {
  head.clear();
  head.method_text = "GET";
  head.path = "/a";
  head.fields.add("host", "a");
  head.fields.add("content-length", "99");
  head.fields.add("connection", "close");
  head.fields.add("x-gone", "1");
  head.fields.add("transfer-encoding", "chunked");
  head.fields.add("x-empty", "");
  head.fields.remove("x-gone");
  return head;
}

// Written into exactly as much memory as it takes; less must give 0 and leave what is behind alone.
template <typename Write>
std::string written(const Head& head, const WireHead& wire, Write write) {
  std::string out(64 * 1024, '\0');
  out.resize(write(head, wire, std::span<char>(out)));
  EXPECT_LE(out.size(), head_size_bound(head));
  std::string exact(out.size(), '\0');
  EXPECT_EQ(write(head, wire, std::span<char>(exact)), out.size());
  EXPECT_EQ(exact, out);
  for (std::size_t size = 0; size < out.size(); ++size) {
    std::string small(size + 1, '#');
    EXPECT_EQ(write(head, wire, std::span<char>(small).first(size)), 0u);
    EXPECT_EQ(small[size], '#');
  }
  return out;
}

TEST(H1Writer, Requests) {
  Head head;
  request(head);
  EXPECT_EQ(written(head, {}, write_request_head),
            "GET /a HTTP/1.1\r\nhost: a\r\nx-empty: \r\n\r\n");
  head.has_query = true;
  EXPECT_EQ(written(head, {}, write_request_head).substr(0, 17), "GET /a? HTTP/1.1\r");
  head.query = "b=c";
  EXPECT_EQ(
      written(head, {WireFraming::content_length, WireConnection::unsaid, 18446744073709551615u},
              write_request_head),
      "GET /a?b=c HTTP/1.1\r\nhost: a\r\nx-empty: \r\ncontent-length: "
      "18446744073709551615\r\n\r\n");
  EXPECT_EQ(written(head, {WireFraming::chunked, WireConnection::keep_alive}, write_request_head),
            "GET /a?b=c HTTP/1.1\r\nhost: a\r\nx-empty: \r\nconnection: keep-alive\r\n"
            "transfer-encoding: chunked\r\n\r\n");
}

TEST(H1Writer, ConnectionOptionsOfUpgradeAndTe) {
  Head head;
  head.method_text = "GET";
  head.path = "/";
  head.fields.add("upgrade", "websocket");
  EXPECT_EQ(written(head, {}, write_request_head),
            "GET / HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n");
  head.fields.add("te", "trailers");
  EXPECT_EQ(
      written(head, {}, write_request_head),
      "GET / HTTP/1.1\r\nupgrade: websocket\r\nte: trailers\r\nconnection: upgrade, te\r\n\r\n");
  head.fields.remove("upgrade");
  EXPECT_EQ(written(head, {WireFraming::none, WireConnection::close}, write_request_head),
            "GET / HTTP/1.1\r\nte: trailers\r\nconnection: close, te\r\n\r\n");
  EXPECT_EQ(written(head, {WireFraming::none, WireConnection::keep_alive}, write_request_head),
            "GET / HTTP/1.1\r\nte: trailers\r\nconnection: keep-alive, te\r\n\r\n");
}

TEST(H1Writer, Responses) {
  Head head;
  request(head);
  head.status = 200;
  head.reason = "Fine";
  EXPECT_EQ(
      written(head, {WireFraming::content_length, WireConnection::close, 0}, write_response_head),
      "HTTP/1.1 200 OK\r\nhost: a\r\nx-empty: \r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
  head.status = 299;
  EXPECT_EQ(written(head, {}, write_response_head).substr(0, 19), "HTTP/1.1 299 Fine\r\n");
  head.reason = {};
  EXPECT_EQ(written(head, {}, write_response_head).substr(0, 15), "HTTP/1.1 299 \r\n");
}

TEST(H1Writer, DateWhereTheBlockHasNone) {
  Head head;
  head.status = 511;
  WireHead wire{WireFraming::content_length, WireConnection::keep_alive, ~std::uint64_t{0}};
  wire.date = "Sun, 06 Nov 1994 08:49:37 GMT";
  head.fields.add("upgrade", "x");
  EXPECT_NE(written(head, wire, write_response_head)
                .find("\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nupgrade: x\r\n"),
            std::string::npos);
  head.fields.add("date", "now");
  EXPECT_EQ(written(head, wire, write_response_head).find("1994"), std::string::npos);
}

// Every way of copying a text, at its bounds.
TEST(H1Writer, ValuesOfAnySize) {
  for (std::size_t size = 0; size < 70; ++size) {
    Head head;
    head.method_text = "GET";
    head.path = "/";
    std::string value(size, 'x');
    for (std::size_t i = 0; i < size; ++i)
      value[i] = static_cast<char>('!' + i);
    head.fields.add("a", value);
    EXPECT_EQ(written(head, {}, write_request_head), "GET / HTTP/1.1\r\na: " + value + "\r\n\r\n");
  }
}

TEST(H1Writer, ChunksAndTrailers) {
  char header[kChunkHeaderMax];
  const auto text = [&header](std::uint64_t size) {
    return std::string(header, write_chunk_header(size, header));
  };
  EXPECT_EQ(text(1), "1\r\n");
  EXPECT_EQ(text(0xabc), "abc\r\n");
  EXPECT_EQ(text(~std::uint64_t{0}), "ffffffffffffffff\r\n");

  HeaderBlock trailers;
  trailers.add("a", "b");
  trailers.add("c", "d");
  trailers.remove("a");
  std::string out(64, '\0');
  out.resize(write_trailers(trailers, out));
  EXPECT_EQ(out, "0\r\nc: d\r\n\r\n");
  EXPECT_EQ(write_trailers(trailers, std::span<char>(out).first(out.size() - 1)), 0u);
}

}  // namespace
}  // namespace portunus::http
