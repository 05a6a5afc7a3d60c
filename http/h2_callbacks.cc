// H2Session: what nghttp2 tells of frames.
#include <nghttp2/nghttp2.h>

#include "http/h2_common_callbacks.h"
#include "http/h2_session.h"
#include "http/h2_shared.h"

namespace portunus::http {

struct H2Callbacks : H2CommonCallbacks<H2Session, H2Stream> {
  // ---- received ----

  static int on_begin_headers(nghttp2_session* native, const nghttp2_frame* frame, void* user) {
    H2Session& session = connection_of(user);
    const std::int32_t id = frame->hd.stream_id;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) return session.on_request_begin(id);
    if (H2Stream* stream = stream_of(native, id)) stream->on_trailers_begin();
    return 0;
  }

  static int on_frame(nghttp2_session* native, const nghttp2_frame* frame, void* user) {
    H2Session& session = connection_of(user);
    H2Stream* stream = frame->hd.stream_id != 0 ? stream_of(native, frame->hd.stream_id) : nullptr;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        if (stream == nullptr) return 0;
        stream->on_fields_end(ends_stream(frame->hd));
        if (ends_stream(frame->hd)) stream->on_request_end();
        return 0;
      case NGHTTP2_DATA:
        if (ends_stream(frame->hd)) {
          if (stream != nullptr) stream->on_request_end();
        } else if (frame->hd.length <= frame->data.padlen) {
          return session.spend(H2Abuse::empty_frames);
        }
        return 0;
      case NGHTTP2_RST_STREAM:
        if (stream != nullptr) stream->on_reset_received();
        return 0;
      case NGHTTP2_PRIORITY_UPDATE: {
        const auto* update = static_cast<const nghttp2_ext_priority_update*>(frame->ext.payload);
        stream = stream_of(native, update->stream_id);
        if (stream == nullptr) return 0;
        stream->on_priority(
            {reinterpret_cast<const char*>(update->field_value), update->field_value_len});
        return 0;
      }
      case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) session.say_last_stream();
        return 0;
      default:
        return 0;
    }
  }

  static int on_stream_close(nghttp2_session* native, std::int32_t id, std::uint32_t, void* user) {
    H2Stream* stream = stream_of(native, id);
    if (stream == nullptr) return 0;
    H2Session& session = connection_of(user);
    stream->base::ListHook<H2Stream>::unlink();
    session.closed_.push_back(*stream);
    --session.open_;
    return 0;
  }

  // ---- sent ----

  static int on_frame_sent(nghttp2_session* native, const nghttp2_frame* frame, void* user) {
    H2Session& session = connection_of(user);
    H2Counts& counts = session.context_->h2_counts;
    H2Stream* stream = nullptr;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
      case NGHTTP2_DATA:
        if (!ends_stream(frame->hd)) return 0;
        stream = stream_of(native, frame->hd.stream_id);
        if (stream != nullptr) stream->on_end_sent();
        return 0;
      case NGHTTP2_RST_STREAM:
        ++counts.resets_sent;
        stream = stream_of(native, frame->hd.stream_id);
        if (frame->rst_stream.error_code == NGHTTP2_REFUSED_STREAM) {
          static_cast<void>(session.spend(H2Abuse::streams));
        } else if (stream == nullptr || !stream->is_reset_by_us()) {
          // Not because we wanted to, but because the client broke a rule.
          static_cast<void>(session.spend(H2Abuse::server_resets));
        }
        return 0;
      case NGHTTP2_GOAWAY:
        ++counts.goaways_sent;
        return 0;
      default:
        return 0;
    }
  }

  // An answer whose head nghttp2 cannot send: the stream ends, and its exchange hears of it.
  static int on_frame_not_sent(nghttp2_session* native,
                               const nghttp2_frame* frame,
                               int code,
                               void* /*user*/) {
    const bool is_gone = code == NGHTTP2_ERR_STREAM_CLOSED || code == NGHTTP2_ERR_STREAM_CLOSING ||
                         code == NGHTTP2_ERR_SESSION_CLOSING;
    if (frame->hd.type != NGHTTP2_HEADERS || is_gone) return 0;
    nghttp2_submit_rst_stream(native, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                              NGHTTP2_INTERNAL_ERROR);
    return 0;
  }
};

int H2Session::on_frame_begin(std::uint8_t type, std::uint8_t flags, std::size_t length) {
  if (is_stopped_) return NGHTTP2_ERR_CALLBACK_FAILURE;
  if (type == NGHTTP2_RST_STREAM) ++context_->h2_counts.resets_received;
  const H2FrameCost cost = cost_of_frame(type, flags, length);
  if (cost.is_too_much) {
    stop(cost.kind);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  return cost.is_free ? 0 : spend(cost.kind);
}

int H2Session::on_request_begin(std::int32_t id) {
  H2Shared& shared = *context_->h2;
  // Streams that the client has taken back are cleared away at the end of the turn only.
  if (live_ >= 2 * shared.limits.concurrent_streams) {
    stop(H2Abuse::streams);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  H2Stream* stream = shared.streams.make(*this, id);
  nghttp2_session_set_stream_user_data(native_, id, stream);
  streams_.push_back(*stream);
  ++open_;
  ++live_;
  ++requests_;
  ++context_->h2_counts.streams;
  if (is_waiting_ || requests_ == 1) deadline_.disarm();
  is_waiting_ = false;
  const bool is_last = requests_ >= context_->requests_max;
  if (is_last || context_->is_draining || context_->is_crowded) drain();
  return 0;
}

nghttp2_session_callbacks* make_server_callbacks() {
  nghttp2_session_callbacks* callbacks = H2Callbacks::make();
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, H2Callbacks::on_begin_headers);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, H2Callbacks::on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, H2Callbacks::on_stream_close);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, H2Callbacks::on_frame_sent);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks,
                                                           H2Callbacks::on_frame_not_sent);
  return callbacks;
}

}  // namespace portunus::http
