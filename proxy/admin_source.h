// What the admin API shows and does, as the control thread offers it: plain values, filled on
// request. Implemented by Control, used by Admin; all on the control thread.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "discovery/source.h"
#include "proxy/certificate_view.h"
#include "proxy/concurrency_view.h"
#include "supervisor/service_order.h"
#include "supervisor/service_view.h"

namespace portunus::proxy {

struct MemberView {
  std::string name;  // host:port
  std::string address;
  std::uint32_t weight = 1;
  std::uint32_t configured_weight = 1;  // another one when an operator has set `weight`
  double effective_weight = 0;          // what the balancer works with at this moment
  std::string admin;                    // "enabled", "drained" or "disabled", by an operator
  bool is_backup = false;
  std::string state;
  std::uint64_t since_us = 0;  // wall clock, 0 = unknown
  std::string reason;
  std::string source = "static";  // or "service", "consul"
  std::string discovered;         // what discovery says of it: "passing"; empty = nothing
  std::string discovered_reason;  // why not "passing"
  bool is_selectable = false;
  std::uint32_t in_flight = 0;
  std::uint32_t connections = 0;
  // The last probe.
  std::string probe_kind;         // "http", "tcp", "off"
  std::uint64_t probe_at_us = 0;  // 0 = none yet
  bool probe_ok = false;
  std::uint16_t probe_status = 0;
  double probe_duration_s = 0;
  std::string probe_detail;
  std::uint32_t successes = 0;  // probes in a row
  std::uint32_t failures = 0;
  std::uint64_t probes_good = 0;
  std::uint64_t probes_bad = 0;
  // What its traffic says.
  std::uint32_t failures_in_row = 0;
  std::uint64_t ejections = 0;
  std::string breaker;  // "closed", "open", "half_open"; empty = it has none
  std::uint64_t breaker_trips = 0;
};

struct PoolView {
  std::string name;
  std::string balance;
  std::vector<MemberView> members;
  std::string when_unhealthy = {};
  bool is_panicking = false;  // no member is up, and requests go to some that are down
  std::optional<discovery::ServiceStatus> discovery = std::nullopt;
  std::optional<ConcurrencyView> concurrency = std::nullopt;  // none: no `overload.adaptive`
};

struct ListenerView {
  std::string name;
  std::string address;
};

struct StatusView {
  std::string state;  // "starting", "ready", "draining"
  std::uint64_t started_us = 0;
  std::string config_file;
  std::string config_hash;
  std::uint64_t generation = 0;
  std::uint32_t generations_alive = 0;
  std::uint64_t loaded_us = 0;
  bool runs_on_copy = false;  // of the last configuration that was good, not on the files
  bool last_reload_ok = true;
  std::string last_reload_error;
  std::uint64_t reloads_ok = 0;
  std::uint64_t reloads_failed = 0;
  std::uint32_t threads = 0;
  std::size_t connections = 0;  // of clients
  std::size_t sites = 0;
  std::size_t routes = 0;
  std::vector<ListenerView> listeners;
};

struct ReloadOutcome {
  bool ok = false;
  std::uint64_t generation = 0;
  double duration_s = 0;
  std::string file;         // that was read: tells which of several proxies has answered
  std::string text;         // diagnostics for people; may be empty
  std::string diagnostics;  // a JSON array
  std::string error;        // one line, when not ok
};

struct ExplainQuestion;
struct Explanation;

// Who asked for a reload and waits for its outcome.
class ReloadWaiter {
 public:
  virtual void on_reload_done(const ReloadOutcome& outcome) = 0;

 protected:
  ~ReloadWaiter() = default;
};

// What an operator asks of a member.
enum class MemberCommand : std::uint8_t { drain, enable, disable, weigh };

struct MemberWish {
  std::string pool;
  std::string member;  // host:port
  MemberCommand command = MemberCommand::enable;
  std::uint32_t weight = 0;  // for `weigh`: up to kWeightMax; 0 = the configuration's
};

// Who waits until nothing is in flight at a member.
class DrainWaiter {
 public:
  // False: it takes requests again, or is gone.
  virtual void on_drain_done(bool is_drained) = 0;

 protected:
  ~DrainWaiter() = default;
};

// Who has given an order to a service and waits for the supervisor's answer.
class ServiceOrderWaiter {
 public:
  virtual void on_ordered(const supervisor::OrderAnswer& answer) = 0;

 protected:
  ~ServiceOrderWaiter() = default;
};

class AdminSource {
 public:
  // Empty when ready, else why not.
  [[nodiscard]] virtual std::string_view not_ready_reason() const = 0;
  [[nodiscard]] virtual std::string metrics_text() = 0;
  [[nodiscard]] virtual StatusView status() const = 0;
  [[nodiscard]] virtual std::vector<PoolView> pools() const = 0;
  // What would become of a request; or what is wrong with the question.
  [[nodiscard]] virtual std::expected<Explanation, std::string> explain(
      const ExplainQuestion& question) const = 0;
  [[nodiscard]] virtual std::vector<CertificateView> certificates() const { return {}; }
  // Of our own authority; empty without one.
  [[nodiscard]] virtual std::string authority_file() const { return {}; }
  // None without a supervisor.
  [[nodiscard]] virtual std::vector<supervisor::ServiceView> services() const { return {}; }
  // on_reload_done() follows in a later turn, unless the waiter is withdrawn before.
  virtual void reload(ReloadWaiter& waiter) = 0;
  virtual void withdraw(ReloadWaiter& waiter) = 0;
  // How it is then; or why not: one line.
  [[nodiscard]] virtual std::expected<MemberView, std::string> order(const MemberWish& wish) = 0;
  // on_drain_done() follows in a later turn, unless the waiter is withdrawn before.
  virtual void await_drained(const std::string& pool,
                             const std::string& member,
                             DrainWaiter& waiter) = 0;
  virtual void withdraw(DrainWaiter& waiter) = 0;
  // on_ordered() follows in a later turn, unless the waiter is withdrawn before. False: there is no
  // supervisor.
  [[nodiscard]] virtual bool order_service(const supervisor::ServiceOrder& /*order*/,
                                           ServiceOrderWaiter& /*waiter*/) {
    return false;
  }
  virtual void withdraw_order(ServiceOrderWaiter& /*waiter*/) {}

 protected:
  ~AdminSource() = default;
};

}  // namespace portunus::proxy
