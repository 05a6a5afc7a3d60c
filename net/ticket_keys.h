// The keys that session tickets are encrypted with: drawn by the kernel, never written anywhere, shared
// by all threads and kept over reloads. A ticket is good for kLifetime of rotations: the newest key
// makes tickets, those before it still read theirs. rotate() is one thread's; readers take no lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace portunus::net {

struct TicketKey {
  static constexpr std::size_t kNameSize = 16;
  TicketKey() = default;
  ~TicketKey();  // wipes
  TicketKey(const TicketKey&) = default;
  TicketKey& operator=(const TicketKey&) = default;
  TicketKey(TicketKey&&) = default;
  TicketKey& operator=(TicketKey&&) = default;

  std::array<unsigned char, kNameSize> name{};
  std::array<unsigned char, 32> cipher{};
  std::array<unsigned char, 32> mac{};
};

class TicketKeys {
 public:
  // Keys that read tickets, the one that makes them included.
  static constexpr std::uint32_t kReaders = 3;

  TicketKeys();
  ~TicketKeys();
  TicketKeys(const TicketKeys&) = delete;
  TicketKeys& operator=(const TicketKeys&) = delete;

  // A new key makes the tickets from now on, and the oldest is wiped. False: the system has no
  // randomness to give, and the keys are as before.
  bool rotate();

  struct Found {
    TicketKey key;
    bool is_newest = false;  // else the client should get a new ticket
  };
  // Any thread. None: there is no key at all.
  [[nodiscard]] std::optional<TicketKey> newest() const;
  [[nodiscard]] std::optional<Found> find(
      std::span<const unsigned char, TicketKey::kNameSize> name) const;

 private:
  static constexpr std::size_t kWords = sizeof(TicketKey) / sizeof(std::uint64_t);
  using Words = std::array<std::uint64_t, kWords>;
  // One more than there are readers for, so that what is read is not what is written next.
  static constexpr std::uint32_t kSlots = kReaders + 1;
  struct Slot {
    std::atomic<std::uint64_t> version{0};  // odd while it is written
    std::array<std::atomic<std::uint64_t>, kWords> words{};
  };
  static void write(Slot& slot, const TicketKey& key);
  // False: it was written meanwhile.
  [[nodiscard]] static bool read(const Slot& slot, TicketKey& out);

  std::array<Slot, kSlots> slots_;
  std::atomic<std::uint64_t> rotations_{0};  // 0 = no key
};

}  // namespace portunus::net
