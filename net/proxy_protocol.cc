#include "net/proxy_protocol.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

namespace portunus::net {
namespace {

using Step = ProxyHeader::Step;
using Bytes = std::span<const unsigned char>;

constexpr std::string_view kLineStart = "PROXY ";
constexpr std::string_view kSignature{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr std::size_t kFixed = 16;  // of version 2: signature, version, family, length
constexpr std::size_t kV4Addresses = 12;
constexpr std::size_t kV6Addresses = 36;
constexpr std::size_t kUnixAddresses = 216;
constexpr unsigned char kChecksumType = 3;

// Of version 2: commands, families, transports; each is half a byte.
constexpr unsigned kLocal = 0;
constexpr unsigned kProxy = 1;
constexpr unsigned kUnspecified = 0;
constexpr unsigned kInet = 1;
constexpr unsigned kInet6 = 2;
constexpr unsigned kUnix = 3;
constexpr unsigned kStream = 1;
constexpr unsigned kDatagram = 2;

ProxyHeader failed(const char* why) {
  ProxyHeader out;
  out.step = Step::failed;
  out.failure = why;
  return out;
}

ProxyHeader more(std::size_t need) {
  ProxyHeader out;
  out.need = need;
  return out;
}

ProxyHeader done(std::size_t size) {
  ProxyHeader out;
  out.step = Step::done;
  out.size = size;
  return out;
}

// ---- version 1

// The next word; exactly one space stands behind it, or the end.
bool cut_word(std::string_view& rest, std::string_view& word) {
  const std::size_t space = rest.find(' ');
  word = rest.substr(0, space);
  if (word.empty()) return false;
  rest = space == std::string_view::npos ? std::string_view{} : rest.substr(space + 1);
  return (space == std::string_view::npos) == rest.empty();
}

// Digits alone, without zeros in front.
bool read_port(std::string_view text, std::uint16_t& out) {
  if (text.size() > 1 && text.front() == '0') return false;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, out);
  return error == std::errc{} && at == end;
}

bool read_ip(std::string_view text, bool is_v6, Address& out) {
  if ((text.find(':') != std::string_view::npos) != is_v6) return false;
  const auto read = Address::parse_ip(text, 0);
  if (read) out = *read;
  return read.has_value();
}

// Without its CRLF.
ProxyHeader read_line(std::string_view line) {
  ProxyHeader out = done(line.size() + 2);
  std::string_view rest = line.substr(kLineStart.size());
  // What stands behind it is nobody's business.
  if (rest == "UNKNOWN" || rest.starts_with("UNKNOWN ")) return out;
  std::array<std::string_view, 5> words;
  for (std::string_view& word : words) {
    if (!cut_word(rest, word)) return failed("the line is malformed");
  }
  if (!rest.empty()) return failed("the line is malformed");
  const bool is_v6 = words[0] == "TCP6";
  if (!is_v6 && words[0] != "TCP4") return failed("the protocol is not known");
  std::uint16_t from = 0;
  std::uint16_t to = 0;
  if (!read_ip(words[1], is_v6, out.source) || !read_ip(words[2], is_v6, out.destination))
    return failed("an address is malformed");
  if (!read_port(words[3], from) || !read_port(words[4], to)) return failed("a port is malformed");
  out.source.set_port(from);
  out.destination.set_port(to);
  return out;
}

ProxyHeader read_text(std::string_view text) {
  const std::string_view line = text.substr(0, ProxyHeader::kLineMax);
  const std::size_t end = line.find_first_of("\r\n");
  if (end == std::string_view::npos || (line[end] == '\r' && end + 1 == line.size())) {
    if (line.size() == ProxyHeader::kLineMax) return failed("the line is too long");
    return more(end == std::string_view::npos ? 2 : 1);
  }
  if (line[end] != '\r' || line[end + 1] != '\n') return failed("the line does not end in CRLF");
  return read_line(line.substr(0, end));
}

// ---- version 2

std::size_t read_number(Bytes bytes) {
  return static_cast<std::size_t>(bytes[0]) << 8U | bytes[1];
}

Address read_address(Bytes ip, Bytes port) {
  sockaddr_storage storage{};
  if (ip.size() == 4) {
    auto* const in = reinterpret_cast<sockaddr_in*>(&storage);
    in->sin_family = AF_INET;
    std::ranges::copy(ip, reinterpret_cast<unsigned char*>(&in->sin_addr));
  } else {
    auto* const in6 = reinterpret_cast<sockaddr_in6*>(&storage);
    in6->sin6_family = AF_INET6;
    std::ranges::copy(ip, reinterpret_cast<unsigned char*>(&in6->sin6_addr));
  }
  Address out = Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage));
  out.set_port(static_cast<std::uint16_t>(read_number(port)));
  return out;
}

