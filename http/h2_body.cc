#include "http/h2_body.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>

#include "base/arena.h"
#include "http/h2_nv.h"
#include "http/header_block.h"

namespace portunus::http {

void H2Body::keep_trailers(const HeaderBlock& trailers, base::Arena& arena) {
  std::size_t size = 0;
  for (std::size_t i = 0; i < trailers.size(); ++i) {
    if (trailers.is_removed(i)) continue;
    size += 2 * sizeof(std::uint32_t) + trailers.field(i).name_size + trailers.field(i).value_size;
  }
  if (size == 0) return;
  char* const begin = arena.take(size);
  char* at = begin;
  const auto put = [&at](const void* from, std::size_t count) {
    std::memcpy(at, from, count);
    at += count;
  };
  for (std::size_t i = 0; i < trailers.size(); ++i) {
    if (trailers.is_removed(i)) continue;
    const HeaderBlock::Field& field = trailers.field(i);
    put(&field.name_size, sizeof field.name_size);
    put(&field.value_size, sizeof field.value_size);
    put(field.name_data, field.name_size);
    put(field.value_data, field.value_size);
  }
  trailers_ = {begin, size};
}

long H2Body::read(nghttp2_session* native,
                  std::int32_t id,
                  std::size_t most,
                  std::uint32_t& flags) {
  const std::size_t size = std::min(most, queue_.size());
  if (size == queue_.size() && has_ended_) {
    flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!trailers_.empty()) {
      flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      submit_trailers(native, id);
    }
  } else if (size == 0) {
    is_deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  return static_cast<long>(size);
}

void H2Body::submit_trailers(nghttp2_session* native, std::int32_t id) const {
  H2NameValues fields;
  const char* at = trailers_.data();
  const char* const end = at + trailers_.size();
  while (at < end) {
    std::uint32_t sizes[2];
    std::memcpy(sizes, at, sizeof sizes);
    at += sizeof sizes;
    fields.add({at, sizes[0]}, {at + sizes[0], sizes[1]});
    at += sizes[0] + sizes[1];
  }
  nghttp2_submit_trailer(native, id, fields.data(), fields.size());
}

void H2Body::take(char* out, std::size_t size) {
  while (size > 0) {
    const std::span<const char> front = queue_.front();
    const std::size_t count = std::min(size, front.size());
    std::memcpy(out, front.data(), count);
    out += count;
    size -= count;
    queue_.drain(count);
  }
}

void H2Body::wake(nghttp2_session* native, std::int32_t id) {
  if (!is_deferred_) return;
  is_deferred_ = false;
  nghttp2_session_resume_data(native, id);
}

}  // namespace portunus::http
