// An IP address and port in 20 bytes, its text forms, and sets of networks (CIDR). IPv4-mapped IPv6
// addresses are folded to IPv4 on entry, so that one client has one form. Value types; any thread.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace portunus::net {

class Address {
 public:
  static constexpr std::size_t kTextMax = 64;  // "[v6]:port" and a null

  Address() = default;
  [[nodiscard]] static Address from_sockaddr(const sockaddr* address);
  // This end of a socket; unset when it has none.
  [[nodiscard]] static Address local_of(int descriptor);
  // An IP literal, IPv6 without brackets; no name look-up.
  [[nodiscard]] static std::expected<Address, const char*> parse_ip(std::string_view text,
                                                                    std::uint16_t port);
  // What text() gives; unset for anything else.
  [[nodiscard]] static Address parse(std::string_view text);

  [[nodiscard]] bool is_set() const { return family_ != 0; }
  [[nodiscard]] bool is_v6() const { return family_ == 6; }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  void set_port(std::uint16_t port) { port_ = port; }
  [[nodiscard]] const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }
  // Fills `out`; returns its length.
  socklen_t to_sockaddr(sockaddr_storage& out) const;
  // "10.0.0.1" or "::1"; the written length. `out` has room for kTextMax.
  std::size_t write_ip(char* out) const;
  [[nodiscard]] std::string ip_text() const;
  // "10.0.0.1:80" or "[::1]:80".
  [[nodiscard]] std::string text() const;
  friend bool operator==(const Address&, const Address&) = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};  // network order; IPv4 in the first four
  std::uint16_t port_ = 0;                // host order
  std::uint8_t family_ = 0;               // 0 unset, 4, 6
};

// Networks such as 10.0.0.0/8. Look-up is a scan: the lists are short.
class CidrSet {
 public:
  // "10.0.0.0/8", "::1", "2001:db8::/32".
  [[nodiscard]] std::expected<void, const char*> add(std::string_view text);
  [[nodiscard]] bool contains(const Address& address) const;
  [[nodiscard]] bool empty() const { return networks_.empty(); }

 private:
  struct Network {
    std::array<std::uint8_t, 16> bytes;
    std::uint8_t bits;
    bool v6;
  };
  std::vector<Network> networks_;
};

}  // namespace portunus::net
