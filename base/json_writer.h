// Appends JSON to a buffer of the caller: no allocation, correct escaping, and any bytes in become
// valid UTF-8 out (what is not UTF-8 turns into U+FFFD). When the buffer is full nothing more is
// written and is_full() says so; the caller then drops the whole text. Not a checker of structure:
// the caller opens and closes in order. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace portunus::base {

class JsonWriter {
 public:
  JsonWriter(char* begin, std::size_t size) : begin_(begin), at_(begin), end_(begin + size) {}

  void open_object() { open('{'); }
  void close_object() { close('}'); }
  void open_array() { open('['); }
  void close_array() { close(']'); }
  // `name` needs no escaping: it is a literal of ours. Inline, so that its copy has a constant
  // size.
  void key(std::string_view name) {
    if (!has_room(name.size() + 4)) return;
    if (needs_comma_) *at_++ = ',';
    *at_++ = '"';
    append(name);
    *at_++ = '"';
    *at_++ = ':';
    needs_comma_ = false;
  }
  void text(std::string_view value);
  void number(std::uint64_t value);
  void signed_number(std::int64_t value);
  // Seconds with six decimals: 1500000 -> 0.001500.
  void seconds(std::uint64_t nanoseconds);
  void boolean(bool value) { literal(value ? "true" : "false"); }
  void null() { literal("null"); }

  // Key and value in one.
  void text(std::string_view name, std::string_view value) {
    key(name);
    text(value);
  }
  // A word of a closed list, which needs no escaping.
  void word(std::string_view name, std::string_view value) {
    key(name);
    if (!has_room(value.size() + 2)) return;
    *at_++ = '"';
    append(value);
    *at_++ = '"';
    needs_comma_ = true;
  }
  void number(std::string_view name, std::uint64_t value) {
    key(name);
    number(value);
  }
  void seconds(std::string_view name, std::uint64_t nanoseconds) {
    key(name);
    seconds(nanoseconds);
  }
  // Bytes that are JSON already, or separators such as a newline.
  void raw(std::string_view bytes) {
    if (has_room(bytes.size())) append(bytes);
  }

  [[nodiscard]] bool is_full() const { return is_full_; }
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(at_ - begin_); }
  [[nodiscard]] std::string_view view() const { return {begin_, size()}; }

 private:
  void open(char bracket);
  void close(char bracket);
  void separate();
  void literal(std::string_view word);
  void escaped(std::string_view value);
  bool has_room(std::size_t bytes) {
    if (static_cast<std::size_t>(end_ - at_) >= bytes && !is_full_) return true;
    is_full_ = true;
    return false;
  }
  void append(std::string_view bytes) {
    std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
  }

  char* begin_;
  char* at_;
  char* end_;
  bool needs_comma_ = false;
  bool is_full_ = false;
};

}  // namespace portunus::base
