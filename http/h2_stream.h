// One stream of an HTTP/2 connection, in the role of the server, as the Stream of its exchange: the
// head and body of a request up, an answer down. What the exchange sends waits in the stream's queue
// until the session's output is made, at the end of the poll; what the client sends is acknowledged
// (window) when the exchange reads on. From the thread's slab, buried when HTTP/2 has closed it. One
// thread.
//
//   head --judged--> exchange --answer and request ended--> over
//   exchange --101 (extended CONNECT)--> tunnel --both directions ended--> over
//   head --refused, answered here--> over             any --RST_STREAM either way--> over
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/intrusive_list.h"
#include "http/h2_body.h"
#include "http/h2_fields.h"
#include "http/h2_priority.h"
#include "http/inbound.h"
#include "http/stream.h"
#include "net/loop.h"

struct nghttp2_session;

namespace portunus::http {

class H2Session;

class H2Stream final : public Stream,
                       public base::ListHook<H2Stream>,
                       private net::Deferred,
                       private net::Mortal {
 public:
  H2Stream(H2Session& session, std::int32_t id);
  ~H2Stream();
  H2Stream(const H2Stream&) = delete;
  H2Stream& operator=(const H2Stream&) = delete;

  // Stream
  void send_head(const Head& head, bool end) override;
  void send_body(std::span<const char> bytes, bool end) override;
  void send_trailers(const HeaderBlock& trailers) override;
  void set_reading(bool on) override;
  void set_handler(StreamHandler* handler) override { handler_ = handler; }
  void reset(base::Error why) override;

  // What the session tells, of frames received.
  void on_trailers_begin();
  [[nodiscard]] bool on_field(std::string_view name, std::string_view value) {
    return fields_.add(name, value);
  }
  void on_fields_end(bool end);
  void on_data(std::span<const char> bytes);
  void on_request_end();
  void on_reset_received() { reset_received_ = true; }
  void on_priority(std::string_view field) { priority_ = read_priority(field, {}); }
  // Of frames sent. read(): how many bytes may go into a DATA frame of `most`; negative as nghttp2
  // wants it. take(): those bytes.
  [[nodiscard]] long read(std::size_t most, std::uint32_t& flags);
  void take(char* out, std::size_t size);
  void on_end_sent();
  // After the output: tells the exchange that there is room again.
  void tell_drained();
  // HTTP/2 has closed it, or the connection is gone. Ends the object at the end of the turn.
  void close(base::Error why);
  // The connection ends with `why`; says whether the client can still be told so.
  void shut_down(base::Error why);

  [[nodiscard]] std::int32_t id() const { return id_; }
  [[nodiscard]] bool is_reset_by_us() const { return reset_by_us_; }
  [[nodiscard]] bool is_reset_received() const { return reset_received_; }

 private:
  enum class Framing : std::uint8_t { none, length, open };

  void on_turn_end() override;
  void bury() override;

  [[nodiscard]] nghttp2_session* native() const;
  [[nodiscard]] Framing choose_framing(const Head& head, bool end);
  void merge_priority(const Head& answer);
  void refuse(base::Error why);
  void submit_reset(std::uint32_t code);
  void consume(std::size_t size);
  void tell_tunnel_end();
  void finish();
  void wake_output();
  [[nodiscard]] bool is_writing() const;
  [[nodiscard]] bool has_progressed();
  [[nodiscard]] bool is_rate_asked_for() const;
  void arm(std::uint64_t after_ms);
  void on_deadline();

  H2Session* session_;
  StreamHandler* handler_ = nullptr;
  Inbound* inbound_;
  H2Body body_;                      // of the answer, not yet in frames
  HeaderBlock* trailers_ = nullptr;  // of the request, in the arena
  std::uint64_t answer_left_ = 0;    // with Framing::length
  std::uint64_t bytes_moved_ = 0;    // either way
  std::uint64_t progress_ = 0;       // bytes_moved_ when the deadline was armed
  std::uint64_t session_progress_ = 0;
  H2FieldReader fields_;
  net::Deadline deadline_;
  std::int32_t id_;
  std::uint32_t unconsumed_ = 0;  // received, and not acknowledged by a window yet
  std::uint32_t reset_code_ = 0;  // to be sent behind what is in the queue
  Framing framing_ = Framing::none;
  H2Priority priority_;            // as the client wants it
  bool head_done_ : 1 = false;     // judged, and an exchange has it
  bool request_done_ : 1 = false;  // the client's direction has ended
  bool response_begun_ : 1 = false;
  bool response_done_ : 1 = false;  // the exchange has said all
  bool end_sent_ : 1 = false;
  bool is_head_request_ : 1 = false;
  bool is_tunnel_ : 1 = false;
  bool awaits_tunnel_ : 1 = false;  // asked for one: what comes now belongs into it
  bool is_paused_ : 1 = false;      // by the exchange
  bool is_high_ : 1 = false;        // unsent() was above the mark
  bool is_cut_ : 1 = false;         // reset_code_ follows
  bool is_over_ : 1 = false;
  bool reset_by_us_ : 1 = false;
  bool reset_received_ : 1 = false;
  bool is_rated_ : 1 = false;  // as in h1_server.h
};

}  // namespace portunus::http
