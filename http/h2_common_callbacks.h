// What nghttp2 tells of frames, as far as it is the same for connections to clients and to members: the
// start of frames, fields, bodies in both directions. For the sources of HTTP/2 only. The connection
// has on_frame_begin(), spend(), and the parts that a frame of DATA needs; the stream on_field(),
// on_data(), read() and take().
#pragma once

#include <nghttp2/nghttp2.h>

#include "base/check.h"
#include "http/h2_frames.h"

namespace portunus::http {

template <typename Connection, typename StreamOfIt>
struct H2CommonCallbacks {
  static Connection& connection_of(void* user) { return *static_cast<Connection*>(user); }
  static StreamOfIt* stream_of(nghttp2_session* native, std::int32_t id) {
    return static_cast<StreamOfIt*>(nghttp2_session_get_stream_user_data(native, id));
  }

  // With these set; the others are the caller's.
  [[nodiscard]] static nghttp2_session_callbacks* make() {
    nghttp2_session_callbacks* out = nullptr;
    CHECK(nghttp2_session_callbacks_new(&out) == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(out, on_begin_frame);
    nghttp2_session_callbacks_set_on_header_callback2(out, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(out, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(out, on_data);
    nghttp2_session_callbacks_set_send_data_callback(out, send_data);
    return out;
  }

  // Of the body that a stream sends.
  [[nodiscard]] static nghttp2_data_provider body_of(StreamOfIt& stream) {
    nghttp2_data_provider body{};
    body.source.ptr = &stream;
    body.read_callback = read;
    return body;
  }

 private:
  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* frame, void* user) {
    return connection_of(user).on_frame_begin(frame->type, frame->flags, frame->length);
  }

  // NOLINTNEXTLINE(readability-function-size): the signature is nghttp2's
  static int on_header(nghttp2_session* native,
                       const nghttp2_frame* frame,
                       nghttp2_rcbuf* name,
                       nghttp2_rcbuf* value,
                       std::uint8_t /*flags*/,
                       void* user) {
    StreamOfIt* stream = stream_of(native, frame->hd.stream_id);
    if (stream == nullptr || stream->on_field(text_of(name), text_of(value))) return 0;
    const int result = connection_of(user).spend(H2Abuse::header_bombs);
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
    StreamOfIt* stream = stream_of(native, id);
    if (stream == nullptr) {
      nghttp2_session_consume_connection(native, size);
    } else {
      stream->on_data({reinterpret_cast<const char*>(bytes), size});
    }
    return 0;
  }

  // NOLINTNEXTLINE(readability-function-size): the signature is nghttp2's
  static ssize_t read(nghttp2_session* /*session*/,
                      std::int32_t /*id*/,
                      std::uint8_t* /*buffer*/,
                      std::size_t most,
                      std::uint32_t* flags,
                      nghttp2_data_source* source,
                      void* /*user*/) {
    return static_cast<StreamOfIt*>(source->ptr)->read(most, *flags);
  }

  // NOLINTNEXTLINE(readability-function-size): the signature is nghttp2's
  static int send_data(nghttp2_session* /*native*/,
                       nghttp2_frame* /*frame*/,
                       const std::uint8_t* header,
                       std::size_t size,
                       nghttp2_data_source* source,
                       void* user) {
    Connection& connection = connection_of(user);
    auto& stream = *static_cast<StreamOfIt*>(source->ptr);
    // The stream was taken back while this frame waited for room: nghttp2 drops it.
    if (size > stream.unsent()) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    char* const room = connection.output_.begin_data(header, size);
    if (room == nullptr) return NGHTTP2_ERR_WOULDBLOCK;
    stream.take(room, size);
    excuse_for_data(size, connection.budget_);
    connection.has_drained_ = true;
    return 0;
  }
};

}  // namespace portunus::http
