// The families that are states of the moment and not cells of a shard: members, probes,
// configuration, process; and the order of all families in the text.
#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include "base/version.h"
#include "proxy/discovery_view.h"
#include "proxy/metrics_render.h"

namespace portunus::proxy {
namespace {

using Type = MetricsText::Type;
using health::MemberState;

// One sample for each member of each pool.
template <typename Value>
void each_member(const MetricsInputs& inputs, MetricsText& out, Value value) {
  for (const MetricsInputs::Pool& pool : inputs.pools) {
    for (const MetricsInputs::Member& member : pool.members) {
      out.sample_real({{"pool", pool.name}, {"upstream", member.member->name}}, value(member));
    }
  }
}

MemberState state_of(const MetricsInputs::Member& member) {
  return member.member->state.load(std::memory_order_relaxed);
}

void render_states(const MetricsInputs& inputs, MetricsText& out) {
  out.family("portunus_upstream_state", Type::gauge, "1 for the state that the upstream is in.");
  for (const MetricsInputs::Pool& pool : inputs.pools) {
    for (const MetricsInputs::Member& member : pool.members) {
      for (std::size_t i = 0; i < health::kMemberStateCount; ++i) {
        const auto state = static_cast<MemberState>(i);
        out.sample({{"pool", pool.name},
                    {"upstream", member.member->name},
                    {"state", health::name_of(state)}},
                   state_of(member) == state ? 1 : 0);
      }
    }
  }
  out.family("portunus_pool_members", Type::gauge, "Members of the pool in each state.");
  for (const MetricsInputs::Pool& pool : inputs.pools) {
    std::array<std::uint64_t, health::kMemberStateCount> counts{};
    for (const MetricsInputs::Member& member : pool.members) {
      ++counts[static_cast<std::size_t>(state_of(member))];
    }
    for (std::size_t i = 0; i < counts.size(); ++i) {
      out.sample({{"pool", pool.name}, {"state", health::name_of(static_cast<MemberState>(i))}},
                 counts[i]);
    }
  }
}

void render_upstream_connections(const MetricsInputs& inputs, MetricsText& out) {
  out.family("portunus_upstream_connections", Type::gauge,
             "Connections to the upstream: with a request (active) and kept for the next (idle).");
  for (const MetricsInputs::Pool& pool : inputs.pools) {
    for (const MetricsInputs::Member& member : pool.members) {
      const auto connections = member.member->connections.load(std::memory_order_relaxed);
      const auto busy =
          std::min(connections, member.member->in_flight.load(std::memory_order_relaxed));
      const auto sample = [&](std::string_view state, std::uint64_t value) {
        out.sample({{"pool", pool.name}, {"upstream", member.member->name}, {"state", state}},
                   value);
      };
      sample("active", busy);
      sample("idle", connections - busy);
    }
  }
}

// Second figure of /proc/self/statm is the resident set, the first the whole address space, in
// pages.
bool read_memory(std::uint64_t& size, std::uint64_t& resident) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen("/proc/self/statm", "re"),
                                                   &std::fclose);
  if (file == nullptr) return false;
  std::array<char, 128> line{};
  if (std::fgets(line.data(), line.size(), file.get()) == nullptr) return false;
  char* end = nullptr;
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  size = std::strtoull(line.data(), &end, 10) * page;
  resident = std::strtoull(end, nullptr, 10) * page;
  return true;
}

std::uint64_t count_descriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fd"), &::closedir);
  if (folder == nullptr) return 0;
  std::uint64_t count = 0;
  while (const dirent* const entry = ::readdir(folder.get())) {  // NOLINT: a stream of our own
    if (entry->d_name[0] != '.') ++count;
  }
  return count > 0 ? count - 1 : 0;  // without the folder's own
}

