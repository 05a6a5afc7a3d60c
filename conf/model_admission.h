// Who may come in, and how often: what a site or a route says about clients before anything is done
// for them. See conf/model.h for what holds for all of the model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "conf/model_values.h"

namespace portunus::conf {

// Addresses and networks, each known to be accepted by net::CidrSet::add. What `denied` holds is kept
// out; when `allowed` is not empty, so is what it does not hold.
struct AddressLists {
  std::vector<std::string> allowed;
  std::vector<std::string> denied;
  friend bool operator==(const AddressLists&, const AddressLists&) = default;
};

enum class RateKey : std::uint8_t { client_ip, header, cookie, path };
enum class RateHeaders : std::uint8_t { off, limited, all };

// For each key so many requests in a time, evenly, and so many at once.
struct RateLimit {
  static constexpr std::uint64_t kRequestsMax = 1'000'000;

  std::uint64_t requests = 0;  // in `per`; 0 = not given, which is reported
  Milliseconds per{1000};
  std::uint64_t burst = 0;  // 1 to kRequestsMax
  RateKey key = RateKey::client_ip;
  std::string key_name;            // of a header field, in lower case, or of a cookie
  std::uint32_t ipv6_prefix = 64;  // bits of an address that make one client
  std::uint32_t keys = 100'000;    // that are to be remembered at a time
  RateHeaders headers = RateHeaders::limited;
  bool report_only = false;
  friend bool operator==(const RateLimit&, const RateLimit&) = default;
};

}  // namespace portunus::conf
