// A generation as one data-plane thread holds it: the shared immutable part, this thread's pools by
// the generation's indexes, and a plain count of the exchanges that run on it. When it is no longer
// current and the last exchange ends, the thread lets go of it. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "proxy/generation.h"
#include "proxy/pool.h"

namespace portunus::proxy {

struct LocalGeneration {
  SharedGeneration shared;
  std::vector<Pool*> pools;
  std::uint32_t pins = 0;
  bool is_current = true;
  // Called when the last pin of a generation that is not current goes.
  void (*on_unused)(void* owner, LocalGeneration& generation) = nullptr;
  void* owner = nullptr;

  void pin() { ++pins; }
  void unpin() {
    if (--pins == 0 && !is_current) on_unused(owner, *this);
  }
};

}  // namespace portunus::proxy