void render_concurrency(const MetricsInputs& inputs, MetricsText& out) {
  const auto each = [&](auto write) {
    for (const MetricsInputs::Pool& pool : inputs.pools)
      if (pool.concurrency) write(MetricsText::Labels{{"pool", pool.name}}, *pool.concurrency);
  };
  using Labels = MetricsText::Labels;
  out.family("portunus_pool_concurrency_limit", Type::gauge,
             "Requests that may be at the pool's members at this moment (`overload.adaptive`).");
  each([&](Labels labels, const ConcurrencyView& view) { out.sample(labels, view.limit); });
  out.family("portunus_pool_concurrency_in_flight", Type::gauge,
             "Requests that are there, of pools with `overload.adaptive`.");
  each([&](Labels labels, const ConcurrencyView& view) { out.sample(labels, view.in_flight); });
  out.family("portunus_pool_latency_alone_seconds", Type::gauge,
             "How long answers take to begin with few requests at a time, as far as is known "
             "(`overload.adaptive`).");
  each([&](Labels labels, const ConcurrencyView& view) {
    out.sample_real(labels, static_cast<double>(view.alone_ns) / 1e9);
  });
}

}  // namespace

void render_members(const MetricsInputs& inputs, MetricsText& out) {
  using Member = MetricsInputs::Member;
  out.family("portunus_upstream_requests_in_flight", Type::gauge,
             "Requests sent to the upstream and not yet answered in full.");
  each_member(inputs, out, [](const Member& one) {
    return one.member->in_flight.load(std::memory_order_relaxed);
  });
  render_upstream_connections(inputs, out);
  out.family("portunus_upstream_healthy", Type::gauge,
             "1 when it is up and new requests may go there.");
  each_member(inputs, out, [](const Member& one) { return one.member->is_healthy() ? 1 : 0; });
  render_states(inputs, out);
  out.family("portunus_pool_panic", Type::gauge,
             "1 while no member is up and requests go to some that are down (`when_unhealthy`).");
  for (const MetricsInputs::Pool& pool : inputs.pools)
    out.sample({{"pool", pool.name}}, pool.is_panicking ? 1 : 0);
  out.family("portunus_pool_hash_passed_over_total", Type::counter,
             "Requests that went on to their key's next member, past one with too much in flight "
             "(`hash_bound`).");
  for (const MetricsInputs::Pool& pool : inputs.pools)
    if (pool.passed_over) out.sample({{"pool", pool.name}}, *pool.passed_over);
  render_concurrency(inputs, out);
  out.family("portunus_upstream_effective_weight", Type::gauge,
             "The weight that the balancer works with at this moment.");
  each_member(inputs, out, [](const Member& one) { return one.effective_weight; });
}

void render_probes(const MetricsInputs& inputs, MetricsText& out) {
  const auto each = [&inputs](auto visit) {
    for (const MetricsInputs::Pool& pool : inputs.pools) {
      for (const MetricsInputs::Member& member : pool.members)
        visit(pool, member);
    }
  };
  out.family("portunus_health_checks_total", Type::counter, "Finished probes.");
  each([&out](const auto& pool, const auto& member) {
    const ProbeCounts& probes = member.probes;
    const auto sample = [&](std::string_view result, std::uint64_t count) {
      out.sample({{"pool", pool.name},
                  {"upstream", member.member->name},
                  {"check", probes.check},
                  {"result", result}},
                 count);
    };
    sample("success", probes.passed);
    sample("failure", probes.failed);
  });
  out.family("portunus_health_check_duration_seconds", Type::histogram, "How long probes took.");
  each([&out](const auto& pool, const auto& member) {
    if (member.probes.duration == nullptr) return;
    base::LatencySum sum;
    member.probes.duration->add_to(sum);
    out.histogram(
        {{"pool", pool.name}, {"upstream", member.member->name}, {"check", member.probes.check}},
        sum);
  });
  out.family("portunus_health_transitions_total", Type::counter,
             "Changes of an upstream's state, by the new state and why.");
  each([&out](const auto& pool, const auto& member) {
    for (const ProbeCounts::Transition& transition : member.probes.transitions) {
      out.sample({{"pool", pool.name},
                  {"upstream", member.member->name},
                  {"to", health::name_of(transition.to)},
                  {"reason", transition.reason}},
                 transition.count);
    }
  });
}

