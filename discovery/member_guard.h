// Whether an answer of Consul's is believed. Errors never come here: they change nothing. Pure, and
// of one thread; times are the caller's monotonic milliseconds.
//
// Counted are the instances that are usable or drain on purpose, against the most that there were
// within kPeakForMs: a fault that takes one at a time is one fault. What is lost stays in the list,
// marked (Instance::is_kept), for our own probes to judge; what is new, or drains, counts at once.
//
//   state   answer                                            becomes  list
//   fresh   no loss, or not more than loss_percent, or fewer  fresh    the answer
//           than loss_min, or all of the loss drains
//   fresh   more                                              kept     the answer and what is lost
//   fresh   none left, of some                                kept     the same
//   fresh   any loss soon after the index went back           kept     the same
//   kept    nothing is lost any more                          fresh    the answer
//   kept    some loss, however small                          kept     the answer and what is lost
//   kept    some loss, in the confirmation                    fresh    the answer
//
// A confirmation is a second read, asked for at least Judgement::confirm_in_ms after the loss was
// first seen, which a quorum of the servers stands behind (`consistent`). It comes after
// confirm_after_ms; after confirm_empty_ms when nothing is left or Consul may have lost its state,
// so that services have time to register again; and alive_factor times as late as long as one of
// the lost is alive, because then Consul and the members contradict each other. So an order to
// deregister all gets through, only not at once: maintenance mode does at once.
#pragma once

#include <cstdint>
#include <string>

#include "discovery/consul_settings.h"
#include "discovery/instance.h"

namespace portunus::discovery {

// Why a loss is not believed yet.
enum class Doubt : std::uint8_t { none, empty, loss };

class AliveCheck {
 public:
  // By our own probes.
  [[nodiscard]] virtual bool is_alive(const Instance& instance) = 0;

 protected:
  ~AliveCheck() = default;
};

struct AnswerFacts {
  bool has_index_gone_back = false;  // since the answer before
  // Of a read by quorum: when it was asked for. 0 = of another read.
  std::uint64_t confirms_at_ms = 0;
};

class MemberGuard {
 public:
  static constexpr std::uint64_t kPeakForMs = 30'000;

  struct Judgement {
    bool is_changed = false;  // list() is another one than before
    Doubt doubt = Doubt::none;
    std::size_t kept = 0;             // instances that are lost and kept
    std::uint64_t confirm_in_ms = 0;  // of a doubt: when to ask again
  };

  explicit MemberGuard(const GuardRule& rule) : rule_(rule) {}

  Judgement judge(Instances answer,
                  const AnswerFacts& facts,
                  std::uint64_t now_ms,
                  AliveCheck& alive);
  // What was believed before this process.
  void restore(Instances instances, std::uint64_t now_ms);

  // Never null.
  [[nodiscard]] const InstanceList& list() const { return list_; }
  // What of it is in doubt, since when; 0 = nothing.
  [[nodiscard]] std::uint64_t doubted_since_ms() const { return since_ms_; }

 private:
  void note_peak(std::size_t count, std::uint64_t now_ms);
  [[nodiscard]] Doubt doubt_of(std::size_t lost, std::size_t count) const;
  [[nodiscard]] bool publish(Instances instances);

  GuardRule rule_;
  InstanceList list_ = std::make_shared<const Instances>();
  Doubt doubt_ = Doubt::none;
  std::uint64_t since_ms_ = 0;
  std::uint64_t unsure_until_ms_ = 0;  // Consul may have lost its state
  std::size_t peak_ = 0;
  std::uint64_t peak_at_ms_ = 0;
};

}  // namespace portunus::discovery
