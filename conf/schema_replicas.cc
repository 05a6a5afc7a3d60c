// What happens to the processes of a service: restart, stop, limits, log.
#include <algorithm>
#include <array>
#include <csignal>
#include <string>
#include <string_view>

#include "conf/model.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/service_reader.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t kRestartsMax = 1'000'000;

std::string in_message(const Key& key, std::string_view text) {
  return '`' + std::string(key.name) + "`: `" + std::string(text) + "`: ";
}

// ---- restart and stop ----

constexpr std::array kPolicies{"always"sv, "on-failure"sv, "never"sv};

void read_backoff(Reader& reader, const Key& key, const Node& value, void* object) {
  constexpr std::string_view kDots = "..";
  Restart& restart = *static_cast<Restart*>(object);
  const auto text = reader.text(key, value);
  if (!text) return;
  const std::size_t dots = text->find(kDots);
  const auto least = parse_duration(text->substr(0, dots));
  const auto most =
      dots == std::string_view::npos ? least : parse_duration(text->substr(dots + kDots.size()));
  if (!least || !most) {
    reader.error(value.place, "`backoff`: " + (least ? most.error() : least.error()),
                 "a range such as 1s..60s, or one duration");
  } else if (*least < Milliseconds(10) || *most > Milliseconds(kDay)) {
    reader.error(value.place, in_message(key, *text) + "out of range", "from 10ms to 1d");
  } else if (*least > *most) {
    reader.error(value.place, in_message(key, *text) + "the shorter duration stands first");
  } else {
    restart.backoff_min = *least;
    restart.backoff_max = *most;
  }
}

void read_max_in_window(Reader& reader, const Key& key, const Node& value, void* object) {
  constexpr std::string_view kIn = " in ";
  Restart& restart = *static_cast<Restart*>(object);
  const auto text = reader.text(key, value);
  if (!text) return;
  const std::size_t in = text->find(kIn);
  const auto count = parse_integer(text->substr(0, in));
  if (in == std::string_view::npos || !count) {
    reader.error(value.place,
                 in_message(key, *text) + "expected a number and a duration, such as 10 in 10m");
    return;
  }
  const auto window = parse_duration(text->substr(in + kIn.size()));
  if (!window) {
    reader.error(value.place, "`max_in_window`: " + window.error(), "such as 10 in 10m");
  } else if (*count == 0 || *count > kRestartsMax || *window < Milliseconds(kSecond) ||
             *window > Milliseconds(7 * kDay)) {
    reader.error(value.place, in_message(key, *text) + "out of range",
                 "from 1 to " + std::to_string(kRestartsMax) + ", in 1s to 7d");
  } else {
    restart.max_in_window = static_cast<std::uint32_t>(*count);
    restart.window = *window;
  }
}

constexpr auto kRestartKeys = std::to_array<Key>({
    {.name = "policy",
     .type = Type::choice,
     .read = field<&Restart::policy>,
     .initial = "always",
     .doc = "After which ends a replica is started again; `on-failure`: after a status other than "
            "0, a signal or failed probes.",
     .choices = kPolicies},
    {.name = "backoff",
     .type = Type::text,
     .read = read_backoff,
     .initial = "1s..60s",
     .doc = "The pause before a restart: it doubles with each failure in a row. One duration is "
            "always the same pause."},
    {.name = "max_in_window",
     .type = Type::text,
     .read = read_max_in_window,
     .initial = "10 in 10m",
     .doc = "Restarts of all replicas together within a time; those beyond it wait."},
});
constexpr Section kRestart{"`restart`", kRestartKeys, {}};

void read_signal(Reader& reader, const Key& key, const Node& value, void* object) {
  static constexpr std::array kWords{"term"sv, "int"sv,  "hup"sv, "quit"sv,
                                     "usr1"sv, "usr2"sv, "kill"sv};
  static constexpr std::array kNumbers{SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGKILL};
  const auto text = reader.text(key, value);
  if (!text) return;
  const std::string lower = lower_case(*text);
  const std::string_view word = std::string_view(lower).substr(lower.starts_with("sig") ? 3 : 0);
  const auto found = std::ranges::find(kWords, word);
  if (found == kWords.end()) {
    reader.error(
        value.place,
        in_message(key, *text) + "expected `TERM`, `INT`, `HUP`, `QUIT`, `USR1`, `USR2` or `KILL`");
    return;
  }
  static_cast<Stop*>(object)->signal = kNumbers[static_cast<std::size_t>(found - kWords.begin())];
}

constexpr auto kStopKeys = std::to_array<Key>({
    {.name = "signal",
     .type = Type::text,
     .read = read_signal,
     .initial = "TERM",
     .doc = "What asks all processes of a replica to end: `TERM`, `INT`, `HUP`, `QUIT`, `USR1`, "
            "`USR2` or `KILL`."},
    {.name = "grace",
     .type = Type::duration,
     .read = field<&Stop::grace>,
     .initial = "30s",
     .doc = "Who has not ended by then is killed.",
     .max = kDay},
});
constexpr Section kStop{"`stop`", kStopKeys, {}};

// ---- limits and log ----

void read_cpu(Reader& reader, const Key& key, const Node& value, void* object) {
  const auto text = reader.text(key, value);
  if (!text) return;
  if (const auto percent = parse_whole_percent(*text, kCpuPercentMax)) {
    static_cast<ServiceLimits*>(object)->cpu_percent = *percent;
  } else {
    reader.error(value.place, "`cpu`: " + percent.error());
  }
}

constexpr auto kServiceLimitsKeys = std::to_array<Key>({
    {.name = "memory",
     .type = Type::size,
     .read = field<&ServiceLimits::memory_bytes>,
     .initial = "0",
     .doc = "Memory of each replica; 0 = no limit. Where no cgroup (v2) can be had: address space "
            "of each of its processes."},
    {.name = "cpu",
     .type = Type::percent,
     .read = read_cpu,
     .initial = "0%",
     .doc = "Of one CPU, for each replica: `150%` is one and a half; 0 = no limit. Where no cgroup "
            "(v2) can be had: rounded up to whole CPUs, to which the replica is kept.",
     .max = kCpuPercentMax},
});
constexpr Section kServiceLimits{"`limits`", kServiceLimitsKeys, {}};

constexpr auto kServiceLogKeys = std::to_array<Key>({
    {.name = "max_size",
     .type = Type::size,
     .read = field<&ServiceLog::max_bytes>,
     .initial = "10MiB",
     .doc = "A larger file is set aside and a new one begun.",
     .min = 1024},
    {.name = "keep",
     .type = Type::integer,
     .read = field<&ServiceLog::keep>,
     .initial = "3",
     .doc = "Files set aside, for each replica; older ones are removed.",
     .max = 1000},
});
constexpr Section kServiceLog{"`log`", kServiceLogKeys, {}};

}  // namespace

const Section& restart_section() {
  return kRestart;
}

const Section& stop_section() {
  return kStop;
}

const Section& service_limits_section() {
  return kServiceLimits;
}

const Section& service_log_section() {
  return kServiceLog;
}

void read_restart(Reader& reader, const Key& key, const Node& value, void* object) {
  if (value.kind == NodeKind::scalar) {
    reader.read(kRestartKeys.front(), value, static_cast<Restart*>(object)->policy);
  } else {
    reader.read_section(*key.section, value, object);
  }
}

}  // namespace portunus::conf
