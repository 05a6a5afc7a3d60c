#include "http/chunk_decoder.h"

#include <algorithm>

#include "http/grammar.h"

namespace portunus::http {

bool ChunkDecoder::take_size(char c) {
  const int digit = hex_value(c);
  if (digit >= 0) {
    if (++digits_ > 16) {
      failure_ = "chunk size of more than 16 digits";
      return false;
    }
    left_ = left_ << 4 | static_cast<std::uint64_t>(digit);
    return true;
  }
  if (digits_ == 0 || (c != '\r' && c != ';')) {
    failure_ = "malformed chunk size";
    return false;
  }
  if (left_ > std::uint64_t{INT64_MAX}) {
    failure_ = "chunk size over 2^63";
    return false;
  }
  state_ = c == '\r' ? State::line_feed : State::extension;
  return true;
}

bool ChunkDecoder::take_extension(char c) {
  if (c == '\r' && state_ == State::extension) {
    state_ = State::line_feed;
    return true;
  }
  if (!is_value_char(c)) {
    failure_ = "control character in a chunk extension";
    return false;
  }
  ++extension_;
  if (extension_ > kExtensionMax || extensions_ + extension_ > kExtensionsMax) {
    failure_ = "chunk extensions too long";
    return false;
  }
  if (state_ == State::escaped) {
    state_ = State::quoted;
  } else if (c == '"') {
    state_ = state_ == State::quoted ? State::extension : State::quoted;
  } else if (c == '\\' && state_ == State::quoted) {
    state_ = State::escaped;
  }
  return true;
}

bool ChunkDecoder::take_framing(char c) {
  switch (state_) {
    case State::size:
      return take_size(c);
    case State::extension:
    case State::quoted:
    case State::escaped:
      return take_extension(c);
    case State::line_feed:
      failure_ = "bare CR after a chunk size";
      extensions_ += extension_;
      extension_ = 0;
      digits_ = 0;
      state_ = State::data;
      return c == '\n';
    case State::data_cr:
      failure_ = "no CRLF after chunk data";
      state_ = State::data_lf;
      return c == '\r';
    case State::data_lf:
      failure_ = "no CRLF after chunk data";
      state_ = State::size;
      return c == '\n';
    case State::data:
      break;
  }
  return false;
}

ChunkDecoder::Step ChunkDecoder::next(std::span<const char>& bytes, std::span<const char>& data) {
  while (!bytes.empty()) {
    if (state_ == State::data) {
      data = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
      left_ -= data.size();
      bytes = bytes.subspan(data.size());
      if (left_ == 0) state_ = State::data_cr;
      return Step::data;
    }
    const bool is_line_end = state_ == State::line_feed;
    const char c = bytes.front();
    if (!take_framing(c)) return Step::failed;
    bytes = bytes.subspan(1);
    if (is_line_end && left_ == 0) return Step::last_chunk;
  }
  return Step::need_more;
}

}  // namespace portunus::http
