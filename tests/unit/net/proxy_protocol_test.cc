#include "net/proxy_protocol.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

namespace portunus::net {
namespace {

using namespace std::string_literals;
using Step = ProxyHeader::Step;

const std::string kSignature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string number(std::size_t value) {
  return {static_cast<char>(value >> 8U & 0xffU), static_cast<char>(value & 0xffU)};
}

// Of version 2. `length` is what the header says of its rest, if that is another one.
std::string binary(unsigned version_and_command,
                   unsigned family_and_transport,
                   const std::string& rest,
                   std::size_t length = 70'000) {
  return kSignature + static_cast<char>(version_and_command) +
         static_cast<char>(family_and_transport) + number(length == 70'000 ? rest.size() : length) +
         rest;
}

// From 192.0.2.1:1000 to 198.51.100.2:443.
const std::string kV4 = "\xc0\x00\x02\x01\xc6\x33\x64\x02\x03\xe8\x01\xbb"s;
const std::string kV6 =
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x03\xe8\x01\xbb"s;

std::string extra(int type, const std::string& value) {
  return static_cast<char>(type) + number(value.size()) + value;
}

ProxyHeader read_header(const std::string& bytes) {
  return read_proxy_header({bytes.data(), bytes.size()});
}

std::string text_of(const Address& address) {
  return address.is_set() ? address.text() : "-";
}

// "source destination", or why not.
std::string outcome(const std::string& bytes) {
  const ProxyHeader header = read_header(bytes);
  if (header.step == Step::failed) return "failed: "s + header.failure;
  if (header.step == Step::more) return "more";
  EXPECT_EQ(header.size, bytes.size());
  return text_of(header.source) + " " + text_of(header.destination);
}

TEST(ProxyProtocol, Lines) {
  EXPECT_EQ(outcome("PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\r\n"),
            "192.0.2.1:1000 198.51.100.2:443");
  EXPECT_EQ(outcome("PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 65535 0\r\n"),
            "[2001:db8::1]:65535 [2001:db8::2]:0");
  EXPECT_EQ(outcome("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1 2\r\n"),
            "192.0.2.1:1 198.51.100.2:2");
  EXPECT_EQ(outcome("PROXY UNKNOWN\r\n"), "- -");
  EXPECT_EQ(outcome("PROXY UNKNOWN anything \x01 at all\r\n"), "- -");
  const std::string longest =
      "PROXY UNKNOWN " + std::string(ProxyHeader::kLineMax - 16, 'f') + "\r\n";
  ASSERT_EQ(longest.size(), ProxyHeader::kLineMax);
  EXPECT_EQ(outcome(longest), "- -");
}

TEST(ProxyProtocol, LinesThatAreRefused) {
  for (const char* line : {
           "PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\n",
           "PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\r\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.2 1000 443 \r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.2 1000 443 1\r\n",
           "PROXY TCP4  192.0.2.1 198.51.100.2 1000 443\r\n",
           "PROXY TCP4 192.0.2.1\t198.51.100.2 1000 443\r\n",
           "PROXY  TCP4 192.0.2.1 198.51.100.2 1000 443\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.2 1000\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.2 1000 \r\n",
           "PROXY TCP4 192.0.2.01 198.51.100.2 1000 443\r\n",
           "PROXY TCP4 192.0.2 198.51.100.2 1000 443\r\n",
           "PROXY TCP4 192.0.2.256 198.51.100.2 1000 443\r\n",
           "PROXY TCP4 2001:db8::1 2001:db8::2 1000 443\r\n",
           "PROXY TCP6 192.0.2.1 198.51.100.2 1000 443\r\n",
           "PROXY TCP6 [2001:db8::1] [2001:db8::2] 1000 443\r\n",
           "PROXY TCP6 2001:db8::1%eth0 2001:db8::2 1000 443\r\n",
           "PROXY TCP4 localhost 198.51.100.2 1000 443\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.2 01000 443\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.2 +1000 443\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.2 1e3 443\r\n",
           "PROXY TCP 192.0.2.1 198.51.100.2 1000 443\r\n",
           "PROXY UDP4 192.0.2.1 198.51.100.2 1000 443\r\n",
           "PROXY tcp4 192.0.2.1 198.51.100.2 1000 443\r\n",
           "PROXY UNKNOWNS\r\n",
           "PROXY UNKNOWN a\nb\r\n",
           "PROXY \r\n",
           "PROXY\r\n",
           "proxy TCP4 192.0.2.1 198.51.100.2 1000 443\r\n",
           "GET / HTTP/1.1\r\n",
           "\x16\x03\x01",
           "\r\n\r\nGET / HTTP/1.1\r\n",
           " PROXY UNKNOWN\r\n",
       }) {
    EXPECT_EQ(read_header(line).step, Step::failed) << line;
  }
  const std::string nul = "PROXY TCP4 192.0.2.1\0 198.51.100.2 1000 443\r\n"s;
  EXPECT_EQ(read_header(nul).step, Step::failed);
  EXPECT_EQ(outcome("PROXY UNKNOWN " + std::string(ProxyHeader::kLineMax - 15, 'f') + "\r\n"),
            "failed: the line is too long");
  // At once, and not when its end has come.
  EXPECT_EQ(outcome(std::string("PROXY ") + std::string(ProxyHeader::kLineMax - 6, 'f')),
            "failed: the line is too long");
}

TEST(ProxyProtocol, Binary) {
  EXPECT_EQ(outcome(binary(0x21, 0x11, kV4)), "192.0.2.1:1000 198.51.100.2:443");
  EXPECT_EQ(outcome(binary(0x21, 0x21, kV6)), "[2001:db8::1]:1000 [2001:db8::2]:443");
  // Nobody's, and what says nothing of use: the socket's addresses are meant.
  EXPECT_EQ(outcome(binary(0x20, 0x00, "")), "- -");
  EXPECT_EQ(outcome(binary(0x20, 0x11, kV4)), "- -");
  EXPECT_EQ(outcome(binary(0x20, 0x00, "whatever")), "- -");
  EXPECT_EQ(outcome(binary(0x21, 0x00, "")), "- -");
  EXPECT_EQ(outcome(binary(0x21, 0x00, "what")), "- -");
  EXPECT_EQ(outcome(binary(0x21, 0x12, kV4)), "- -");
  EXPECT_EQ(outcome(binary(0x21, 0x10, kV4)), "- -");
  EXPECT_EQ(outcome(binary(0x21, 0x31, std::string(216, 'u'))), "- -");
  EXPECT_EQ(outcome(binary(0x21, 0x32, std::string(216, '\0'))), "- -");
}

TEST(ProxyProtocol, BinaryWithMore) {
  const std::string more = extra(0x01, "h2") + extra(0x04, "") + extra(0x02, "a.example") +
                           extra(0xe0, std::string(300, 'x'));
  EXPECT_EQ(outcome(binary(0x21, 0x11, kV4 + more)), "192.0.2.1:1000 198.51.100.2:443");
  EXPECT_EQ(outcome(binary(0x21, 0x31, std::string(216, 'u') + more)), "- -");
  const std::size_t room = ProxyHeader::kSizeMax - 16 - kV4.size() - 3;
  EXPECT_EQ(outcome(binary(0x21, 0x11, kV4 + extra(0x04, std::string(room, 'x')))),
            "192.0.2.1:1000 198.51.100.2:443");
  EXPECT_EQ(outcome(binary(0x21, 0x11, kV4 + extra(0x04, std::string(room + 1, 'x')))),
            "failed: the header is too long");
}

// The sums are those of an independent implementation (bit by bit).
std::string checksum_of(const std::string& bytes) {
  std::uint32_t value = 0xffffffff;
  for (const char c : bytes) {
    value ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit)
      value = (value & 1U) != 0 ? (value >> 1U) ^ 0x82f63b78U : value >> 1U;
  }
  value = ~value;
  return number(value >> 16U) + number(value & 0xffffU);
}

TEST(ProxyProtocol, Checksums) {
  ASSERT_EQ(checksum_of("123456789"), "\xe3\x06\x92\x83"s);  // CRC-32C's own check value
  const std::string zeros(4, '\0');
  const std::string behind = extra(0x04, "padding");
  const std::string sum = checksum_of(binary(0x21, 0x11, kV4 + extra(0x03, zeros) + behind));
  EXPECT_EQ(outcome(binary(0x21, 0x11, kV4 + extra(0x03, sum) + behind)),
            "192.0.2.1:1000 198.51.100.2:443");
  EXPECT_EQ(outcome(binary(0x21, 0x11, kV4 + extra(0x03, sum) + extra(0x04, "Padding"))),
            "failed: the checksum is wrong");
  EXPECT_EQ(outcome(binary(0x21, 0x11, kV4 + extra(0x03, zeros) + behind)),
            "failed: the checksum is wrong");
  EXPECT_EQ(outcome(binary(0x21, 0x11, kV4 + extra(0x03, "abc"))),
            "failed: the checksum is malformed");
  const std::string twice =
      checksum_of(binary(0x21, 0x11, kV4 + extra(0x03, zeros) + extra(0x03, zeros)));
  EXPECT_EQ(read_header(binary(0x21, 0x11, kV4 + extra(0x03, twice) + extra(0x03, twice))).step,
            Step::failed);
}

TEST(ProxyProtocol, BinaryThatIsRefused) {
  EXPECT_EQ(outcome(binary(0x11, 0x11, kV4)), "failed: the version is not known");
  EXPECT_EQ(outcome(binary(0x31, 0x11, kV4)), "failed: the version is not known");
  EXPECT_EQ(outcome(binary(0x22, 0x11, kV4)), "failed: the command is not known");
  EXPECT_EQ(outcome(binary(0x21, 0x41, kV4)), "failed: the protocol is not known");
  EXPECT_EQ(outcome(binary(0x21, 0x13, kV4)), "failed: the protocol is not known");
  EXPECT_EQ(outcome(binary(0x20, 0xff, "")), "failed: the protocol is not known");
  EXPECT_EQ(outcome(binary(0x21, 0x11, kV4.substr(1))),
            "failed: the header is too short for its addresses");
  EXPECT_EQ(outcome(binary(0x21, 0x21, kV4)), "failed: the header is too short for its addresses");
  EXPECT_EQ(outcome(binary(0x21, 0x31, std::string(215, 'u'))),
            "failed: the header is too short for its addresses");
  for (const std::string& odd :
       {"\x04"s, "\x04\0"s, "\x04\0\x01"s, "\x04\xff\xff"s + "abc", extra(0x04, "x") + "\x04"}) {
    EXPECT_EQ(outcome(binary(0x21, 0x11, kV4 + odd)), "failed: the header's length does not fit");
  }
  // Its length is known before the rest has come.
  EXPECT_EQ(outcome(binary(0x21, 0x11, "", 4097)), "failed: the header is too long");
  EXPECT_EQ(outcome(binary(0x21, 0x11, "", 65535)), "failed: the header is too long");
  EXPECT_EQ(outcome(kSignature.substr(0, 11) + "\r"), "failed: there is no PROXY header");
}

// However it is cut, the same comes out, and nothing behind it is taken.
TEST(ProxyProtocol, SplitsChangeNothing) {
  const std::string behind = "GET / HTTP/1.1\r\n\r\n" + kSignature;
  for (const std::string& header :
       {"PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\r\n"s, "PROXY UNKNOWN\r\n"s,
        binary(0x21, 0x11, kV4), binary(0x20, 0x00, ""),
        binary(0x21, 0x21, kV6 + extra(0x04, std::string(1000, 'x')))}) {
    base::ChunkPool chunks;
    const std::string all = header + behind;
    const ProxyHeader whole = read_header(all);
    ASSERT_EQ(whole.step, Step::done);
    for (std::size_t cut = 1; cut < all.size(); ++cut) {
      ProxyHeaderReader reader(chunks);
      std::size_t taken = 0;
      ProxyHeader got = reader.feed({all.data(), cut}, taken);
      std::size_t total = taken;
      if (cut < header.size()) {
        ASSERT_EQ(got.step, Step::more) << cut;
        EXPECT_TRUE(reader.has_begun());
        EXPECT_EQ(taken, cut);
        got = reader.feed({all.data() + cut, all.size() - cut}, taken);
        total += taken;
      }
      ASSERT_EQ(got.step, Step::done) << cut;
      EXPECT_EQ(total, header.size());
      EXPECT_EQ(got.source, whole.source);
      EXPECT_EQ(got.destination, whole.destination);
    }
    ProxyHeaderReader reader(chunks);
    for (std::size_t i = 0; i < header.size(); ++i) {
      std::size_t taken = 0;
      EXPECT_EQ(reader.feed({all.data() + i, 1}, taken).step,
                i + 1 < header.size() ? Step::more : Step::done);
    }
    EXPECT_EQ(chunks.in_use(), 0U);
  }
}

TEST(ProxyProtocol, WhatCannotBecomeAHeaderIsRefusedAtOnce) {
  for (const std::string& bytes : {"G"s, "PROXX"s, "\r\n\r\n\r"s, "\x16"s, "\r\nG"s}) {
    base::ChunkPool chunks;
    ProxyHeaderReader reader(chunks);
    std::size_t taken = 0;
    ProxyHeader got;
    for (const char c : bytes)
      got = reader.feed({&c, 1}, taken);
    EXPECT_EQ(got.step, Step::failed) << bytes;
    EXPECT_EQ(chunks.in_use(), 0U);
  }
}

std::string write(ProxyVersion version, const std::string& from, const std::string& to) {
  std::array<char, kProxyHeaderRoom> out{};
  return {out.data(), write_proxy_header(version, Address::parse(from), Address::parse(to), out)};
}

TEST(ProxyProtocol, Writing) {
  EXPECT_EQ(write(ProxyVersion::v1, "192.0.2.1:1000", "198.51.100.2:443"),
            "PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\r\n");
  EXPECT_EQ(write(ProxyVersion::v1, "[2001:db8::1]:1", "[::1]:2"),
            "PROXY TCP6 2001:db8::1 ::1 1 2\r\n");
  EXPECT_EQ(write(ProxyVersion::v1, "", ""), "PROXY UNKNOWN\r\n");
  EXPECT_EQ(write(ProxyVersion::v2, "192.0.2.1:1000", "198.51.100.2:443"), binary(0x21, 0x11, kV4));
  EXPECT_EQ(write(ProxyVersion::v2, "[2001:db8::1]:1000", "[2001:db8::2]:443"),
            binary(0x21, 0x21, kV6));
  EXPECT_EQ(write(ProxyVersion::v2, "", ""), binary(0x20, 0x00, ""));
  EXPECT_EQ(write(ProxyVersion::none, "192.0.2.1:1000", "198.51.100.2:443"), "");
}

TEST(ProxyProtocol, WhatIsWrittenIsRead) {
  for (const ProxyVersion version : {ProxyVersion::v1, ProxyVersion::v2}) {
    const auto both = [&](const std::string& from, const std::string& to) {
      return outcome(write(version, from, to));
    };
    EXPECT_EQ(both("192.0.2.1:1000", "198.51.100.2:443"), "192.0.2.1:1000 198.51.100.2:443");
    const std::string longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
    EXPECT_EQ(both(longest, longest), longest + " " + longest);
    // Of two kinds: behind another proxy.
    EXPECT_EQ(both("192.0.2.1:1", "[2001:db8::2]:2"), "192.0.2.1:1 [2001:db8::2]:2");
    EXPECT_EQ(both("[2001:db8::1]:1", "192.0.2.1:2"), "[2001:db8::1]:1 192.0.2.1:2");
    EXPECT_EQ(both("192.0.2.1:1", ""), "192.0.2.1:1 0.0.0.0:0");
    EXPECT_EQ(both("[2001:db8::1]:1", ""), "[2001:db8::1]:1 [::]:0");
    EXPECT_EQ(both("", ""), "- -");
  }
}

}  // namespace
}  // namespace portunus::net
