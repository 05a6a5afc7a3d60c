#include "proxy/compression.h"

#include <gtest/gtest.h>

#include <string>

namespace portunus::proxy {
namespace {

using http::BodyKind;
using http::ContentCoding;
using http::HeaderId;

// A long page for a client that takes gzip; each test changes what it is about.
struct CompressionCase {
  CompressionCase() {
    request.clear();
    answer.clear();
    rule.codings = {conf::ContentCoding::br, conf::ContentCoding::gzip};
    rule.types = {"text/html", "application/*"};
    request.fields.add(HeaderId::accept_encoding, "gzip");
    answer.status = 200;
    answer.body = BodyKind::length;
    answer.content_length = 5000;
    answer.fields.add(HeaderId::content_type, "text/html; charset=utf-8");
  }
  [[nodiscard]] CompressionChoice choice() const {
    return choose_compression(rule, wanted_coding(rule, request), request, answer);
  }
  conf::Compression rule;
  http::Head request;
  http::Head answer;
};

TEST(Compression, ALongPage) {
  CompressionCase page;
  EXPECT_TRUE(page.choice().varies);
  EXPECT_EQ(page.choice().coding, ContentCoding::gzip);
  page.answer.body = BodyKind::unknown;
  EXPECT_EQ(page.choice().coding, ContentCoding::gzip);
}

TEST(Compression, AHeadIsJudgedByTheLengthOfWhatAGetWouldGet) {
  CompressionCase page;
  page.request.method = http::Method::head;
  page.answer.body = BodyKind::none;
  page.answer.content_length = 10;
  EXPECT_TRUE(page.choice().varies);  // nobody knows
  page.answer.fields.add(HeaderId::content_length, "10");
  EXPECT_FALSE(page.choice().varies);
  page.answer.content_length = 5000;
  EXPECT_TRUE(page.choice().varies);
}

TEST(Compression, VariesForClientsThatDoNotTakeIt) {
  CompressionCase page;
  page.request.fields.remove(HeaderId::accept_encoding);
  EXPECT_TRUE(page.choice().varies);
  EXPECT_FALSE(page.choice().coding);
  CompressionCase old;
  old.request.protocol = http::Protocol::http10;
  EXPECT_TRUE(old.choice().varies);
  EXPECT_FALSE(old.choice().coding);
}

TEST(Compression, StatusesWithoutAWholeBody) {
  for (const int status : {101, 204, 205, 304}) {
    CompressionCase page;
    page.answer.status = static_cast<std::uint16_t>(status);
    EXPECT_FALSE(page.choice().varies) << status;
  }
  for (const int status : {200, 201, 404, 500}) {
    CompressionCase page;
    page.answer.status = static_cast<std::uint16_t>(status);
    EXPECT_TRUE(page.choice().coding) << status;
  }
}

// What a cache has of a page in parts must not be given to those who would get it compressed.
TEST(Compression, APartVariesAndStaysAsItIs) {
  CompressionCase part;
  part.answer.status = 206;
  EXPECT_TRUE(part.choice().varies);
  EXPECT_FALSE(part.choice().coding);
  part.answer.content_length = 10;  // of how much, nobody says
  EXPECT_TRUE(part.choice().varies);
  part.answer.fields.add(HeaderId::content_encoding, "br");
  EXPECT_FALSE(part.choice().varies);
  CompressionCase image;
  image.answer.status = 206;
  image.answer.fields.set_value(image.answer.fields.find(HeaderId::content_type), "image/png");
  EXPECT_FALSE(image.choice().varies);
}

TEST(Compression, WhatStaysAsItIs) {
  struct Row {
    const char* name;
    const char* value;
    bool of_request;
  };
  const Row rows[] = {
      {"content-encoding", "br", false},
      {"cache-control", "max-age=5, no-transform", false},
      {"cache-control", "No-Transform", true},
      {"content-digest", "sha-256=:x:", false},
      {"repr-digest", "sha-256=:x:", false},
      {"digest", "sha-256=x", false},
      {"content-md5", "x", false},
  };
  for (const Row& row : rows) {
    CompressionCase page;
    (row.of_request ? page.request : page.answer).fields.add(row.name, row.value);
    EXPECT_FALSE(page.choice().varies) << row.name;
    EXPECT_FALSE(page.choice().coding) << row.name;
  }
  CompressionCase tiny;
  tiny.answer.content_length = tiny.rule.min_bytes - 1;
  EXPECT_FALSE(tiny.choice().varies);
  tiny.answer.content_length = tiny.rule.min_bytes;
  EXPECT_TRUE(tiny.choice().coding);
}

TEST(Compression, Types) {
  struct Row {
    const char* type;
    bool is_compressed;
  };
  const Row rows[] = {
      {"text/html", true},
      {"TEXT/HTML ; x=y", true},
      {"text/htm", false},
      {"text/html5", false},
      {"text/event-stream", false},
      {"application/json", true},
      {"image/png", false},
      {"application", false},
      {"", false},
      {"application/grpc", false},
      {"application/grpc+proto", false},
      {"applications/x", false},
      {"application/grpc-web", false},
  };
  for (const Row& row : rows) {
    CompressionCase page;
    page.answer.fields.remove(HeaderId::content_type);
    page.answer.fields.add(HeaderId::content_type, row.type);
    EXPECT_EQ(page.choice().coding.has_value(), row.is_compressed) << row.type;
  }
}

TEST(Compression, TheHeadOfACompressedAnswer) {
  base::ChunkPool chunks;
  base::Arena arena(chunks);
  CompressionCase page;
  http::Head& answer = page.answer;
  answer.fields.add(HeaderId::content_length, "5000");
  answer.fields.add("accept-ranges", "bytes");
  answer.fields.add(HeaderId::etag, "\"abc\"");
  ASSERT_TRUE(announce_coding(ContentCoding::gzip, arena, answer));
  EXPECT_EQ(answer.fields.value_of(HeaderId::content_encoding), "gzip");
  EXPECT_EQ(answer.fields.value_of(HeaderId::etag), "W/\"abc\"");
  EXPECT_FALSE(answer.fields.has(HeaderId::content_length));
  EXPECT_EQ(answer.fields.find("accept-ranges"), http::HeaderBlock::kNone);
  EXPECT_EQ(answer.body, BodyKind::unknown);
  answer.fields.set(HeaderId::etag, "W/\"abc\"");
  ASSERT_TRUE(announce_coding(ContentCoding::gzip, arena, answer));
  EXPECT_EQ(answer.fields.value_of(HeaderId::etag), "W/\"abc\"");
}

TEST(Compression, WithoutRoomNothingIsChanged) {
  base::ChunkPool chunks;
  base::Arena arena(chunks);
  CompressionCase page;
  while (page.answer.fields.add("x", "y")) {
  }
  EXPECT_FALSE(announce_coding(ContentCoding::gzip, arena, page.answer));
  EXPECT_EQ(page.answer.body, BodyKind::length);
}

TEST(Compression, A304HasTheEtagThatTheClientKnows) {
  struct Row {
    const char* known;
    const char* etag;
    const char* told;
  };
  const Row rows[] = {
      {"W/\"abc\"", "\"abc\"", "W/\"abc\""},   {"\"x\", W/\"abc\"", "\"abc\"", "W/\"abc\""},
      {"\"abc\"", "\"abc\"", "\"abc\""},       {"*", "\"abc\"", "\"abc\""},
      {"W/\"abc\"", "W/\"abc\"", "W/\"abc\""},
  };
  base::ChunkPool chunks;
  base::Arena arena(chunks);
  for (const Row& row : rows) {
    CompressionCase page;
    page.answer.status = 304;
    page.request.fields.add(HeaderId::if_none_match, row.known);
    page.answer.fields.add(HeaderId::etag, row.etag);
    weaken_known_etag(page.request, arena, page.answer);
    EXPECT_EQ(page.answer.fields.value_of(HeaderId::etag), row.told) << row.known;
  }
}

}  // namespace
}  // namespace portunus::proxy
