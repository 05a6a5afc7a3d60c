// What the admin API shows and does, as the control thread offers it: plain values, filled on
// request. Implemented by Control, used by Admin; all on the control thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace portunus::proxy {

struct MemberView {
  std::string name;  // host:port
  std::string address;
  std::uint32_t weight = 1;
  bool is_backup = false;
  std::string state;
  std::uint64_t since_us = 0;  // wall clock, 0 = unknown
  std::string reason;
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
};

struct PoolView {
  std::string name;
  std::string balance;
  std::vector<MemberView> members;
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

// Who asked for a reload and waits for its outcome.
class ReloadWaiter {
 public:
  virtual void on_reload_done(const ReloadOutcome& outcome) = 0;

 protected:
  ~ReloadWaiter() = default;
};

class AdminSource {
 public:
  // Empty when ready, else why not.
  [[nodiscard]] virtual std::string_view not_ready_reason() const = 0;
  [[nodiscard]] virtual std::string metrics_text() = 0;
  [[nodiscard]] virtual StatusView status() const = 0;
  [[nodiscard]] virtual std::vector<PoolView> pools() const = 0;
  // on_reload_done() follows in a later turn, unless the waiter is withdrawn before.
  virtual void reload(ReloadWaiter& waiter) = 0;
  virtual void withdraw(ReloadWaiter& waiter) = 0;

 protected:
  ~AdminSource() = default;
};

}  // namespace portunus::proxy