void render_breakers(const MetricsInputs& inputs, MetricsText& out) {
  using Phase = health::Suspension::Phase;
  const auto each = [&inputs](auto visit) {
    for (const MetricsInputs::Pool& pool : inputs.pools) {
      for (const MetricsInputs::Member& member : pool.members) {
        if (member.traffic == nullptr || !member.traffic->has_breaker) continue;
        visit(pool.name, member.member->name, *member.traffic);
      }
    }
  };
  out.family("portunus_circuit_breaker_state", Type::gauge,
             "1 for the state that the circuit breaker of the upstream is in.");
  each([&out](const auto& pool, const auto& upstream, const auto& traffic) {
    for (const Phase phase : {Phase::in, Phase::out, Phase::trial}) {
      out.sample({{"pool", pool},
                  {"upstream", upstream},
                  {"breaker", "member"},
                  {"state", health::breaker_word(phase)}},
                 traffic.breaker == phase ? 1 : 0);
    }
  });
  out.family("portunus_circuit_breaker_trips_total", Type::counter,
             "Openings of the upstream's circuit breaker, by why.");
  each([&out](const auto& pool, const auto& upstream, const auto& traffic) {
    for (std::size_t i = 1; i < traffic.trips.size(); ++i) {
      out.sample({{"pool", pool},
                  {"upstream", upstream},
                  {"breaker", "member"},
                  {"reason", health::name_of(static_cast<health::BreakerTrip>(i))}},
                 traffic.trips[i]);
    }
  });
}

void render_config(const MetricsInputs& inputs, MetricsText& out) {
  out.family("portunus_config_reloads_total", Type::counter, "Attempts to load the configuration.");
  out.sample({{"result", "success"}}, inputs.reloads_succeeded);
  out.sample({{"result", "failure"}}, inputs.reloads_failed);
  out.family("portunus_config_last_reload_successful", Type::gauge,
             "1 when the last attempt to load the configuration succeeded.");
  out.sample({}, inputs.is_last_reload_successful ? 1 : 0);
  out.family("portunus_config_last_reload_success_timestamp_seconds", Type::gauge,
             "When the configuration in use was loaded.");
  out.sample_real({}, inputs.last_reload_success_s);
  out.family("portunus_config_generation", Type::gauge, "Number of the generation in use.");
  out.sample({}, inputs.generation);
  out.family("portunus_config_generations_alive", Type::gauge,
             "Generations in memory: the one in use and older ones that requests still hold.");
  out.sample({}, inputs.generations_alive);
  out.family("portunus_config_info", Type::gauge, "The configuration in use.");
  out.sample({{"hash", inputs.config_hash}}, 1);
  out.family("portunus_access_log_dropped_total", Type::counter,
             "Lines of the access log that were lost because its output was slow or full.");
  out.sample({}, inputs.access_log_dropped);
  out.family("portunus_log_dropped_total", Type::counter,
             "Lines of the log that were lost because its output was slow or full.");
  out.sample({}, inputs.log_dropped);
}

void render_process(double started_s, MetricsText& out) {
  out.family("portunus_build_info", Type::gauge, "The program.");
  out.sample({{"version", base::kVersion}, {"revision", base::kRevision}}, 1);
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  out.family("process_cpu_seconds_total", Type::counter, "CPU time used, user and system.");
  out.sample_real({}, seconds(usage.ru_utime) + seconds(usage.ru_stime));
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  if (read_memory(size, resident)) {
    out.family("process_resident_memory_bytes", Type::gauge, "Resident memory.");
    out.sample({}, resident);
    out.family("process_virtual_memory_bytes", Type::gauge, "Address space.");
    out.sample({}, size);
  }
  out.family("process_open_fds", Type::gauge, "Open descriptors.");
  out.sample({}, count_descriptors());
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  out.family("process_max_fds", Type::gauge, "Most descriptors that may be open.");
  out.sample({}, limit.rlim_cur);
  out.family("process_start_time_seconds", Type::gauge, "When the process started, Unix time.");
  out.sample_real({}, started_s);
}

std::string Metrics::render(const MetricsInputs& inputs) const {
  const MetricsSource source{registry_, shards_};
  MetricsText out;
  render_listeners(source, out);
  render_handshakes(source, out);
  render_site_handshakes(source, out);
  render_h2(source, out);
  render_requests(source, out);
  render_pools(source, out);
  render_attempts(source, out);
  render_members(inputs, out);
  render_probes(inputs, out);
  render_breakers(inputs, out);
  render_rate_limits(inputs, out);
  render_overload(inputs, out);
  render_compression(source, out);
  render_services(inputs, out);
  render_discovery(inputs.discovery, out);
  render_config(inputs, out);
  render_certificates(inputs.certificates, inputs.ocsp_fetches, out);
  render_revocations(inputs.revocations, out);
  render_process(started_s_, out);
  return out.take();
}

}  // namespace portunus::proxy
