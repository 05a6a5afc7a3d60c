#include "net/tls_session.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <ctime>
#include <limits>

#include "base/check.h"
#include "net/client_identity.h"
#include "net/client_rules.h"
#include "net/tls_context.h"

namespace portunus::net {
namespace {

// OpenSSL keeps its errors in a queue of the thread: what another connection left there must not be
// taken for ours. Mostly there is nothing, and emptying the queue all the same takes 600 instructions.
void forget_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

// Of a certificate that is not believed. The common ones in words that fit a log line.
const char* verdict_text(long verdict) {
  switch (verdict) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
      return "the certificate is for another name";
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "the certificate is for another address";
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "the certificate has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "the certificate is not valid yet";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return "the certificate is of an unknown authority";
    default:
      return X509_verify_cert_error_string(verdict);
  }
}

// Of a client's certificate; null: OpenSSL's words will do.
const char* client_verdict_text(long verdict) {
  switch (verdict) {
    case X509_V_ERR_CERT_REVOKED:
      return "the client's certificate is revoked";
    case X509_V_ERR_UNABLE_TO_GET_CRL:
      return "no list of revoked certificates (CRL) is of the issuer of the client's certificate";
    case X509_V_ERR_CRL_HAS_EXPIRED:
      return "the list of revoked certificates (CRL) for the client's certificate has expired";
    default:
      return nullptr;
  }
}

}  // namespace

std::unique_ptr<TlsSession> TlsSession::make(ssl_ctx_st* context,
                                             Role role,
                                             base::ChunkPool& chunks,
                                             base::ChunkQueue& sealed) {
  SSL* ssl = SSL_new(context);
  if (ssl == nullptr) return nullptr;
  auto session = std::make_unique<TlsSession>(ssl, role, chunks, sealed);
  BIO* bio = make_tls_bio(session->wire_);
  if (bio == nullptr) return nullptr;
  SSL_set_bio(ssl, bio, bio);
  if (role == Role::server) {
    SSL_set_accept_state(ssl);
  } else {
    SSL_set_connect_state(ssl);
  }
  return session;
}

TlsSession::TlsSession(ssl_st* ssl, Role role, base::ChunkPool& chunks, base::ChunkQueue& sealed)
    : ssl_(ssl), wire_{{}, &sealed}, plain_(chunks), role_(role) {}

TlsSession::~TlsSession() {
  // OpenSSL would not let a session be resumed whose connection was not shut down in due form.
  if (role_ == Role::client && is_open_ && !is_broken_)
    SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl_);
}

TlsSession::Step TlsSession::explain(int result) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return Step::more;
    case SSL_ERROR_ZERO_RETURN:
      return Step::ended;
    default:
      break;
  }
  is_broken_ = true;
  const unsigned long code = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(code);
  if (role_ == Role::client && ERR_GET_LIB(code) == ERR_LIB_SSL) {
    if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
      reason = verdict_text(SSL_get_verify_result(ssl_));
    if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER)
      reason = "the member does not speak TLS";
  }
  if (role_ == Role::server && ERR_GET_LIB(code) == ERR_LIB_SSL &&
      ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    const char* const verdict = client_verdict_text(SSL_get_verify_result(ssl_));
    if (verdict != nullptr) reason = verdict;
  }
  failure_ = reason == nullptr ? "TLS failed" : reason;
  ERR_clear_error();
  return Step::failed;
}

TlsSession::Step TlsSession::shake_hands() {
  forget_errors();
  const int result = SSL_do_handshake(ssl_);
  if (result != 1) return explain(result);
  is_open_ = true;
  // It has been sent: a connection may live for hours.
  if (role_ == Role::server) SSL_set_tlsext_status_ocsp_resp(ssl_, nullptr, 0);
  if (client_rule_of(ssl_) != nullptr) {
    // It has been verified, or we would not be here.
    X509* const certificate = SSL_get0_peer_certificate(ssl_);
    if (certificate != nullptr) client_ = identity_of(certificate);
  }
  return Step::done;
}

TlsSession::Step TlsSession::open(std::span<char> plain, std::size_t& size) {
  size = 0;
  forget_errors();
  while (size < plain.size()) {
    std::size_t count = 0;
    const int result = SSL_read_ex(ssl_, plain.data() + size, plain.size() - size, &count);
    if (result != 1) {
      const Step step = explain(result);
      DCHECK(step != Step::more || wire_.in.empty());
      return step;
    }
    size += count;
    if (wire_.in.empty() && SSL_pending(ssl_) == 0) return Step::more;
  }
  is_broken_ = true;  // more came out than can have gone in
  failure_ = "a record was too long";
  return Step::failed;
}

bool TlsSession::seal(std::span<const char> bytes) {
  if (is_broken_) return false;
  forget_errors();
  while (!bytes.empty()) {  // a record at a time
    std::size_t count = 0;
    const int result = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &count);
    if (result != 1) {
      static_cast<void>(explain(result));
      is_broken_ = true;
      return false;
    }
    bytes = bytes.subspan(count);
  }
  return true;
}

bool TlsSession::seal_end() {
  if (has_said_end_ || is_broken_ || !is_open_) return false;
  has_said_end_ = true;
  forget_errors();
  static_cast<void>(SSL_shutdown(ssl_));
  return true;
}

std::string_view TlsSession::version() const {
  return SSL_get_version(ssl_);
}

std::string_view TlsSession::cipher() const {
  const char* name = SSL_get_cipher_name(ssl_);
  return name == nullptr ? std::string_view{} : name;
}

std::string_view TlsSession::server_name() const {
  const char* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? std::string_view{} : name;
}

std::string_view TlsSession::protocol() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

const ssl_ctx_st* TlsSession::context() const {
  return SSL_get_SSL_CTX(ssl_);
}

const ClientRule* TlsSession::client_rule() const {
  const ClientRule* const rule = client_rule_of(ssl_);
  return rule == nullptr || is_client_revoked(*rule) ? nullptr : rule;
}

// Once for each list, since connections live longer than these; and anew when one of it has ended.
bool TlsSession::is_client_revoked(const ClientRule& rule) const {
  const RevocationList* const list =
      rule.authority == nullptr || client_ == nullptr ? nullptr : rule.authority->revocations();
  if (list == nullptr) return false;
  const std::int64_t now = std::time(nullptr);
  if (judged_by_ != list->number() || list->next_update() <= now) {
    judged_by_ = list->number();
    is_client_revoked_ =
        list->judge(SSL_get0_verified_chain(ssl_), now) != RevocationList::Verdict::good;
  }
  return is_client_revoked_;
}

bool TlsSession::may_serve(std::string_view host) const {
  return certificates_of(ssl_).agree(server_name(), host);
}

bool TlsSession::is_resumed() const {
  return SSL_session_reused(ssl_) == 1;
}

}  // namespace portunus::net
