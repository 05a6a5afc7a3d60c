// Makes the SSL_CTX of a listener out of values: versions, ciphers and groups as Mozilla's
// "intermediate", the protocols that it speaks, its certificates, its session tickets. Immutable and
// shared by all threads. What the callbacks of a connection need lives as long as the SSL_CTX, which
// each connection holds on to: a generation may go before its connections do.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "net/cert_store.h"
#include "net/client_rules.h"
#include "net/ticket_keys.h"

struct ssl_ctx_st;
struct ssl_st;

namespace portunus::net {

enum class TlsVersion : std::uint8_t { v1_2, v1_3 };

struct TlsServerSettings {
  TlsVersion min_version = TlsVersion::v1_2;
  bool offers_h1 = true;
  bool offers_h2 = true;
  bool is_strict = false;                      // no or an unknown server name is refused
  SharedCertStore certificates;                // never null
  std::shared_ptr<const ClientRules> clients;  // null: no client is asked for a certificate
  std::shared_ptr<const TicketKeys> tickets;   // null: no sessions are resumed
  std::uint32_t ticket_lifetime_s = 12 * 3600;
};

class TlsContext {
 public:
  TlsContext() = default;
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  TlsContext(TlsContext&& other) noexcept;
  TlsContext& operator=(TlsContext&& other) noexcept;

  [[nodiscard]] static std::expected<TlsContext, std::string> make_server(
      TlsServerSettings settings);

  [[nodiscard]] bool is_set() const { return context_ != nullptr; }
  [[nodiscard]] ssl_ctx_st* get() const { return context_; }
  // Of a server's; null when nothing is set.
  [[nodiscard]] const CertStore* certificates() const;

 private:
  explicit TlsContext(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* context_ = nullptr;
};

// The certificates that the context of this connection, a server's, chooses from.
[[nodiscard]] const CertStore& certificates_of(const ssl_st* connection);

}  // namespace portunus::net
