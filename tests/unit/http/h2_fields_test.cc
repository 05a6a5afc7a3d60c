// The rules of RFC 9113 section 8 that h2_fields.h holds by itself, whatever nghttp2 lets through.
#include "http/h2_fields.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace portunus::http {
namespace {

using base::EndReason;
using FieldTexts = std::vector<std::pair<std::string, std::string>>;

FieldTexts get(const FieldTexts& more = {}) {
  FieldTexts fields{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"}, {":path", "/"}};
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}
FieldTexts without(std::string_view name) {
  FieldTexts fields = get();
  std::erase_if(fields, [&](const auto& field) { return field.first == name; });
  return fields;
}
FieldTexts with(std::string_view name, std::string value) {
  FieldTexts fields = get();
  for (auto& [key, old] : fields) {
    if (key == name) old = value;
  }
  return fields;
}
FieldTexts before(const FieldTexts& first) {
  FieldTexts fields = first;
  for (auto& field : get())
    fields.push_back(field);
  return fields;
}

class H2FieldsTest : public testing::Test {
 protected:
  EndReason judge(const FieldTexts& fields, bool end = true) {
    arena.reset();
    head.clear();
    head.arena = &arena;
    H2FieldReader reader;
    reader.start_head(head, limits);
    was_stopped = false;
    for (const auto& [name, value] : fields)
      was_stopped = was_stopped || !reader.add(name, value);
    error = reader.finish(end);
    return error.reason;
  }
  EndReason judge_trailers(const FieldTexts& fields, bool end = true) {
    trailers.clear();
    H2FieldReader reader;
    reader.start_trailers(trailers, arena, limits, base::Side::client);
    for (const auto& [name, value] : fields)
      static_cast<void>(reader.add(name, value));
    return reader.finish(end).reason;
  }

  base::ChunkPool pool;
  base::Arena arena{pool};
  MessageLimits limits;
  Head head;
  HeaderBlock trailers;
  base::Error error;
  bool was_stopped = false;
};

TEST_F(H2FieldsTest, AGoodHead) {
  ASSERT_EQ(judge({{":path", "/a/%41?q=1"},
                   {":method", "POST"},
                   {":authority", "User-Host.example:8080"},
                   {":scheme", "https"},
                   {"x-other", "1"},
                   {"content-length", "12"},
                   {"te", "trailers"}},
                  false),
            EndReason::ok)
      << error.detail;
  EXPECT_EQ(head.method, Method::post);
  EXPECT_EQ(head.method_text, "POST");
  EXPECT_EQ(head.scheme, "https");
  EXPECT_EQ(head.authority, "user-host.example:8080");
  EXPECT_EQ(head.host, "user-host.example");
  EXPECT_EQ(head.path, "/a/A");
  EXPECT_EQ(head.query, "q=1");
  EXPECT_EQ(head.protocol, Protocol::http2);
  EXPECT_EQ(head.body, BodyKind::length);
  EXPECT_EQ(head.content_length, 12U);
  EXPECT_EQ(head.fields.value_of(HeaderId::host), "user-host.example:8080");
  EXPECT_FALSE(head.upgrade);
}

TEST_F(H2FieldsTest, Bodies) {
  EXPECT_EQ(judge(get()), EndReason::ok);
  EXPECT_EQ(head.body, BodyKind::none);
  EXPECT_EQ(judge(get(), false), EndReason::ok);
  EXPECT_EQ(head.body, BodyKind::unknown);
  EXPECT_EQ(judge(get({{"content-length", "0"}}), true), EndReason::ok);
  EXPECT_EQ(head.body, BodyKind::none);
  EXPECT_EQ(judge(get({{"content-length", "0"}}), false), EndReason::ok);
  EXPECT_EQ(head.body, BodyKind::length);
  EXPECT_EQ(head.content_length, 0U);
  for (const char* length : {"-1", "+1", "1,1", "0x1", "", "1 ", "99999999999999999999"}) {
    EXPECT_NE(judge(get({{"content-length", length}}), false), EndReason::ok) << length;
  }
  EXPECT_EQ(judge(get({{"content-length", "1"}}), true), EndReason::rejected_framing);
  EXPECT_EQ(judge(get({{"content-length", "1"}, {"content-length", "1"}}), false),
            EndReason::rejected_framing);
  EXPECT_EQ(judge(get({{"expect", "100-continue"}}), false), EndReason::ok);
  EXPECT_TRUE(head.expects_continue);
  EXPECT_EQ(judge(get({{"expect", "100-continue"}}), true), EndReason::ok);
  EXPECT_FALSE(head.expects_continue);
}

TEST_F(H2FieldsTest, NamesAndValues) {
  for (const char* name : {"", "A", "aB", "a b", "a:", "a\n", "a\r", "\x80", "a\"", "a(", " a"}) {
    EXPECT_EQ(judge(get({{name, "x"}})), EndReason::rejected_header) << name;
    EXPECT_EQ(judge_trailers({{name, "x"}}), EndReason::rejected_header) << name;
  }
  EXPECT_EQ(judge(get({{std::string("a\0b", 3), "x"}})), EndReason::rejected_header);
  for (const std::string value : {"\n", "a\nb: c", "a\r\nb: c", "a\r", "\x7f", " a", "a ", "\ta",
                                  "a\t", " ", "\x01", "\x1f"}) {
    EXPECT_EQ(judge(get({{"a", value}})), EndReason::rejected_header) << value;
    EXPECT_EQ(judge(get({{"cookie", "a"}, {"cookie", value}})), EndReason::rejected_header);
    EXPECT_NE(judge(with(":path", "/" + value)), EndReason::ok) << value;
    EXPECT_EQ(judge_trailers({{"a", value}}), EndReason::rejected_header) << value;
  }
  EXPECT_EQ(judge(get({{"a", std::string("x\0y", 3)}})), EndReason::rejected_header);
  for (const std::string value : {"", "a", "a b", "a\tb", "\x80\xff", "\"\\"})
    EXPECT_EQ(judge(get({{"a", value}})), EndReason::ok) << value;
}

TEST_F(H2FieldsTest, FieldsOfAConnection) {
  for (const char* name :
       {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"}) {
    EXPECT_EQ(judge(get({{name, "chunked"}}), false), EndReason::rejected_header) << name;
    EXPECT_EQ(judge_trailers({{name, "x"}}), EndReason::rejected_header) << name;
  }
  for (const char* te : {"gzip", "trailers, gzip", "", "trailers;q=1"})
    EXPECT_EQ(judge(get({{"te", te}})), EndReason::rejected_header) << te;
  EXPECT_EQ(judge(get({{"te", "Trailers"}})), EndReason::ok);
}

TEST_F(H2FieldsTest, PseudoFields) {
  for (const char* name : {":method", ":path", ":scheme"})
    EXPECT_EQ(judge(without(name)), EndReason::rejected_request_line) << name;
  EXPECT_EQ(judge(without(":authority")), EndReason::rejected_host);
  for (const auto& [name, value] : get())
    EXPECT_EQ(judge(get({{name, value}})), EndReason::rejected_header) << name;
  for (const char* name : {":", ":status", ":Path", ":x", ":host"})
    EXPECT_EQ(judge(before({{name, "1"}})), EndReason::rejected_header) << name;
  EXPECT_EQ(judge(before({{"a", "b"}})), EndReason::rejected_header);
  for (const char* path : {"", "a", "*", "http://x/", "?a"})
    EXPECT_EQ(judge(with(":path", path)), EndReason::rejected_target) << path;
  for (const char* scheme : {"", "ftp", "HTTPSS", "file"})
    EXPECT_EQ(judge(with(":scheme", scheme)), EndReason::rejected_target) << scheme;
  for (const char* method : {"", "G ET", "GET /", "G\"ET"})
    EXPECT_EQ(judge(with(":method", method)), EndReason::rejected_request_line) << method;
  for (const char* method : {"get", "FOO", "PRI", "TRACE", "CONNECT"})
    EXPECT_EQ(judge(with(":method", method)), EndReason::rejected_method) << method;
  for (const char* method : {"HEAD", "PUT", "DELETE", "PATCH", "PROPFIND", "QUERY", "M-SEARCH"})
    EXPECT_EQ(judge(with(":method", method)), EndReason::ok) << method;
  EXPECT_EQ(judge_trailers({{":path", "/"}}), EndReason::rejected_header);
}

TEST_F(H2FieldsTest, AuthorityAgainstHost) {
  EXPECT_EQ(judge(get({{"host", "x"}})), EndReason::ok);
  EXPECT_EQ(judge(get({{"host", "X:443"}})), EndReason::ok);  // of https
  EXPECT_EQ(head.fields.value_of(HeaderId::host), "x");
  EXPECT_EQ(judge(get({{"host", "x:80"}})), EndReason::rejected_host);
  EXPECT_EQ(judge(get({{"host", "y"}})), EndReason::rejected_host);
  EXPECT_EQ(judge(get({{"host", "x"}, {"host", "x"}})), EndReason::rejected_host);
  EXPECT_EQ(judge(with(":authority", "")), EndReason::rejected_host);
  for (const char* authority : {"user@x", "x:99999", "x,y", "x/y", "[::1", "x y", "a:b:c", "x?"})
    EXPECT_NE(judge(with(":authority", authority)), EndReason::ok) << authority;
  FieldTexts only_host = without(":authority");
  only_host.push_back({"host", "Y:1"});
  EXPECT_EQ(judge(only_host), EndReason::ok);
  EXPECT_EQ(head.authority, "y:1");
}

TEST_F(H2FieldsTest, CookieCrumbs) {
  EXPECT_EQ(judge(get({{"cookie", "a=1"}, {"x", "y"}, {"cookie", "b=2"}, {"cookie", "c=3"}})),
            EndReason::ok);
  EXPECT_EQ(head.fields.count(HeaderId::cookie), 1U);
  EXPECT_EQ(head.fields.value_of(HeaderId::cookie), "a=1; b=2; c=3");
}

TEST_F(H2FieldsTest, Limits) {
  limits.header_bytes = 1000;
  limits.header_count = 5;
  limits.uri_bytes = 50;
  EXPECT_EQ(judge(with(":path", "/" + std::string(50, 'a'))), EndReason::rejected_uri_length);
  EXPECT_EQ(judge(with(":path", "/" + std::string(49, 'a'))), EndReason::ok);
  EXPECT_EQ(judge(get({{"a", std::string(1000, 'a')}})), EndReason::rejected_header_size);
  EXPECT_FALSE(was_stopped);
  EXPECT_EQ(judge(get({{"a", std::string(5000, 'a')}})), EndReason::rejected_header_size);
  EXPECT_TRUE(was_stopped);
  EXPECT_EQ(judge(get({{"a", ""}, {"b", ""}, {"c", ""}, {"d", ""}})), EndReason::ok);
  EXPECT_EQ(judge(get({{"a", ""}, {"b", ""}, {"c", ""}, {"d", ""}, {"e", ""}, {"f", ""}})),
            EndReason::rejected_header_size);
  FieldTexts many;
  for (int i = 0; i < 2000; ++i)
    many.push_back({"", ""});
  judge(many);
  EXPECT_TRUE(was_stopped);
  // The arena has not taken what was refused.
  EXPECT_EQ(pool.in_use(), 0U);
}

TEST_F(H2FieldsTest, Trailers) {
  EXPECT_EQ(judge_trailers({{"grpc-status", "0"}, {"content-type", "x"}, {"host", "y"}}),
            EndReason::ok);
  EXPECT_FALSE(trailers.has(HeaderId::host));
  EXPECT_FALSE(trailers.has(HeaderId::content_type));
  EXPECT_NE(trailers.find("grpc-status"), HeaderBlock::kNone);
  EXPECT_NE(judge_trailers({{"a", "b"}}, false), EndReason::ok);
}

TEST_F(H2FieldsTest, ExtendedConnect) {
  const FieldTexts fields{{":method", "CONNECT"},  {":protocol", "websocket"},
                          {":scheme", "https"},    {":authority", "x"},
                          {":path", "/chat"},      {"sec-websocket-version", "13"},
                          {"origin", "https://x"}, {"content-length", "5"}};
  ASSERT_EQ(judge(fields, false), EndReason::ok) << error.detail;
  EXPECT_EQ(head.method, Method::get);
  EXPECT_EQ(head.method_text, "GET");
  EXPECT_TRUE(head.upgrade);
  EXPECT_EQ(head.upgrade_token, "websocket");
  EXPECT_EQ(head.body, BodyKind::none);
  EXPECT_FALSE(head.fields.has(HeaderId::content_length));
  EXPECT_EQ(head.fields.value_of(HeaderId::sec_websocket_key).size(), 24U);
  const std::string first(head.fields.value_of(HeaderId::sec_websocket_key));
  ASSERT_EQ(judge(fields, false), EndReason::ok);
  EXPECT_NE(head.fields.value_of(HeaderId::sec_websocket_key), first);

  for (const char* protocol : {"", "WebSocket", "connect-udp", "h2c"}) {
    FieldTexts other = fields;
    other[1].second = protocol;
    EXPECT_EQ(judge(other, false), EndReason::rejected_method) << protocol;
  }
  for (const std::size_t missing : {2U, 3U, 4U}) {
    FieldTexts less = fields;
    less.erase(less.begin() + static_cast<std::ptrdiff_t>(missing));
    EXPECT_NE(judge(less, false), EndReason::ok) << missing;
  }
  EXPECT_EQ(judge(before({{":protocol", "websocket"}})), EndReason::rejected_header);
}

}  // namespace
}  // namespace portunus::http