// CRC-32C (Castagnoli), as RFC 4960 appendix B has it.
constexpr std::array<std::uint32_t, 256> kChecksums = [] {
  constexpr std::uint32_t kPolynomial = 0x82f63b78;  // its bits from the lowest
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit)
      value = (value >> 1U) ^ ((value & 1U) != 0 ? kPolynomial : 0U);
    table[i] = value;
  }
  return table;
}();

// Of the whole header, in which the four bytes at `hole` count as zeros.
std::uint32_t checksum_of(Bytes header, std::size_t hole) {
  std::uint32_t value = 0xffffffff;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const unsigned byte = i >= hole && i < hole + 4 ? 0U : header[i];
    value = (value >> 8U) ^ kChecksums[(value ^ byte) & 0xffU];
  }
  return ~value;
}

// What follows the addresses: types, lengths and values, of which only the checksum means something
// here. Null when it is as it must be.
const char* check_extras(Bytes header, std::size_t at) {
  constexpr std::size_t kHead = 3;
  bool has_checksum = false;
  while (at < header.size()) {
    if (header.size() - at < kHead) return "the header's length does not fit";
    const std::size_t size = read_number(header.subspan(at + 1));
    const unsigned char type = header[at];
    at += kHead;
    if (size > header.size() - at) return "the header's length does not fit";
    if (type == kChecksumType) {
      if (size != 4 || has_checksum) return "the checksum is malformed";
      has_checksum = true;
      const std::uint32_t given = static_cast<std::uint32_t>(read_number(header.subspan(at)))
                                      << 16U |
                                  static_cast<std::uint32_t>(read_number(header.subspan(at + 2)));
      if (given != checksum_of(header, at)) return "the checksum is wrong";
    }
    at += size;
  }
  return nullptr;
}

std::size_t addresses_size(unsigned family) {
  switch (family) {
    case kInet:
      return kV4Addresses;
    case kInet6:
      return kV6Addresses;
    case kUnix:
      return kUnixAddresses;
    default:
      return 0;
  }
}

// All of it is there.
ProxyHeader read_proxied(Bytes header, unsigned family, unsigned transport) {
  ProxyHeader out = done(header.size());
  // Without a family nothing says where the addresses end and what else there is begins.
  if (family == kUnspecified) return out;
  const std::size_t size = addresses_size(family);
  if (header.size() - kFixed < size) return failed("the header is too short for its addresses");
  if (const char* const wrong = check_extras(header, kFixed + size)) return failed(wrong);
  // A connection over a Unix socket, or none at all: the socket's own addresses are meant.
  if (family == kUnix || transport != kStream) return out;
  const std::size_t ip = family == kInet ? 4 : 16;
  const Bytes addresses = header.subspan(kFixed);
  out.source = read_address(addresses.first(ip), addresses.subspan(2 * ip, 2));
  out.destination = read_address(addresses.subspan(ip, ip), addresses.subspan(2 * ip + 2, 2));
  return out;
}

ProxyHeader read_binary(Bytes bytes) {
  if (bytes.size() > kSignature.size()) {
    const unsigned char byte = bytes[kSignature.size()];
    if (byte >> 4U != 2) return failed("the version is not known");
    if ((byte & 15U) > kProxy) return failed("the command is not known");
  }
  if (bytes.size() < kFixed) return more(kFixed - bytes.size());
  const unsigned family = bytes[13] >> 4U;
  const unsigned transport = bytes[13] & 15U;
  if (family > kUnix || transport > kDatagram) return failed("the protocol is not known");
  const std::size_t size = kFixed + read_number(bytes.subspan(14));
  if (size > ProxyHeader::kSizeMax) return failed("the header is too long");
  if (bytes.size() < size) return more(size - bytes.size());
  // One that the proxy has opened for itself: all else in its header is to be skipped.
  if ((bytes[12] & 15U) == kLocal) return done(size);
  return read_proxied(bytes.first(size), family, transport);
}

// ---- writing

class Line {
 public:
  explicit Line(std::span<char> out) : out_(out) {}
  void put(std::string_view text) {
    std::ranges::copy(text, out_.begin() + static_cast<std::ptrdiff_t>(size_));
    size_ += text.size();
  }
  void put(unsigned number) {
    char* const at = out_.data() + size_;
    size_ +=
        static_cast<std::size_t>(std::to_chars(at, out_.data() + out_.size(), number).ptr - at);
  }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::span<char> out_;
  std::size_t size_ = 0;
};

