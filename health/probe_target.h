// What the prober knows of one member. Internal to it; control thread.
#pragma once

#include <cstdint>
#include <memory>

#include "base/intrusive_list.h"
#include "health/check_http.h"
#include "health/check_tcp.h"
#include "health/prober.h"
#include "net/loop.h"

namespace portunus::health {

// One member and its schedule.
struct Prober::Target final : base::ListHook<Target>, CheckHandler {
  // idle: the timer runs to the next probe. quick, slow: a check runs.
  enum class Phase : std::uint8_t { idle, queued, quick, slow };

  Target(Prober& its_prober, const ProbeTarget& wanted)
      : prober(&its_prober),
        member(wanted.member),
        settings(wanted.settings),
        http(its_prober.fetcher_),
        timer(this, [](void* self) {
          auto& target = *static_cast<Target*>(self);
          target.prober->on_timer(target);
        }) {
    status.kind = settings.kind;
  }

  void on_check_done(const CheckResult& result) override {
    tcp = nullptr;
    prober->on_check_done(*this, result);
  }
  [[nodiscard]] net::Address address() const {
    net::Address probed = member->address;
    if (settings.port != 0) probed.set_port(settings.port);
    return probed;
  }

  Prober* prober;
  std::shared_ptr<Member> member;
  ProbeSettings settings;
  StateMachine machine;
  ProbeStatus status;
  HttpCheck http;
  TcpCheck* tcp = nullptr;  // while it runs
  net::Deadline timer;
  std::uint64_t due_ms = 0;    // of the timer, while idle
  std::uint64_t began_ns = 0;  // of the check
  std::uint64_t ended_ms = 0;  // of the last check; 0 = none yet
  std::uint32_t repeats = 0;   // probes without a verdict in a row
  Phase phase = Phase::idle;
  bool is_paused = false;
  bool has_result = false;
};

}  // namespace portunus::health
