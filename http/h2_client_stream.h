// One request on an HTTP/2 connection to a member: commands send it, events bring the answer. What is
// sent waits in the stream's queue until the connection's output is made; what the member sends is
// acknowledged (window) when the exchange reads on. From the thread's slab, lent by its H2Client, and
// buried when it has been given back and HTTP/2 has closed it: it may outlive its connection. One
// thread.
//
//   lent --begin, send_head--> asked --final head--> answered --ended--> over
//   lent | asked | answered --RST_STREAM either way, connection gone--> over
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/intrusive_list.h"
#include "http/client_stream.h"
#include "http/h2_body.h"
#include "http/h2_fields.h"

namespace portunus::http {

class H2Client;

class H2ClientStream final : public ClientStream,
                             public base::ListHook<H2ClientStream>,
                             private net::Deferred,
                             private net::Mortal {
 public:
  H2ClientStream(ClientContext& context, H2Client& connection, bool was_idle);
  ~H2ClientStream();
  H2ClientStream(const H2ClientStream&) = delete;
  H2ClientStream& operator=(const H2ClientStream&) = delete;

  // ClientStream
  void begin(StreamHandler& handler) override;
  [[nodiscard]] std::uint64_t reached_ns() const override;
  [[nodiscard]] bool may_have_been_stale() const override {
    return was_idle_ && connection_ == nullptr;
  }
  // Stream
  void send_head(const Head& head, bool end) override;
  void send_body(std::span<const char> bytes, bool end) override;
  void send_trailers(const HeaderBlock& trailers) override;
  void set_reading(bool on) override;
  void set_handler(StreamHandler* handler) override { handler_ = handler; }
  void reset(base::Error why) override;

  // Its owner is done with it, and must not use it any more: what is left of it is taken back.
  void release();
  // Null: it is gone.
  [[nodiscard]] H2Client* connection() const { return connection_; }

  // What the connection tells, of frames received. on_field() is false for heads far too large.
  void on_fields_begin();
  [[nodiscard]] bool on_field(std::string_view name, std::string_view value) {
    return is_released_ || fields_.add(name, value);
  }
  void on_fields_end(bool end);
  void on_data(std::span<const char> bytes);
  void on_answer_end();
  void on_reset_received() { is_reset_received_ = true; }
  // HTTP/2 has closed it, with this code: on_closed() follows outside of nghttp2.
  void note_closed(std::uint32_t code) {
    is_closed_ = true;
    close_code_ = code;
  }
  // Of frames sent: as H2Body has them.
  [[nodiscard]] long read(std::size_t most, std::uint32_t& flags);
  void take(char* out, std::size_t size);
  void on_head_sent() { is_head_sent_ = true; }
  void on_end_sent() { is_end_sent_ = true; }
  // After the output: tells the exchange that there is room again.
  void tell_drained();
  void on_closed();
  // The connection is gone, which is told as `why`; whether the request may be sent again is known here.
  void on_connection_lost(base::Error why);

  [[nodiscard]] std::int32_t id() const { return id_; }

 private:
  void on_turn_end() override;
  void bury() override;

  void fail(base::Error why);
  void end(base::Error why);
  void tell_closed();
  [[nodiscard]] bool is_commanded() const;
  [[nodiscard]] base::Retry retry() const;
  void submit_reset(std::uint32_t code);
  void flush_soon();

  ClientContext* context_;
  H2Client* connection_;
  StreamHandler* handler_ = nullptr;
  Inbound* inbound_ = nullptr;       // from begin() on
  H2Body body_;                      // of the request, not yet in frames
  HeaderBlock* trailers_ = nullptr;  // of the answer, in the arena
  std::uint64_t request_left_ = 0;   // of a body with a length
  base::Error failure_;              // waits for the end of the turn
  H2FieldReader fields_;
  std::int32_t id_ = -1;  // none before the head is sent
  std::uint32_t close_code_ = 0;
  std::uint32_t unconsumed_ = 0;  // received, and not acknowledged by a window yet
  std::uint16_t interim_heads_ = 0;
  Method method_ = Method::get;
  bool was_idle_ : 1;  // the connection, when it was lent
  bool has_length_ : 1 = false;
  bool request_done_ : 1 = false;
  bool is_head_sent_ : 1 = false;  // handed to the socket
  bool is_end_sent_ : 1 = false;
  bool is_answered_ : 1 = false;   // a byte of the answer came
  bool head_done_ : 1 = false;     // the final one
  bool is_head_held_ : 1 = false;  // until the end comes: there is no body
  bool answer_done_ : 1 = false;
  bool is_paused_ : 1 = false;  // by the exchange
  bool is_high_ : 1 = false;    // unsent() was above the mark
  bool is_reset_by_us_ : 1 = false;
  bool is_reset_received_ : 1 = false;
  bool is_closed_ : 1 = false;  // for HTTP/2, or never begun
  bool is_released_ : 1 = false;
};

}  // namespace portunus::http
