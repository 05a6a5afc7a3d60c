// What one side of a stream has to say behind its head and has not said yet: bytes and trailers,
// which nghttp2 asks for when the connection has room. For the sources of HTTP/2. A part of one
// stream; one thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/chunk.h"

struct nghttp2_session;

namespace portunus::base {
class Arena;
}  // namespace portunus::base

namespace portunus::http {

class HeaderBlock;

class H2Body {
 public:
  explicit H2Body(base::ChunkPool& chunks) : queue_(chunks) {}

  void append(std::span<const char> bytes) { queue_.append(bytes); }
  // To be sent behind the last byte: copied into the arena, which outlives this.
  void keep_trailers(const HeaderBlock& trailers, base::Arena& arena);
  // Nothing more comes.
  void end() { has_ended_ = true; }
  // It is not the whole: what is left is sent, and no end behind it.
  void cut() { has_ended_ = false; }
  void clear() { queue_.clear(); }
  [[nodiscard]] std::size_t size() const { return queue_.size(); }
  [[nodiscard]] bool empty() const { return queue_.empty(); }

  // Of a DATA frame: how many bytes may go into one of `most`; negative as nghttp2 wants it.
  [[nodiscard]] long read(nghttp2_session* native,
                          std::int32_t id,
                          std::size_t most,
                          std::uint32_t& flags);
  // Those bytes.
  void take(char* out, std::size_t size);
  // There is something to ask for again.
  void wake(nghttp2_session* native, std::int32_t id);

 private:
  void submit_trailers(nghttp2_session* native, std::int32_t id) const;

  base::ChunkQueue queue_;
  std::string_view trailers_;  // in the arena: sizes and bytes of names and values
  bool has_ended_ = false;
  bool is_deferred_ = false;  // nghttp2 waits for more
};

}  // namespace portunus::http
