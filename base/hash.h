// Two hashes of short text. KeyedHash is for tables that are asked with what clients sent: its
// secret is drawn from the kernel, so nobody can choose texts that collide. stable_hash is for
// rings and other things that every process, today's and next year's, must place alike: its values
// never change. Neither is for signatures or passwords. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace portunus::base {

class KeyedHash {
 public:
  // With a secret of its own, new for every object.
  KeyedHash();
  // With a given secret, for tests and benchmarks that must repeat.
  KeyedHash(std::uint64_t first, std::uint64_t second);

  // `seed` may be the hash of what stands before, so that the parts of a text can be hashed one by
  // one.
  [[nodiscard]] std::uint64_t operator()(std::string_view text, std::uint64_t seed = 0) const;

 private:
  std::uint64_t first_;
  std::uint64_t second_;
};

// Also mixes in a number: the k-th point of one member on a ring, for example.
[[nodiscard]] std::uint64_t stable_hash(std::string_view text, std::uint64_t number = 0);

}  // namespace portunus::base
