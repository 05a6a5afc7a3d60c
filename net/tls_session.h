// One TLS connection (RFC 8446, RFC 5246) as a filter between plain and sealed bytes, without a
// socket: its stream feeds what the socket brought, and finds what is to be sent in its own queue.
// OpenSSL reads that slice and writes that queue through a BIO of ours: no copy in between. Owned by
// its net::Stream. One thread. Sizes in bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/chunk.h"
#include "net/tls_bio.h"

struct ssl_st;
struct ssl_ctx_st;

namespace portunus::net {

struct ClientIdentity;
struct ClientRule;

class TlsSession {
 public:
  enum class Role : std::uint8_t { server, client };
  enum class Step : std::uint8_t {
    more,    // everything that was fed has been taken
    done,    // hands are shaken
    ended,   // the peer has said that no more will come (close_notify)
    failed,  // failure() says why; an alert may have gone into the queue
  };
  // What was not decrypted yet can be that much more than what was fed last: one record.
  static constexpr std::size_t kRecordMax = std::size_t{17} * 1024;

  // `sealed` takes what is to be sent; it outlives the session. Null when memory is out.
  [[nodiscard]] static std::unique_ptr<TlsSession> make(ssl_ctx_st* context,
                                                        Role role,
                                                        base::ChunkPool& chunks,
                                                        base::ChunkQueue& sealed);
  // Of make(): takes over the SSL, which has no BIO yet.
  TlsSession(ssl_st* ssl, Role role, base::ChunkPool& chunks, base::ChunkQueue& sealed);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // From the peer. The bytes live until shake_hands() or open() has taken them.
  void feed(std::span<const char> bytes) { wire_.in = bytes; }
  [[nodiscard]] Step shake_hands();
  // Decrypts all that was fed into `plain`, which has room for it and one record more; `size` says
  // how much came, also when it ended or failed behind that.
  [[nodiscard]] Step open(std::span<char> plain, std::size_t& size);
  // Bytes that wait to be sealed: behind the handshake, or for a socket that is full.
  [[nodiscard]] base::ChunkQueue& plain() { return plain_; }
  [[nodiscard]] std::size_t unsealed() const { return plain_.size(); }
  // False when it cannot: the connection is broken.
  [[nodiscard]] bool seal(std::span<const char> bytes);
  // Says that no more will come (close_notify), once: false when it has been said, or cannot be.
  [[nodiscard]] bool seal_end();

  [[nodiscard]] bool is_open() const { return is_open_; }
  [[nodiscard]] bool is_broken() const { return is_broken_; }
  [[nodiscard]] Role role() const { return role_; }
  [[nodiscard]] const char* failure() const { return failure_; }  // a literal
  // For settings of one connection before hands are shaken.
  [[nodiscard]] ssl_st* ssl() const { return ssl_; }
  // What it was made of; lives as long as the session.
  [[nodiscard]] const ssl_ctx_st* context() const;

  // What was agreed; only while is_open(). Texts live as long as the session.
  [[nodiscard]] std::string_view version() const;      // "TLSv1.3"
  [[nodiscard]] std::string_view cipher() const;       // "TLS_AES_128_GCM_SHA256"
  [[nodiscard]] std::string_view server_name() const;  // SNI; may be empty
  [[nodiscard]] std::string_view protocol() const;     // ALPN; may be empty
  [[nodiscard]] bool is_resumed() const;
  // Of a server: what the client was asked for (null: for no certificate), and who it is by the
  // certificate that it has shown (null: it has shown none). The rule is null, too, once a newer list of
  // revoked certificates has the client's: it is as if it had shown nothing.
  [[nodiscard]] const ClientRule* client_rule() const;
  [[nodiscard]] const ClientIdentity* client_identity() const { return client_.get(); }
  // Of a server: whether a request for this host may come over it (CertStore::agree).
  [[nodiscard]] bool may_serve(std::string_view host) const;

 private:
  [[nodiscard]] Step explain(int result);
  [[nodiscard]] bool is_client_revoked(const ClientRule& rule) const;

  ssl_st* ssl_;
  TlsWire wire_;
  base::ChunkQueue plain_;
  std::unique_ptr<const ClientIdentity> client_;
  const char* failure_ = "";
  mutable std::uint64_t judged_by_ = 0;  // RevocationList::number()
  Role role_;
  bool is_open_ = false;
  bool is_broken_ = false;
  bool has_said_end_ = false;
  mutable bool is_client_revoked_ = false;  // by that list
};

}  // namespace portunus::net
