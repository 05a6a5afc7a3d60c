// TLS with members: what a pool's connections are made of (TlsClient), to whom one goes (TlsTarget),
// and the session that the next one takes up again (TlsResumption). A member is verified, chain and
// name, unless its settings say otherwise; who has nothing to verify against trusts nobody. A
// TlsClient is made by the control thread, immutable, and shared by all threads; the rest is of one
// thread.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "net/certificate.h"
#include "net/trust_store.h"

struct ssl_ctx_st;
struct ssl_session_st;
struct ssl_st;

namespace portunus::net {

class Stream;
class TlsResumption;

struct TlsClientSettings {
  std::string server_name;        // for SNI and verification; empty: the host of each member
  bool verifies = true;           // false: whoever answers is believed
  SharedTrust trust;              // null: nobody
  SharedCertificate certificate;  // our own, for members that ask for one; null: none
  bool offers_h1 = true;          // by ALPN; at least one of the two
  bool offers_h2 = false;
};
// Whether connections made by one are as good as those made by the other.
[[nodiscard]] bool is_same(const TlsClientSettings& a, const TlsClientSettings& b);

class TlsClient {
 public:
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  // The error is one line.
  [[nodiscard]] static std::expected<std::shared_ptr<const TlsClient>, std::string> make(
      TlsClientSettings settings);

  [[nodiscard]] const TlsClientSettings& settings() const { return settings_; }
  [[nodiscard]] ssl_ctx_st* context() const { return context_; }
  // The stream, which has not been connected yet, will speak TLS with `host` (as configured: a name,
  // or an IP address). `resumption` may be null, and else outlives the stream. False: out of memory,
  // or no name at all.
  [[nodiscard]] bool start(Stream& stream, std::string_view host, TlsResumption* resumption) const;

 private:
  explicit TlsClient(TlsClientSettings settings);
  TlsClientSettings settings_;
  ssl_ctx_st* context_ = nullptr;
};
// One of all threads and generations; taken when a generation is applied.
using SharedTlsClient = std::shared_ptr<const TlsClient>;

// The last session with one peer. A resumed session is not verified again, hence the bound of its age.
class TlsResumption {
 public:
  static constexpr std::uint64_t kVerifiedForNs = std::uint64_t{600} * 1'000'000'000;

  TlsResumption() = default;
  ~TlsResumption();
  TlsResumption(const TlsResumption&) = delete;
  TlsResumption& operator=(const TlsResumption&) = delete;

  // Forgets what it has, and keeps from now on what this client's connections bring; null: nothing.
  void keep_for(const TlsClient* client);
  [[nodiscard]] bool has_session() const { return session_ != nullptr; }
  // When the connection began that verified who the session is with, on the monotonic clock: not the
  // one that brought the session, if that was resumed itself. 0 = no session.
  [[nodiscard]] std::uint64_t verified_ns() const;

 private:
  friend class TlsClient;
  void offer(ssl_st* connection, std::uint64_t now_ns);
  [[nodiscard]] static bool note_begin(ssl_st* connection, std::uint64_t now_ns);
  static int on_session(ssl_st* connection, ssl_session_st* session);

  ssl_session_st* session_ = nullptr;
  const ssl_ctx_st* context_ = nullptr;
};

// How to reach one member.
struct TlsTarget {
  SharedTlsClient client;  // null: in the clear
  std::string host;        // as configured
  friend bool operator==(const TlsTarget&, const TlsTarget&) = default;
};

// The host of "host:port" or "[address]:port".
[[nodiscard]] std::string_view host_of(std::string_view host_and_port);

}  // namespace portunus::net
