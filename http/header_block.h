// The fields of one head or trailer section: ids as bytes (find is one memchr) beside slices of
// name and value. Names are lower case; neither names nor values are owned: their bytes live in the
// message's arena or in static storage, and must outlive the block. At most kCapacity fields. One
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "http/header_id.h"

namespace portunus::http {

class HeaderBlock {
 public:
  static constexpr std::size_t kCapacity = 128;

  struct Field {
    const char* name_data;
    const char* value_data;
    std::uint32_t name_size;
    std::uint32_t value_size;
    [[nodiscard]] std::string_view name() const { return {name_data, name_size}; }
    [[nodiscard]] std::string_view value() const { return {value_data, value_size}; }
  };

  HeaderBlock() {}  // NOLINT: the arrays stay uninitialised on purpose, they are 3 KiB
  HeaderBlock(const HeaderBlock&) = delete;
  HeaderBlock& operator=(const HeaderBlock&) = delete;
  ~HeaderBlock() = default;
  // Copies the used part only; the bytes stay shared.
  void assign(const HeaderBlock& other);

  // Slots used, removed ones included: iterate 0..size() and skip is_removed().
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool is_removed(std::size_t i) const { return ids_[i] == HeaderId::removed; }
  [[nodiscard]] HeaderId id(std::size_t i) const { return ids_[i]; }
  [[nodiscard]] const Field& field(std::size_t i) const { return fields_[i]; }
  void set_value(std::size_t i, std::string_view value) {
    fields_[i].value_data = value.data();
    fields_[i].value_size = static_cast<std::uint32_t>(value.size());
  }
  void remove_at(std::size_t i) { ids_[i] = HeaderId::removed; }
  void clear() { size_ = 0; }

  // False when the block is full. `name` is lower case; for known ids it is the static name.
  bool add(HeaderId id, std::string_view name, std::string_view value);
  bool add(HeaderId id, std::string_view value) { return add(id, header_name_of(id), value); }
  // Adds by name (lower case), interning it.
  bool add(std::string_view name, std::string_view value) {
    const HeaderId known = header_id_of(name);
    return add(known, known == HeaderId::other ? name : header_name_of(known), value);
  }

  // Index of the first field at or after `from` with that id, or kNone. Not for `other`.
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  [[nodiscard]] std::size_t find(HeaderId id, std::size_t from = 0) const;
  [[nodiscard]] bool has(HeaderId id) const { return find(id) != kNone; }
  // The first value, or an empty view.
  [[nodiscard]] std::string_view value_of(HeaderId id) const {
    const std::size_t i = find(id);
    return i == kNone ? std::string_view{} : fields_[i].value();
  }
  [[nodiscard]] std::size_t count(HeaderId id) const;
  // Any name, lower case: by id when known, else by comparing. kNone when absent.
  [[nodiscard]] std::size_t find(std::string_view name, std::size_t from = 0) const;
  void remove(HeaderId id);
  void remove(std::string_view name);
  // Removes all of that name, then adds one. False when full.
  bool set(HeaderId id, std::string_view value) {
    remove(id);
    return add(id, value);
  }
  bool set(std::string_view name, std::string_view value) {
    remove(name);
    return add(name, value);
  }

 private:
  std::size_t size_ = 0;
  std::array<HeaderId, kCapacity> ids_;
  std::array<Field, kCapacity> fields_;
};

}  // namespace portunus::http
