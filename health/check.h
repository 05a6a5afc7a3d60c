// What a check of one member needs to know, and its outcome, whatever its kind. Control thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "conf/model.h"
#include "net/tls_client.h"

namespace portunus::health {

// How one member is probed: as its pool says, and over TLS when its requests are.
struct ProbeSettings : conf::Health {
  ProbeSettings() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): most members are reached in the clear
  ProbeSettings(conf::Health health, net::TlsTarget target = {})
      : conf::Health(std::move(health)), tls(std::move(target)) {}
  net::TlsTarget tls;
  friend bool operator==(const ProbeSettings&, const ProbeSettings&) = default;
};

// The label of metrics and of the API, e.g. "http".
[[nodiscard]] std::string_view name_of(conf::ProbeKind kind);

enum class Verdict : std::uint8_t {
  good,
  bad,
  // Our own fault (no descriptor, no local port) or a loop that stood still: says nothing about the
  // member.
  unjudged,
};

struct CheckResult {
  Verdict verdict = Verdict::bad;
  bool is_late = false;      // unjudged because the loop stood still
  std::uint16_t status = 0;  // of an HTTP answer; 0 = none came
  std::string detail;        // for people: "status 503", "connection refused"
};

class CheckHandler {
 public:
  virtual void on_check_done(const CheckResult& result) = 0;

 protected:
  ~CheckHandler() = default;
};

}  // namespace portunus::health
