#include "http/header_block.h"

#include <cstring>

namespace portunus::http {

void HeaderBlock::assign(const HeaderBlock& other) {
  size_ = other.size_;
  std::memcpy(ids_.data(), other.ids_.data(), size_ * sizeof(ids_[0]));
  std::memcpy(fields_.data(), other.fields_.data(), size_ * sizeof(fields_[0]));
}

bool HeaderBlock::add(HeaderId id, std::string_view name, std::string_view value) {
  if (size_ == kCapacity) return false;
  ids_[size_] = id;
  fields_[size_] = {name.data(), value.data(), static_cast<std::uint32_t>(name.size()),
                    static_cast<std::uint32_t>(value.size())};
  ++size_;
  return true;
}

std::size_t HeaderBlock::find(HeaderId id, std::size_t from) const {
  if (from >= size_) return kNone;
  const void* hit = std::memchr(ids_.data() + from, static_cast<int>(id), size_ - from);
  if (hit == nullptr) return kNone;
  return static_cast<std::size_t>(static_cast<const HeaderId*>(hit) - ids_.data());
}

std::size_t HeaderBlock::count(HeaderId id) const {
  std::size_t total = 0;
  for (std::size_t i = find(id); i != kNone; i = find(id, i + 1))
    ++total;
  return total;
}

std::size_t HeaderBlock::find(std::string_view name, std::size_t from) const {
  const HeaderId known = header_id_of(name);
  if (known != HeaderId::other) return find(known, from);
  for (std::size_t i = find(HeaderId::other, from); i != kNone; i = find(HeaderId::other, i + 1)) {
    if (fields_[i].name() == name) return i;
  }
  return kNone;
}

void HeaderBlock::remove(HeaderId id) {
  for (std::size_t i = find(id); i != kNone; i = find(id, i + 1))
    remove_at(i);
}

void HeaderBlock::remove(std::string_view name) {
  for (std::size_t i = find(name); i != kNone; i = find(name, i + 1))
    remove_at(i);
}

}  // namespace portunus::http