// An IPv4 address in the place of an IPv6 one, beside a real one, is written as a mapped one.
std::array<std::uint8_t, 16> mapped(const Address& address) {
  if (address.is_v6()) return address.bytes();
  std::array<std::uint8_t, 16> out{};
  out[10] = out[11] = 0xff;
  std::copy_n(address.bytes().begin(), 4, out.begin() + 12);
  return out;
}

void put_ip(const Address& address, bool as_v6, Line& out) {
  if (as_v6 && !address.is_v6()) out.put("::ffff:");
  char text[Address::kTextMax];
  out.put({text, address.write_ip(text)});
}

std::size_t write_text(const Address& source, const Address& destination, std::span<char> out) {
  Line line(out);
  const bool as_v6 = source.is_v6() || destination.is_v6();
  line.put(as_v6 ? "PROXY TCP6 " : "PROXY TCP4 ");
  put_ip(source, as_v6, line);
  line.put(" ");
  put_ip(destination, as_v6, line);
  line.put(" ");
  line.put(unsigned{source.port()});
  line.put(" ");
  line.put(unsigned{destination.port()});
  line.put("\r\n");
  return line.size();
}

void put_bytes(std::span<const std::uint8_t> bytes, char*& at) {
  std::memcpy(at, bytes.data(), bytes.size());
  at += bytes.size();
}

void put_number(std::size_t number, char*& at) {
  *at++ = static_cast<char>(number >> 8U & 0xffU);
  *at++ = static_cast<char>(number & 0xffU);
}

std::size_t write_binary(const Address& source, const Address& destination, std::span<char> out) {
  char* at = out.data();
  std::ranges::copy(kSignature, at);
  at += kSignature.size();
  const bool is_local = !source.is_set();
  const bool as_v6 = source.is_v6() || destination.is_v6();
  *at++ = static_cast<char>(0x20U | (is_local ? kLocal : kProxy));
  *at++ = static_cast<char>(is_local ? 0U : (as_v6 ? kInet6 : kInet) << 4U | kStream);
  put_number(is_local ? 0 : addresses_size(as_v6 ? kInet6 : kInet), at);
  if (is_local) return kFixed;
  for (const Address* each : {&source, &destination}) {
    const std::array<std::uint8_t, 16> bytes = as_v6 ? mapped(*each) : each->bytes();
    put_bytes(std::span(bytes).first(as_v6 ? 16 : 4), at);
  }
  put_number(source.port(), at);
  put_number(destination.port(), at);
  return static_cast<std::size_t>(at - out.data());
}

}  // namespace

ProxyHeader read_proxy_header(std::span<const char> bytes) {
  const std::string_view text(bytes.data(), bytes.size());
  for (const std::string_view start : {kLineStart, kSignature}) {
    if (text.substr(0, start.size()) != start.substr(0, text.size())) continue;
    if (text.size() < start.size()) return more(start.size() - text.size());
    if (start == kLineStart) return read_text(text);
    return read_binary({reinterpret_cast<const unsigned char*>(text.data()), text.size()});
  }
  return failed("there is no PROXY header");
}

ProxyHeader ProxyHeaderReader::feed(std::span<const char> bytes, std::size_t& taken) {
  taken = bytes.size();
  if (held_.empty()) {
    const ProxyHeader out = read_proxy_header(bytes);
    if (out.step == Step::more) held_.append(bytes);
    if (out.step == Step::done) taken = out.size;
    return out;
  }
  // Never more than is missing: what follows the header is not to be held.
  ProxyHeader out = read_proxy_header(held_.front());
  taken = 0;
  while (out.step == Step::more && taken < bytes.size()) {
    const std::size_t part = std::min(out.need, bytes.size() - taken);
    held_.append(bytes.subspan(taken, part));
    taken += part;
    out = read_proxy_header(held_.front());
  }
  if (out.step != Step::more) held_.clear();
  return out;
}

std::size_t write_proxy_header(ProxyVersion version,
                               const Address& source,
                               const Address& destination,
                               std::span<char> out) {
  // Whom the client has spoken to may have been lost; the address is then of the right kind, at least.
  Address to = destination;
  if (source.is_set() && !to.is_set())
    to = *Address::parse_ip(source.is_v6() ? "::" : "0.0.0.0", 0);
  switch (version) {
    case ProxyVersion::none:
      return 0;
    case ProxyVersion::v1: {
      constexpr std::string_view kOurs = "PROXY UNKNOWN\r\n";
      if (source.is_set()) return write_text(source, to, out);
      std::ranges::copy(kOurs, out.begin());
      return kOurs.size();
    }
    case ProxyVersion::v2:
      return write_binary(source, to, out);
  }
  return 0;
}

}  // namespace portunus::net
