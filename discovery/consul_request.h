// One question about a service to an agent, and what the head of the answer says. Pure; any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "discovery/consul_settings.h"
#include "http/header_block.h"

namespace portunus::discovery {

enum class Consistency : std::uint8_t {
  usual,       // the leader answers, and may be one that has just been deposed
  stale,       // any server
  consistent,  // the leader, after asking the others whether it is
};

// Path and query. `index` 0: answered at once, else when there is another one or `wait_ms` are over.
[[nodiscard]] std::string health_target(const ServiceQuery& query,
                                        std::uint64_t index,
                                        std::uint64_t wait_ms,
                                        Consistency consistency);
// Until which an answer must have come: an agent adds up to a sixteenth to the wait.
[[nodiscard]] constexpr std::uint64_t answer_limit_ms(std::uint64_t index,
                                                      std::uint64_t wait_ms,
                                                      std::uint64_t slack_ms) {
  return index == 0 ? slack_ms : wait_ms + wait_ms / 16 + slack_ms;
}

struct AnswerHead {
  std::uint64_t index = 0;            // 1 and more
  std::uint64_t last_contact_ms = 0;  // of the server that answered with the leader
  bool knows_leader = true;
  bool is_filtered = false;  // the token may not read all that was asked for
};
// The error is a literal.
[[nodiscard]] std::expected<AnswerHead, const char*> read_answer_head(
    const http::HeaderBlock& fields);

}  // namespace portunus::discovery
