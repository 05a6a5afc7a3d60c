#include "proxy/access_log_buffer.h"

#include "base/clock.h"

namespace portunus::proxy {

void AccessLogBuffer::Ring::push(Block* block) {
  const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
  slots_[tail % kBlocksMax] = block;
  tail_.store(tail + 1, std::memory_order_release);
}

AccessLogBuffer::Block* AccessLogBuffer::Ring::pop() {
  const std::uint32_t head = head_.load(std::memory_order_relaxed);
  if (head == tail_.load(std::memory_order_acquire)) return nullptr;
  Block* const block = slots_[head % kBlocksMax];
  head_.store(head + 1, std::memory_order_release);
  return block;
}

bool AccessLogBuffer::take_block() {
  block_ = free_.pop();
  if (block_ == nullptr && blocks_.size() < kBlocksMax) {
    blocks_.push_back(std::make_unique_for_overwrite<Block>());
    block_ = blocks_.back().get();
  }
  if (block_ == nullptr) return false;
  block_->size = 0;
  block_->lines = 0;
  return true;
}

void AccessLogBuffer::write(const ExchangeRecord& record, const LogNames& names) {
  const conf::AccessLogFormat format = shared_.format.load(std::memory_order_relaxed);
  if (format == conf::AccessLogFormat::off) return;
  // A line that does not fit into the rest of a block gets one more chance in an empty one.
  for (int round = 0; round < 2; ++round) {
    if (block_ == nullptr && !take_block()) break;
    char* const out = block_->bytes.data() + block_->size;
    const std::size_t room = kBlockBytes - block_->size - 1;
    const std::size_t size = format == conf::AccessLogFormat::json
                                 ? write_json_line(record, names, wall_, out, room)
                                 : write_combined_line(record, wall_, out, room);
    if (size > 0) {
      out[size] = '\n';
      if (block_->lines == 0) first_line_ns_ = record.ended_ns;
      block_->size += size + 1;
      ++block_->lines;
      return;
    }
    if (block_->lines == 0) break;  // too long even alone
    flush();
  }
  dropped_.add();
}

void AccessLogBuffer::flush_if_due(std::uint64_t now_ms) {
  if (block_ == nullptr || block_->lines == 0) return;
  if (now_ms >= first_line_ns_ / 1'000'000 + kFlushMs) flush();
}

void AccessLogBuffer::flush() {
  if (block_ == nullptr || block_->lines == 0) return;
  full_.push(block_);
  block_ = nullptr;
  shared_.signal.fetch_add(1, std::memory_order_release);
  shared_.signal.notify_one();
}

AccessLogBuffer::Block* AccessLogBuffer::take_full() {
  return full_.pop();
}

void AccessLogBuffer::give_back(Block* block) {
  free_.push(block);
}

}  // namespace portunus::proxy
