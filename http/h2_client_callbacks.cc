// H2Client: what nghttp2 tells of frames.
#include <nghttp2/nghttp2.h>

#include "http/h2_client.h"
#include "http/h2_client_stream.h"
#include "http/h2_common_callbacks.h"

namespace portunus::http {

struct H2ClientCallbacks : H2CommonCallbacks<H2Client, H2ClientStream> {
  // ---- received ----

  static int on_begin_headers(nghttp2_session* native, const nghttp2_frame* frame, void*) {
    if (H2ClientStream* stream = stream_of(native, frame->hd.stream_id)) stream->on_fields_begin();
    return 0;
  }

  static int on_frame(nghttp2_session* native, const nghttp2_frame* frame, void* user) {
    H2Client& client = connection_of(user);
    H2ClientStream* stream =
        frame->hd.stream_id != 0 ? stream_of(native, frame->hd.stream_id) : nullptr;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        if (stream == nullptr) return 0;
        stream->on_fields_end(ends_stream(frame->hd));
        if (ends_stream(frame->hd)) stream->on_answer_end();
        return 0;
      case NGHTTP2_DATA:
        if (ends_stream(frame->hd)) {
          if (stream != nullptr) stream->on_answer_end();
        } else if (frame->hd.length <= frame->data.padlen) {
          return client.spend(H2Abuse::empty_frames);
        }
        return 0;
      case NGHTTP2_RST_STREAM:
        if (stream != nullptr) stream->on_reset_received();
        return 0;
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) client.has_settings_ = true;
        return 0;
      default:
        return 0;
    }
  }

  static int on_stream_close(nghttp2_session* native,
                             std::int32_t id,
                             std::uint32_t code,
                             void* user) {
    H2ClientStream* stream = stream_of(native, id);
    if (stream == nullptr) return 0;
    H2Client& client = connection_of(user);
    stream->note_closed(code);
    stream->base::ListHook<H2ClientStream>::unlink();
    client.closed_.push_back(*stream);
    --client.open_;
    return 0;
  }

  // ---- sent ----

  static int on_frame_sent(nghttp2_session* native, const nghttp2_frame* frame, void* user) {
    H2ClientStream* stream = nullptr;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
      case NGHTTP2_DATA:
        stream = stream_of(native, frame->hd.stream_id);
        if (stream == nullptr) return 0;
        stream->on_head_sent();
        if (ends_stream(frame->hd)) stream->on_end_sent();
        return 0;
      case NGHTTP2_GOAWAY:
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR)
          connection_of(user).is_rule_broken_ = true;
        return 0;
      default:
        return 0;
    }
  }
};

nghttp2_session_callbacks* make_client_callbacks() {
  nghttp2_session_callbacks* out = H2ClientCallbacks::make();
  nghttp2_session_callbacks_set_on_begin_headers_callback(out, H2ClientCallbacks::on_begin_headers);
  nghttp2_session_callbacks_set_on_frame_recv_callback(out, H2ClientCallbacks::on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(out, H2ClientCallbacks::on_stream_close);
  nghttp2_session_callbacks_set_on_frame_send_callback(out, H2ClientCallbacks::on_frame_sent);
  return out;
}

}  // namespace portunus::http
