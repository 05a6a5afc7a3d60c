// The counters of the program. One MetricsShard per data-plane thread, written by that thread alone
// with relaxed stores, no lock and, once a series exists, no allocation; Metrics, on the control
// thread, sums the shards and renders the text of /metrics (names and labels: NAMES.md). The number
// of series is bounded by the configuration and closed lists, never by what clients send. Times are
// nanoseconds.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/counter.h"
#include "base/error.h"
#include "discovery/source.h"
#include "health/member.h"
#include "health/traffic_judge.h"
#include "http/content_coding.h"
#include "http/h2_limits.h"
#include "proxy/auth_result.h"
#include "proxy/certificate_view.h"
#include "proxy/concurrency_view.h"
#include "proxy/exchange_record.h"
#include "proxy/generation_rate_limits.h"
#include "proxy/metrics_registry.h"
#include "proxy/pressure.h"
#include "proxy/revocation_view.h"
#include "supervisor/service_view.h"

namespace portunus::proxy {

struct MetricsStore;  // metrics_store.h
struct MetricsStoreDeleter {
  void operator()(MetricsStore* store) const;
};
using RetiredMetrics = std::unique_ptr<MetricsStore, MetricsStoreDeleter>;

enum class ConnectionRejection : std::uint8_t {
  limit,  // left waiting, as with the next one
  descriptors,
  shutdown,
  proxy_header,          // missing or malformed
  proxy_header_timeout,  // not there in time
  client_limit,          // closed: its client has as many as it may
  overload,              // left waiting, as with the first one
};
inline constexpr std::size_t kRejectionCount = 7;
// Of what ServerConnection says.
[[nodiscard]] ConnectionRejection rejection_of(std::string_view why);
// Of TLS with clients, also the ways in which they fail.
enum class Handshake : std::uint8_t {
  ok,
  closed,  // the client left
  timeout,
  version,             // none in common
  cipher,              // none in common
  server_name,         // nobody's
  plain_http,          // no TLS at all
  certificate,         // it does not like ours
  client_certificate,  // its own is missing or not good
  client_revoked,      // its authority has taken it back
  client_crl,          // or nobody can tell: no list is of its issuer, or the list has ended
  other,
};
inline constexpr std::size_t kHandshakeCount = 12;
[[nodiscard]] Handshake handshake_of(std::string_view failure);  // TlsSession::failure()

// Of TLS with a client.
struct HandshakeRecord {
  std::uint32_t site_id = 0;  // 0: of nobody
  Handshake result = Handshake::ok;
  std::string_view version;  // as TlsSession::version(); empty when it was not agreed
  bool is_resumed = false;
  std::uint64_t duration_ns = 0;
};

enum class UpgradeKind : std::uint8_t { websocket, other };
enum class RetryResult : std::uint8_t { success, failure };
// Why a request was not tried again after a failure that is.
enum class RetryDenial : std::uint8_t { budget, method, body, started, time, attempts };
inline constexpr std::size_t kRetryDenialCount = 6;

// One try at a member, whatever came of it.
struct AttemptRecord {
  const health::Member* member = nullptr;
  std::uint32_t pool_id = 0;
  std::uint16_t status = 0;    // 0: no answer
  std::uint64_t queue_ns = 0;  // 0 = did not happen, here and below: then it is not observed
  std::uint64_t connect_ns = 0;
  std::uint64_t tls_ns = 0;
  std::uint64_t first_byte_ns = 0;  // head sent -> response head
  std::uint64_t body_ns = 0;        // response head -> end of the response
  std::uint64_t total_ns = 0;       // head sent -> end of the response, or failure
};

// Ids are those of MetricsRegistry. All methods on the thread that the shard belongs to.
class MetricsShard {
 public:
  MetricsShard();
  ~MetricsShard();
  MetricsShard(const MetricsShard&) = delete;
  MetricsShard& operator=(const MetricsShard&) = delete;

  void connection_opened(std::uint32_t listener_id);
  void connection_closed(std::uint32_t listener_id);
  // A listener has another name: its open connections count there.
  void connections_renamed(std::uint32_t from, std::uint32_t to, std::size_t count);
  void connection_rejected(std::uint32_t listener_id, ConnectionRejection reason);

  void handshake_ended(std::uint32_t listener_id, const HandshakeRecord& handshake);
  void h2_counted(std::uint32_t listener_id, const http::H2Counts& counts);
  void exchange_started(std::uint32_t listener_id);
  void exchange_ended(std::uint32_t listener_id);
  // A finished exchange; does not include exchange_ended().
  void record(const ExchangeRecord& record);
  // Tunnels that are open.
  void upgraded_started(std::uint32_t pool_id, UpgradeKind kind);
  void upgraded_ended(std::uint32_t pool_id, UpgradeKind kind);

