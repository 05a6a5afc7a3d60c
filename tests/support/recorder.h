// Both ends of http/stream.h for tests: a handler that writes down the events it gets, and a stream
// that writes down the commands. What they note is one string, so that a test is a comparison.
// Header only: the fuzz targets use it too.
#pragma once

#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "base/arena.h"
#include "http/stream.h"

namespace portunus::test {

inline std::string head_text(const http::Head& head) {
  if (head.status != 0) return std::to_string(head.status);
  return std::string(head.method_text) + " " + std::string(head.path) +
         (head.has_query ? "?" + std::string(head.query) : "");
}

// Events: "head GET /a; body abc; end; trailers x=1; drained; reset client_closed; ".
// Body slices that follow one another are one.
class RecorderHandler final : public http::StreamHandler {
 public:
  using Do = std::function<void(RecorderHandler&)>;

  void on_head(http::Head& head, bool end) override {
    check_alive();
    note("head " + head_text(head));
    last = &head;
    if (!head.is_interim()) status = head.status;
    for (std::size_t i = 0; i < head.fields.size(); ++i) {
      if (head.fields.is_removed(i)) continue;
      const auto& field = head.fields.field(i);
      fields += std::string(field.name()) + "=" + std::string(field.value()) + ";";
    }
    if (at_head) at_head(*this);
    if (end) on_message_end();
  }
  void on_body(std::span<const char> bytes, bool end) override {
    check_alive();
    if (!bytes.empty()) {
      if (!is_in_body_) note("body ");
      is_in_body_ = true;
      const std::string_view text(bytes.data(), bytes.size());
      // Long bodies are counted, not copied.
      if (body.size() < 4096) events.insert(events.size() - 2, text);
      body += text;
      body_bytes += text.size();
      if (at_body) at_body(*this);
    }
    if (end) on_message_end();
  }
  void on_trailers(const http::HeaderBlock& trailers) override {
    check_alive();
    std::string text = "trailers";
    for (std::size_t i = 0; i < trailers.size(); ++i) {
      if (trailers.is_removed(i)) continue;
      text += " " + std::string(trailers.field(i).name()) + "=" +
              std::string(trailers.field(i).value());
    }
    note(text);
    on_message_end();
  }
  void on_drained() override {
    check_alive();
    ++drained;
    if (at_drained) at_drained(*this);
  }
  void on_reset(base::Error why) override {
    check_alive();
    note("reset " + std::string(base::name_of(why.reason)));
    error = why;
    is_reset = true;
    if (at_reset) at_reset(*this);
  }

  http::Stream* stream = nullptr;
  const http::Head* last = nullptr;
  std::string events;
  std::string body;
  std::string fields;  // "name=value;" of all heads
  std::size_t body_bytes = 0;
  int status = 0;
  int drained = 0;
  bool has_end = false;
  bool is_reset = false;
  bool expects_silence = false;  // the contract says that nothing more may come
  base::Error error;
  Do at_head, at_body, at_end, at_drained, at_reset;

 private:
  void on_message_end() {
    if (has_end) std::abort();
    has_end = true;
    note("end");
    if (at_end) at_end(*this);
  }
  void note(std::string text) {
    is_in_body_ = false;
    events += text + "; ";
  }
  // Rule 4 of the contract.
  void check_alive() {
    if (is_reset || expects_silence) std::abort();
  }
  bool is_in_body_ = false;
};

// Commands: "head 200; body hello; end; trailers; reset upstream_reset; ", plus reading on and off.
// Aborts on what the contract forbids.
class RecorderStream final : public http::Stream {
 public:
  void send_head(const http::Head& head, bool end) override {
    check_alive();
    if (status != 0) std::abort();  // one final head
    note("head " + head_text(head));
    if (!head.is_interim()) status = head.status;
    for (std::size_t i = 0; i < head.fields.size(); ++i) {
      if (head.fields.is_removed(i)) continue;
      const auto& field = head.fields.field(i);
      fields += std::string(field.name()) + "=" + std::string(field.value()) + ";";
    }
    is_tunnel = head.status == 101;
    if (end) on_end();
  }
  void send_body(std::span<const char> bytes, bool end) override {
    check_alive();
    if (status == 0) std::abort();
    if (!bytes.empty()) {
      if (body.size() < 4096) commands += "body " + std::string(bytes.data(), bytes.size()) + "; ";
      body.append(bytes.data(), bytes.size());
      if (is_blocked) {
        unsent_ += bytes.size();
        unsent_most = std::max(unsent_most, unsent_);
      }
    }
    if (end) on_end();
  }
  void send_trailers(const http::HeaderBlock& block) override {
    check_alive();
    note("trailers");
    for (std::size_t i = 0; i < block.size(); ++i) {
      if (block.is_removed(i)) continue;
      const auto& field = block.field(i);
      trailers += std::string(field.name()) + "=" + std::string(field.value()) + ";";
    }
    on_end();
  }
  void set_reading(bool on) override {
    is_reading = on;
    note(on ? "read" : "pause");
  }
  void set_handler(http::StreamHandler* /*handler*/) override {}
  void reset(base::Error why) override {
    check_alive();
    note("reset " + std::string(base::name_of(why.reason)));
    is_reset = true;
  }
  // The client took everything.
  void drain() { unsent_ = 0; }

  std::string commands;
  std::string body;
  std::string fields;
  std::string trailers;
  int status = 0;
  bool is_blocked = false;  // nothing is taken: unsent() grows
  bool is_reading = true;
  bool is_tunnel = false;
  bool has_end = false;
  bool is_reset = false;
  std::size_t unsent_most = 0;

 private:
  void on_end() {
    has_end = true;
    note("end");
  }
  void note(const std::string& text) { commands += text + "; "; }
  void check_alive() {
    if (is_reset || has_end) std::abort();
  }
};

// An answer of our own making, whole: head and body in one event.
inline void answer(http::Stream& stream,
                   base::ChunkPool& chunks,
                   std::uint16_t status,
                   std::string_view body,
                   bool by_length = true) {
  base::Arena arena(chunks);
  http::Head head;
  head.arena = &arena;
  head.clear();
  head.status = status;
  head.fields.add(http::HeaderId::content_type, "text/plain");
  head.body = by_length ? http::BodyKind::length : http::BodyKind::unknown;
  head.content_length = by_length ? body.size() : 0;
  stream.send_head(head, false);
  stream.send_body({body.data(), body.size()}, true);
}

}  // namespace portunus::test
