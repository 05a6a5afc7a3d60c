#include "http/header_id.h"

#include <gtest/gtest.h>

#include <cctype>
#include <set>
#include <string>

namespace portunus::http {
namespace {

constexpr auto kFirst = static_cast<std::size_t>(HeaderId::accept);
constexpr auto kEnd = static_cast<std::size_t>(HeaderId::count);

TEST(HeaderId, EveryIdHasItsNameInAnyCase) {
  std::set<std::string_view> seen;
  for (std::size_t i = kFirst; i < kEnd; ++i) {
    const auto id = static_cast<HeaderId>(i);
    const std::string name(header_name_of(id));
    ASSERT_GE(name.size(), 2u) << i;
    EXPECT_TRUE(seen.insert(header_name_of(id)).second) << name;
    EXPECT_EQ(header_id_of(name), id) << name;
    std::string upper = name;
    for (char& c : upper)
      c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    EXPECT_EQ(header_id_of(upper), id) << upper;
    upper[0] = name[0];
    EXPECT_EQ(header_id_of(upper), id) << upper;
  }
}

// The order of the names is that of the enumeration: a few anchors over its length.
TEST(HeaderId, NamesAreInTheOrderOfTheIds) {
  EXPECT_EQ(header_name_of(HeaderId::other), "");
  EXPECT_EQ(header_name_of(HeaderId::removed), "");
  EXPECT_EQ(header_name_of(HeaderId::accept), "accept");
  EXPECT_EQ(header_name_of(HeaderId::content_length), "content-length");
  EXPECT_EQ(header_name_of(HeaderId::host), "host");
  EXPECT_EQ(header_name_of(HeaderId::if_unmodified_since), "if-unmodified-since");
  EXPECT_EQ(header_name_of(HeaderId::proxy_status), "proxy-status");
  EXPECT_EQ(header_name_of(HeaderId::te), "te");
  EXPECT_EQ(header_name_of(HeaderId::transfer_encoding), "transfer-encoding");
  EXPECT_EQ(header_name_of(HeaderId::x_forwarded_for), "x-forwarded-for");
  EXPECT_EQ(header_name_of(HeaderId::x_request_id), "x-request-id");
}

// Changing any one byte of a known name to any other value, but the case of a letter, makes it
// unknown.
TEST(HeaderId, OneChangedByteIsAnotherName) {
  for (std::size_t i = kFirst; i < kEnd; ++i) {
    const std::string name(header_name_of(static_cast<HeaderId>(i)));
    for (std::size_t at = 0; at < name.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string other = name;
        other[at] = static_cast<char>(byte);
        const bool is_same = byte < 128 && std::tolower(byte) == static_cast<int>(name[at]);
        const HeaderId found = header_id_of(other);
        if (is_same) {
          EXPECT_EQ(found, static_cast<HeaderId>(i)) << name << " byte " << byte;
        } else if (found != HeaderId::other) {
          EXPECT_EQ(header_name_of(found), other) << "wrongly interned";
        }
      }
    }
    EXPECT_EQ(header_id_of(name + "s"), HeaderId::other);
  }
}

TEST(HeaderId, UnknownAndOddNames) {
  for (const char* name : {"", "x", "ho", "hos", "x-forwarded-fo", "x_forwarded_for", "zz", "aa",
                           "sec-websocket-extensionsss", "content.length"}) {
    EXPECT_EQ(header_id_of(name), HeaderId::other) << name;
  }
}

TEST(HeaderId, HopByHop) {
  EXPECT_TRUE(is_hop_by_hop(HeaderId::connection));
  EXPECT_TRUE(is_hop_by_hop(HeaderId::te));
  EXPECT_TRUE(is_hop_by_hop(HeaderId::http2_settings));
  EXPECT_FALSE(is_hop_by_hop(HeaderId::host));
  EXPECT_FALSE(is_hop_by_hop(HeaderId::content_length));
  EXPECT_FALSE(is_hop_by_hop(HeaderId::other));
  EXPECT_FALSE(is_hop_by_hop(HeaderId::removed));
}

}  // namespace
}  // namespace portunus::http