  // Attempts that wait for a connection of the pool.
  void queue_entered(std::uint32_t pool_id);
  void queue_left(std::uint32_t pool_id);
  void attempt_done(const AttemptRecord& attempt);
  // A failed try, with why.
  void upstream_error(const health::Member& member, base::EndReason reason);
  // A further try was made because of `reason`; how that one ended.
  void retry(std::uint32_t pool_id, base::EndReason reason, RetryResult result);
  void retry_denied(std::uint32_t pool_id, RetryDenial reason);
  // A request of a sticky pool has ended; not `none`.
  void sticky(std::uint32_t pool_id, StickyResult result);

  // A service of that pool was asked whether a request may go on.
  void forward_auth(std::uint32_t pool_id, AuthResult result);

  // An answer that was compressed, and how many bytes it had before and then.
  void compressed(http::ContentCoding coding, std::uint64_t bytes_in, std::uint64_t bytes_out);
  // One that was not, because too many are at a time.
  void compression_busy(http::ContentCoding coding);

  // Copies the series of names that the registry still knows to fresh memory and returns the old
  // one. The control thread, the only reader, destroys what is returned: so it cannot be reading
  // it.
  [[nodiscard]] RetiredMetrics compact(const MetricsRegistry::Live& live);

  // The control thread.
  [[nodiscard]] const MetricsStore& store() const {
    return *store_.load(std::memory_order_acquire);
  }

 private:
  [[nodiscard]] MetricsStore& mine() { return *store_.load(std::memory_order_relaxed); }

  std::atomic<MetricsStore*> store_;
};

// What the control thread knows about members' probes, per member. Written by the prober.
struct ProbeCounts {
  std::string_view check = "tcp";  // "http", "tcp", "grpc"
  std::uint64_t passed = 0;
  std::uint64_t failed = 0;
  const base::LatencyHistogram* duration = nullptr;
  struct Transition {
    health::MemberState to = health::MemberState::up;
    std::string reason;  // of a closed list: "probe", "connect", "admin"
    std::uint64_t count = 0;
  };
  std::vector<Transition> transitions;
};

// Of all threads: the worst levels, and sums.
struct OverloadView {
  std::uint64_t memory = 0;  // bytes
  std::array<PressureLevel, kShortageCount> levels{};
  std::array<std::array<std::uint64_t, kPressureMost>, kShortageCount> shed{};
};

// The state of the rest of the program at the moment of a scrape.
struct MetricsInputs {
  struct Member {
    // allow(shared_ptr): of a scrape, on the control thread
    std::shared_ptr<const health::Member> member;
    double effective_weight = 1;
    ProbeCounts probes;
    const health::TrafficStatus* traffic = nullptr;  // null: not judged by it
  };
  struct Pool {
    std::string name;
    bool is_panicking = false;
    std::optional<std::uint64_t> passed_over = std::nullopt;    // none: no `hash_bound`
    std::optional<ConcurrencyView> concurrency = std::nullopt;  // none: no `overload.adaptive`
    std::vector<Member> members;
  };
  std::vector<Pool> pools;
  std::vector<supervisor::ServiceView> services;
  std::vector<discovery::ServiceStatus> discovery;
  std::vector<CertificateView> certificates;
  OcspCounts ocsp_fetches;
  std::vector<RevocationView> revocations;
  std::vector<RateLimitView> rate_limits;
  OverloadView overload;
  std::uint64_t uncounted_connections = 0;  // ClientCounts
  std::uint64_t uncounted_requests = 0;

  std::uint64_t reloads_succeeded = 0;
  std::uint64_t reloads_failed = 0;
  bool is_last_reload_successful = true;
  double last_reload_success_s = 0;  // Unix time
  std::uint64_t generation = 0;
  std::uint64_t generations_alive = 0;
  std::string config_hash;

  std::uint64_t access_log_dropped = 0;
  std::uint64_t log_dropped = 0;
};

// Control thread.
class Metrics {
 public:
  Metrics();
  ~Metrics();

  [[nodiscard]] MetricsRegistry& registry() { return registry_; }
  // For one data-plane thread; lives as long as this. Before that thread starts.
  MetricsShard& add_shard();
  [[nodiscard]] const std::vector<std::unique_ptr<MetricsShard>>& shards() const { return shards_; }

  [[nodiscard]] std::string render(const MetricsInputs& inputs) const;

 private:
  MetricsRegistry registry_;
  std::vector<std::unique_ptr<MetricsShard>> shards_;
  double started_s_;  // Unix time
};

}  // namespace portunus::proxy
