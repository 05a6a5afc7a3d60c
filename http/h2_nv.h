// Fields on their way into nghttp2, which copies what it is given. For the sources of HTTP/2 only:
// it needs nghttp2's header. On the stack of its user; one thread.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "http/message.h"

namespace portunus::http {

class H2NameValues {
 public:
  H2NameValues() {}  // NOLINT: the array stays uninitialised on purpose, it is 5 KiB
  H2NameValues(const H2NameValues&) = delete;
  H2NameValues& operator=(const H2NameValues&) = delete;
  ~H2NameValues() = default;

  // Dropped when there is no room, which for what a HeaderBlock holds there is.
  void add(std::string_view name, std::string_view value) {
    if (size_ == fields_.size()) return;
    fields_[size_] = {bytes_of(name), bytes_of(value), name.size(), value.size(),
                      NGHTTP2_NV_FLAG_NONE};
    ++size_;
  }
  [[nodiscard]] const nghttp2_nv* data() const { return fields_.data(); }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  static std::uint8_t* bytes_of(std::string_view text) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
  }

  std::array<nghttp2_nv, HeaderBlock::kCapacity + 8> fields_;
  std::size_t size_ = 0;
};

// The head of an answer, without the fields of an HTTP/1 connection; a 101 becomes a 200 (RFC 8441
// section 5). `digits` and `length_digits` must live as long as `out`.
struct H2HeadTexts {
  char status[3];
  char length[20];
};
void put_response(const Head& head, bool says_length, H2HeadTexts& texts, H2NameValues& out);

// The head of a request. `memory` is for texts that are put together; false when it is too small. Both
// must live as long as `out`.
[[nodiscard]] bool put_request(const Head& head,
                               std::string_view scheme,
                               std::span<char> memory,
                               H2NameValues& out);

}  // namespace portunus::http
