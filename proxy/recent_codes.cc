#include "proxy/recent_codes.h"

#include <cstring>
#include <utility>

namespace portunus::proxy {

std::size_t RecentCodes::Hash::operator()(const net::Hmac::Code& code) const {
  std::size_t out = 0;
  std::memcpy(&out, code.data(), sizeof(out));
  return out;
}

void RecentCodes::add(const net::Hmac::Code& code) {
  if (!known_.insert(code).second) return;
  if (order_.size() < kCodesMax) {
    order_.push_back(code);
    return;
  }
  known_.erase(std::exchange(order_[oldest_], code));
  oldest_ = (oldest_ + 1) % kCodesMax;
}

}  // namespace portunus::proxy
