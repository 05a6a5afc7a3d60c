#include "proxy/server_timing.h"

#include <array>
#include <charconv>
#include <cstddef>
#include <string_view>

namespace portunus::proxy {
namespace {

// On the stack: six entries at most, each shorter than kEntryMax.
class TimingText {
 public:
  void add(std::string_view name, std::uint64_t ns) {
    begin(name);
    put(";dur=");
    // Milliseconds with all of its microseconds: a fast member takes less than one.
    const std::uint64_t us = ns / kNsPerUs;
    put(us / kUsPerMs);
    const std::uint64_t rest = us % kUsPerMs;
    const std::array<char, 4> part{'.', digit(rest / 100), digit(rest / 10 % 10), digit(rest % 10)};
    put({part.data(), part.size()});
  }
  void add_if(std::string_view name, std::uint64_t ns) {
    if (ns != 0) add(name, ns);
  }
  void add_count(std::string_view name, std::uint64_t count) {
    begin(name);
    put(";desc=\"");
    put(count);
    put("\"");
  }
  [[nodiscard]] std::string_view text() const { return {text_.data(), size_}; }

 private:
  static constexpr std::uint64_t kNsPerUs = 1'000;
  static constexpr std::uint64_t kUsPerMs = 1'000;
  static constexpr std::size_t kEntriesMax = 6;
  static constexpr std::size_t kEntryMax = 48;  // 20 digits at most, and less than 28 others

  static char digit(std::uint64_t value) { return static_cast<char>('0' + value); }
  void begin(std::string_view name) {
    if (size_ > 0) put(", ");
    put(name);
  }
  void put(std::string_view piece) {
    piece.copy(text_.data() + size_, piece.size());
    size_ += piece.size();
  }
  void put(std::uint64_t number) {
    char* const from = text_.data() + size_;
    size_ += static_cast<std::size_t>(std::to_chars(from, text_.data() + text_.size(), number).ptr -
                                      from);
  }

  std::array<char, kEntriesMax * kEntryMax> text_{};
  std::size_t size_ = 0;
};

}  // namespace

bool add_server_timing(const ServerTiming& timing, base::Arena& arena, http::HeaderBlock& fields) {
  TimingText out;
  out.add_if("queue", timing.queue_ns);
  out.add_if("connect", timing.connect_ns);
  out.add_if("tls", timing.tls_ns);
  out.add_if("member", timing.member_ns);
  if (timing.tries > 1) out.add_count("tries", timing.tries);
  out.add("total", timing.total_ns);
  return fields.add("server-timing", arena.copy(out.text()));
}

}  // namespace portunus::proxy
