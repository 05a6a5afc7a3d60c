// A data-plane thread's side of the access log: formats lines into blocks of memory and hands full
// blocks to the writer thread. Owned by AccessLog; write() and flush_if_due() only on the thread
// that the buffer belongs to. Blocks are taken from a bounded set that is allocated as it is first
// needed.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/counter.h"
#include "conf/model.h"
#include "proxy/exchange_record.h"

namespace portunus::proxy {

// Names behind the ids of a record; part of a generation, immutable.
struct LogNames {
  std::vector<std::string> listeners;  // by MetricsRegistry's listener id
};

// What all buffers of one log share with its writer.
struct AccessLogShared {
  std::atomic<conf::AccessLogFormat> format{conf::AccessLogFormat::off};
  std::atomic<std::uint32_t> signal{0};  // counts hand-overs; the writer sleeps on it
};

// Turns monotonic nanoseconds into wall-clock text; the offset is looked up once a second.
class WallText {
 public:
  // "2026-02-03T04:05:06.123456Z".
  std::string_view rfc3339(std::uint64_t monotonic_ns);
  // "03/Feb/2026:04:05:06 +0000".
  std::string_view combined(std::uint64_t monotonic_ns);

 private:
  std::uint64_t set_second(std::uint64_t monotonic_ns);

  std::uint64_t offset_ns_ = 0;
  std::uint64_t offset_until_ns_ = 0;
  std::uint64_t second_ = 0;
  std::array<char, 32> rfc3339_{};
  std::array<char, 32> combined_{};
};

class AccessLogBuffer {
 public:
  static constexpr std::size_t kBlockBytes = std::size_t{64} * 1024;
  static constexpr std::size_t kBlocksMax = 64;  // 4 MiB per thread
  static constexpr std::uint64_t kFlushMs = 200;

  struct Block {
    std::size_t size = 0;
    std::uint64_t lines = 0;
    std::array<char, kBlockBytes> bytes;
  };

  explicit AccessLogBuffer(AccessLogShared& shared) : shared_(shared) {}
  AccessLogBuffer(const AccessLogBuffer&) = delete;
  AccessLogBuffer& operator=(const AccessLogBuffer&) = delete;
  ~AccessLogBuffer() = default;

  [[nodiscard]] bool is_on() const {
    return shared_.format.load(std::memory_order_relaxed) != conf::AccessLogFormat::off;
  }
  void write(const ExchangeRecord& record, const LogNames& names);
  // From a timer of the thread: hands over a block whose first line is older than kFlushMs.
  void flush_if_due(std::uint64_t now_ms);
  // Hands over what there is; before the thread ends.
  void flush();

  // Any thread.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_.value(); }
  // The writer thread.
  Block* take_full();
  void give_back(Block* block);

 private:
  // One writer, one reader, never more than kBlocksMax entries: it cannot overflow.
  class Ring {
   public:
    void push(Block* block);
    Block* pop();

   private:
    std::array<Block*, kBlocksMax> slots_{};
    alignas(64) std::atomic<std::uint32_t> tail_{0};
    alignas(64) std::atomic<std::uint32_t> head_{0};
  };

  bool take_block();

  AccessLogShared& shared_;
  WallText wall_;
  Block* block_ = nullptr;
  std::uint64_t first_line_ns_ = 0;
  base::Counter dropped_;
  std::vector<std::unique_ptr<Block>> blocks_;
  Ring full_;
  Ring free_;
};

// One line without a newline into `out`; 0 when it does not fit. For tests, benchmarks and the
// buffer.
std::size_t write_json_line(const ExchangeRecord& record,
                            const LogNames& names,
                            WallText& wall,
                            char* out,
                            std::size_t size);
std::size_t write_combined_line(const ExchangeRecord& record,
                                WallText& wall,
                                char* out,
                                std::size_t size);

}  // namespace portunus::proxy
