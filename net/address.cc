#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace portunus::net {
namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

char* write_number(char* out, unsigned value) {
  return std::to_chars(out, out + 5, value).ptr;
}

}  // namespace

Address Address::from_sockaddr(const sockaddr* address) {
  Address result;
  if (address->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof in);
    std::memcpy(result.bytes_.data(), &in.sin_addr, 4);
    result.port_ = ntohs(in.sin_port);
    result.family_ = 4;
  } else if (address->sa_family == AF_INET6) {
    sockaddr_in6 in6{};
    std::memcpy(&in6, address, sizeof in6);
    std::memcpy(result.bytes_.data(), &in6.sin6_addr, 16);
    result.port_ = ntohs(in6.sin6_port);
    result.family_ = 6;
    if (std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), result.bytes_.begin())) {
      std::memmove(result.bytes_.data(), result.bytes_.data() + 12, 4);
      std::fill(result.bytes_.begin() + 4, result.bytes_.end(), std::uint8_t{0});
      result.family_ = 4;
    }
  }
  return result;
}

Address Address::local_of(int descriptor) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* const local = reinterpret_cast<sockaddr*>(&storage);
  return ::getsockname(descriptor, local, &size) == 0 ? from_sockaddr(local) : Address{};
}

std::expected<Address, const char*> Address::parse_ip(std::string_view text, std::uint16_t port) {
  char copy[INET6_ADDRSTRLEN + 1];
  if (text.empty() || text.size() >= sizeof copy || text.find('\0') != std::string_view::npos) {
    return std::unexpected("not an IP address");
  }
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  sockaddr_in in{};
  if (inet_pton(AF_INET, copy, &in.sin_addr) == 1) {
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    return from_sockaddr(reinterpret_cast<const sockaddr*>(&in));
  }
  sockaddr_in6 in6{};
  if (inet_pton(AF_INET6, copy, &in6.sin6_addr) == 1) {
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    return from_sockaddr(reinterpret_cast<const sockaddr*>(&in6));
  }
  return std::unexpected("not an IP address");
}

Address Address::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return {};
  std::string_view ip = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  const bool is_bracketed = ip.starts_with('[') && ip.ends_with(']') && ip.size() > 2;
  if (is_bracketed) ip = ip.substr(1, ip.size() - 2);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc{} || end != digits.data() + digits.size()) return {};
  const auto address = parse_ip(ip, port);
  if (!address || is_bracketed != address->is_v6()) return {};
  return *address;
}

socklen_t Address::to_sockaddr(sockaddr_storage& out) const {
  std::memset(&out, 0, sizeof out);
  if (family_ == 6) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&out);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port_);
    std::memcpy(&in6->sin6_addr, bytes_.data(), 16);
    return sizeof(sockaddr_in6);
  }
  auto* in = reinterpret_cast<sockaddr_in*>(&out);
  in->sin_family = AF_INET;
  in->sin_port = htons(port_);
  std::memcpy(&in->sin_addr, bytes_.data(), 4);
  return sizeof(sockaddr_in);
}

std::size_t Address::write_ip(char* out) const {
  if (family_ == 6) {
    if (inet_ntop(AF_INET6, bytes_.data(), out, kTextMax) == nullptr) return 0;
    return std::strlen(out);
  }
  // By hand: this is on the path of every request.
  char* end = out;
  for (std::size_t i = 0; i < 4; ++i) {
    if (i > 0) *end++ = '.';
    end = write_number(end, bytes_[i]);
  }
  return static_cast<std::size_t>(end - out);
}

std::string Address::ip_text() const {
  char out[kTextMax];
  return {out, write_ip(out)};
}

std::string Address::text() const {
  const std::string ip = ip_text();
  return (is_v6() ? "[" + ip + "]" : ip) + ":" +
         std::to_string(port_);  // allow(string): of the log and the start, never per request
}

std::expected<void, const char*> CidrSet::add(std::string_view text) {
  const std::size_t slash = text.find('/');
  auto address = Address::parse_ip(text.substr(0, slash), 0);
  if (!address) return std::unexpected(address.error());
  const unsigned most = address->is_v6() ? 128 : 32;
  unsigned bits = most;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    if (digits.empty() || parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size() ||
        bits > most) {
      return std::unexpected("the prefix length is not a number from 0 to 32 (IPv6: 128)");
    }
  }
  networks_.push_back({address->bytes(), static_cast<std::uint8_t>(bits), address->is_v6()});
  return {};
}

bool CidrSet::contains(const Address& address) const {
  for (const Network& network : networks_) {
    if (network.v6 != address.is_v6()) continue;
    const std::size_t whole = network.bits / 8;
    if (!std::equal(network.bytes.begin(), network.bytes.begin() + whole,
                    address.bytes().begin())) {
      continue;
    }
    const unsigned rest = network.bits % 8;
    if (rest == 0) return true;
    const auto mask = static_cast<unsigned>(0xff00 >> rest) & 0xffU;
    if ((network.bytes[whole] & mask) == (address.bytes()[whole] & mask)) return true;
  }
  return false;
}

}  // namespace portunus::net
