// nghttp2's words for frames, as both roles read them. For the sources of HTTP/2 only: it needs
// nghttp2's header.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/h2_limits.h"

namespace portunus::http {

[[nodiscard]] inline std::string_view text_of(nghttp2_rcbuf* buffer) {
  const nghttp2_vec bytes = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(bytes.base), bytes.len};
}

[[nodiscard]] inline bool ends_stream(const nghttp2_frame_hd& frame) {
  return (frame.flags & NGHTTP2_FLAG_END_STREAM) != 0;
}

// What a frame costs its sender as it begins. Those of DATA that carry nothing are found out when they
// are complete.
struct H2FrameCost {
  H2Abuse kind = H2Abuse::output;
  bool is_free = false;
  bool is_too_much = false;  // at once, whatever is left
};
[[nodiscard]] H2FrameCost cost_of_frame(std::uint8_t type, std::uint8_t flags, std::size_t length);

// A frame of DATA that we send explains some of what comes back: who reads in small pieces opens two
// windows for each, and libraries measure the way with a PING for each.
inline void excuse_for_data(std::size_t size, H2Budget& budget) {
  constexpr std::size_t kPiece = 1024;
  budget.excuse(H2Abuse::window_updates, static_cast<std::uint32_t>(2 * (1 + size / kPiece)));
  budget.excuse(H2Abuse::pings, 1);
}

// Made once for a thread.
[[nodiscard]] nghttp2_session_callbacks* make_server_callbacks();
[[nodiscard]] nghttp2_session_callbacks* make_client_callbacks();

}  // namespace portunus::http
