// The Server-Timing field (W3C Server Timing, section 2): where the time of an answer went until its
// head, for the developer tools of browsers. Any thread.
#pragma once

#include <cstdint>

#include "base/arena.h"
#include "http/header_block.h"

namespace portunus::proxy {

// Nanoseconds; 0 = did not happen, and is not told.
struct ServerTiming {
  std::uint64_t queue_ns = 0;    // waiting for a member, all tries
  std::uint64_t connect_ns = 0;  // last try
  std::uint64_t tls_ns = 0;      // last try
  std::uint64_t member_ns = 0;   // last try: from the request's head to the answer's
  std::uint64_t total_ns = 0;    // from the request's head to the answer's; told even when 0
  std::uint32_t tries = 0;       // told from 2 on
};

// Behind what the member may say itself: lists of it add up. False when the block is full; the answer is as
// good without it.
[[nodiscard]] bool add_server_timing(const ServerTiming& timing,
                                     base::Arena& arena,
                                     http::HeaderBlock& fields);

}  // namespace portunus::proxy
