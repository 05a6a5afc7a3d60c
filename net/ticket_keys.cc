#include "net/ticket_keys.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>

namespace portunus::net {

TicketKey::~TicketKey() {
  OPENSSL_cleanse(this, sizeof *this);
}

TicketKeys::TicketKeys() {
  rotate();
}

TicketKeys::~TicketKeys() {
  for (Slot& slot : slots_)
    write(slot, {});
}

bool TicketKeys::rotate() {
  TicketKey fresh;
  if (RAND_bytes(fresh.name.data(), static_cast<int>(fresh.name.size())) != 1 ||
      RAND_priv_bytes(fresh.cipher.data(), static_cast<int>(fresh.cipher.size())) != 1 ||
      RAND_priv_bytes(fresh.mac.data(), static_cast<int>(fresh.mac.size())) != 1) {
    return false;
  }
  const std::uint64_t done = rotations_.load(std::memory_order_relaxed);
  write(slots_[done % kSlots], fresh);
  rotations_.store(done + 1, std::memory_order_release);
  if (done >= kReaders) write(slots_[(done + 1) % kSlots], {});  // it reads no ticket any more
  return true;
}

void TicketKeys::write(Slot& slot, const TicketKey& key) {
  Words words{};
  static_assert(sizeof words == sizeof key.name + sizeof key.cipher + sizeof key.mac);
  auto* at = reinterpret_cast<unsigned char*>(words.data());
  at = std::ranges::copy(key.name, at).out;
  at = std::ranges::copy(key.cipher, at).out;
  std::ranges::copy(key.mac, at);
  const std::uint64_t version = slot.version.load(std::memory_order_relaxed);
  slot.version.store(version + 1, std::memory_order_release);
  // Whoever sees one of the words sees the odd version, too.
  for (std::size_t i = 0; i < kWords; ++i)
    slot.words[i].store(words[i], std::memory_order_release);
  slot.version.store(version + 2, std::memory_order_release);
  OPENSSL_cleanse(words.data(), sizeof words);
}

bool TicketKeys::read(const Slot& slot, TicketKey& out) {
  const std::uint64_t before = slot.version.load(std::memory_order_acquire);
  Words words{};
  for (std::size_t i = 0; i < kWords; ++i)
    words[i] = slot.words[i].load(std::memory_order_acquire);
  if (before % 2 != 0 || slot.version.load(std::memory_order_relaxed) != before) return false;
  const auto* at = reinterpret_cast<const unsigned char*>(words.data());
  std::copy_n(at, out.name.size(), out.name.begin());
  std::copy_n(at + out.name.size(), out.cipher.size(), out.cipher.begin());
  std::copy_n(at + out.name.size() + out.cipher.size(), out.mac.size(), out.mac.begin());
  OPENSSL_cleanse(words.data(), sizeof words);
  return true;
}

std::optional<TicketKey> TicketKeys::newest() const {
  TicketKey key;
  for (;;) {  // again only after a rotation that went round all slots meanwhile
    const std::uint64_t done = rotations_.load(std::memory_order_acquire);
    if (done == 0) return std::nullopt;
    if (read(slots_[(done - 1) % kSlots], key)) return key;
  }
}

std::optional<TicketKeys::Found> TicketKeys::find(
    std::span<const unsigned char, TicketKey::kNameSize> name) const {
  const std::uint64_t done = rotations_.load(std::memory_order_acquire);
  Found found;
  for (std::uint64_t age = 0; age < std::min<std::uint64_t>(done, kReaders); ++age) {
    if (!read(slots_[(done - 1 - age) % kSlots], found.key)) continue;  // the oldest, just wiped
    if (!std::ranges::equal(found.key.name, name)) continue;
    found.is_newest = age == 0;
    return found;
  }
  return std::nullopt;
}

}  // namespace portunus::net
