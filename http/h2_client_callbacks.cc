// H2Client: what nghttp2 tells of frames.
#include <nghttp2/nghttp2.h>

#include "base/check.h"
#include "http/h2_client.h"
#include "http/h2_client_stream.h"
#include "http/h2_frames.h"

namespace portunus::http {

struct H2ClientCallbacks {
  static H2Client& client_of(void* user) { return *static_cast<H2Client*>(user); }
  static H2ClientStream* stream_of(nghttp2_session* native, std::int32_t id) {
    return static_cast<H2ClientStream*>(nghttp2_session_get_stream_user_data(native, id));
  }

  // ---- received ----

  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* frame, void* user) {
    return client_of(user).on_frame_begin(frame->type, frame->flags, frame->length);
  }

  static int on_begin_headers(nghttp2_session* native, const nghttp2_frame* frame, void*) {
    if (H2ClientStream* stream = stream_of(native, frame->hd.stream_id)) stream->on_fields_begin();
    return 0;
  }

  // NOLINTNEXTLINE(readability-function-size): the signature is nghttp2's
  static int on_header(nghttp2_session* native,
                       const nghttp2_frame* frame,
                       nghttp2_rcbuf* name,
                       nghttp2_rcbuf* value,
                       std::uint8_t /*flags*/,
                       void* user) {
    H2ClientStream* stream = stream_of(native, frame->hd.stream_id);
    if (stream == nullptr || stream->on_field(text_of(name), text_of(value))) return 0;
    const int result = client_of(user).spend(H2Abuse::header_bombs);
    return result != 0 ? result : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  // nghttp2 would drop the field and go on.
  // NOLINTNEXTLINE(readability-function-size): the signature is nghttp2's
  static int on_invalid_header(
      nghttp2_session*, const nghttp2_frame*, nghttp2_rcbuf*, nghttp2_rcbuf*, std::uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  // NOLINTNEXTLINE(readability-function-size): the signature is nghttp2's
  static int on_data(nghttp2_session* native,
                     std::uint8_t /*flags*/,
                     std::int32_t id,
                     const std::uint8_t* bytes,
                     std::size_t size,
                     void* /*user*/) {
    H2ClientStream* stream = stream_of(native, id);
    if (stream == nullptr) {
      nghttp2_session_consume_connection(native, size);
    } else {
      stream->on_data({reinterpret_cast<const char*>(bytes), size});
    }
    return 0;
  }

  static int on_frame(nghttp2_session* native, const nghttp2_frame* frame, void* user) {
    H2Client& client = client_of(user);
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
    H2Client& client = client_of(user);
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
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR) client_of(user).is_rule_broken_ = true;
        return 0;
      default:
        return 0;
    }
  }

  // NOLINTNEXTLINE(readability-function-size): the signature is nghttp2's
  static int send_data(nghttp2_session* /*native*/,
                       nghttp2_frame* /*frame*/,
                       const std::uint8_t* header,
                       std::size_t size,
                       nghttp2_data_source* source,
                       void* user) {
    H2Client& client = client_of(user);
    auto& stream = *static_cast<H2ClientStream*>(source->ptr);
    if (size > stream.unsent())
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // never, by our rules
    char* const room = client.output_.begin_data(header, size);
    if (room == nullptr) return NGHTTP2_ERR_WOULDBLOCK;
    stream.take(room, size);
    excuse_for_data(size, client.budget_);
    client.has_drained_ = true;
    return 0;
  }
};

nghttp2_session_callbacks* make_client_callbacks() {
  nghttp2_session_callbacks* out = nullptr;
  CHECK(nghttp2_session_callbacks_new(&out) == 0);
  nghttp2_session_callbacks_set_on_begin_frame_callback(out, H2ClientCallbacks::on_begin_frame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(out, H2ClientCallbacks::on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback2(out, H2ClientCallbacks::on_header);
  nghttp2_session_callbacks_set_on_invalid_header_callback2(out,
                                                            H2ClientCallbacks::on_invalid_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(out, H2ClientCallbacks::on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(out, H2ClientCallbacks::on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(out, H2ClientCallbacks::on_stream_close);
  nghttp2_session_callbacks_set_on_frame_send_callback(out, H2ClientCallbacks::on_frame_sent);
  nghttp2_session_callbacks_set_send_data_callback(out, H2ClientCallbacks::send_data);
  return out;
}

}  // namespace portunus::http
