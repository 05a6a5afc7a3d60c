#include "http/h2_frames.h"

namespace portunus::http {
namespace {

constexpr std::size_t kSettingsMax = 32;  // in one frame
constexpr std::size_t kSettingSize = 6;

}  // namespace

H2FrameCost cost_of_frame(std::uint8_t type, std::uint8_t flags, std::size_t length) {
  constexpr H2FrameCost kFree{.is_free = true};
  const bool is_ack = (flags & NGHTTP2_FLAG_ACK) != 0;
  switch (type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
    case NGHTTP2_GOAWAY:
    case NGHTTP2_PUSH_PROMISE:
      return kFree;
    case NGHTTP2_CONTINUATION:
      return length == 0 ? H2FrameCost{.kind = H2Abuse::empty_frames} : kFree;
    case NGHTTP2_SETTINGS:
      if (length > kSettingsMax * kSettingSize) return {H2Abuse::settings, false, true};
      return is_ack ? kFree : H2FrameCost{.kind = H2Abuse::settings};
    case NGHTTP2_PING:
      return is_ack ? kFree : H2FrameCost{.kind = H2Abuse::pings};
    case NGHTTP2_RST_STREAM:
      return {.kind = H2Abuse::client_resets};
    case NGHTTP2_WINDOW_UPDATE:
      return {.kind = H2Abuse::window_updates};
    default:  // PRIORITY, PRIORITY_UPDATE, and what nobody knows
      return {.kind = H2Abuse::priorities};
  }
}

}  // namespace portunus::http
