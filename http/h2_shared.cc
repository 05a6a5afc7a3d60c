#include "http/h2_shared.h"

#include "base/check.h"
#include "http/h2_frames.h"

namespace portunus::http {
namespace {

// Frames of CONTINUATION behind one HEADERS: 32 KiB of fields need two.
constexpr std::size_t kContinuationsMax = 8;
constexpr std::size_t kAcksMax = 100;  // that wait to be sent
constexpr std::size_t kHeadMax = std::size_t{128} * 1024;

}  // namespace

H2Shared::H2Shared()
    : callbacks(make_server_callbacks()), client_callbacks(make_client_callbacks()) {
  CHECK(nghttp2_option_new(&options) == 0);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_no_closed_streams(options, 1);
  nghttp2_option_set_max_continuations(options, kContinuationsMax);
  // Ours are stricter, and count.
  nghttp2_option_set_max_settings(options, 100'000);
  nghttp2_option_set_max_outbound_ack(options, kAcksMax);
  nghttp2_option_set_max_send_header_block_length(options, kHeadMax);
  nghttp2_option_set_builtin_recv_extension_type(options, NGHTTP2_PRIORITY_UPDATE);
  nghttp2_option_set_stream_reset_rate_limit(options, 1'000'000, 1'000'000);
}

H2Shared::~H2Shared() {
  nghttp2_session_callbacks_del(client_callbacks);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_option_del(options);
}

}  // namespace portunus::http
