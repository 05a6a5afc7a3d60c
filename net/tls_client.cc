#include "net/tls_client.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "net/address.h"
#include "net/openssl_ptr.h"
#include "net/stream.h"
#include "net/tls_values.h"

namespace portunus::net {
namespace {

// RFC 9525: the name stands in subjectAltName, and a star for one whole label.
constexpr unsigned kHostFlags =
    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;

std::uint64_t hash_of(const SharedTrust& trust) {
  return trust == nullptr ? 0 : trust->content_hash();
}

std::uint64_t hash_of(const SharedCertificate& certificate) {
  return certificate == nullptr ? 0 : certificate->content_hash();
}

bool set_protocols(SSL_CTX* context, const TlsClientSettings& settings) {
  std::string list;
  const auto add = [&](std::string_view protocol) {
    list += static_cast<char>(protocol.size());
    list += protocol;
  };
  if (settings.offers_h2) add(kAlpnH2);
  if (settings.offers_h1) add(kAlpnH1);
  return SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(list.data()),
                                 static_cast<unsigned>(list.size())) == 0;
}

bool set_verification(SSL_CTX* context, const TlsClientSettings& settings) {
  if (!settings.verifies) {
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    return true;
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  if (settings.trust != nullptr) SSL_CTX_set1_cert_store(context, settings.trust->get());
  // Who names an authority trusts it, whether or not another one has signed it.
  return X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN) == 1;
}

// OpenSSL keeps a pointer with each of its objects: a time, here.
void* pointer_of(std::uint64_t number) {
  return reinterpret_cast<void*>(number);  // NOLINT(performance-no-int-to-ptr): never followed
}

std::uint64_t number_of(const void* pointer) {
  return reinterpret_cast<std::uint64_t>(pointer);
}

int begin_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// Not the index that is there for all: unless one has been made, sessions with data are not copied.
int verified_index() {
  static const int index = SSL_SESSION_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

}  // namespace

bool is_same(const TlsClientSettings& a, const TlsClientSettings& b) {
  return a.server_name == b.server_name && a.verifies == b.verifies &&
         hash_of(a.trust) == hash_of(b.trust) && hash_of(a.certificate) == hash_of(b.certificate) &&
         a.offers_h1 == b.offers_h1 && a.offers_h2 == b.offers_h2;
}

std::string_view host_of(std::string_view host_and_port) {
  std::string_view host = host_and_port.substr(0, host_and_port.rfind(':'));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return host;
}

// ---- TlsClient ----

TlsClient::TlsClient(TlsClientSettings settings) : settings_(std::move(settings)) {}

TlsClient::~TlsClient() {
  SSL_CTX_free(context_);
}

std::expected<SharedTlsClient, std::string> TlsClient::make(TlsClientSettings settings) {
  ERR_clear_error();
  std::shared_ptr<TlsClient> made(new TlsClient(std::move(settings)));
  const TlsClientSettings& wanted = made->settings_;
  made->context_ = SSL_CTX_new(TLS_client_method());
  SSL_CTX* const context = made->context_;
  if (context == nullptr || !set_common_values(context, TlsVersion::v1_2) ||
      !set_protocols(context, wanted) || !set_verification(context, wanted) ||
      (wanted.certificate != nullptr && !wanted.certificate->use_for(context))) {
    return std::unexpected("TLS: " + openssl_error());
  }
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, &TlsResumption::on_session);
  return made;
}

bool TlsClient::start(Stream& stream, std::string_view host, TlsResumption* resumption) const {
  std::string name = settings_.server_name;
  if (name.empty()) name = host;
  if (name.ends_with('.')) name.pop_back();
  if (name.empty() || !stream.start_tls(context_, TlsSession::Role::client)) return false;
  SSL* const connection = stream.tls()->ssl();
  const bool is_ip = Address::parse_ip(name, 0).has_value();
  // RFC 6066 section 3: no addresses.
  if (!is_ip && SSL_ctrl(connection, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                         name.data()) != 1) {
    return false;
  }
  if (settings_.verifies) {
    X509_VERIFY_PARAM* const rules = SSL_get0_param(connection);
    X509_VERIFY_PARAM_set_hostflags(rules, kHostFlags);  // a context's are not handed down
    const int done = is_ip ? X509_VERIFY_PARAM_set1_ip_asc(rules, name.c_str())
                           : X509_VERIFY_PARAM_set1_host(rules, name.data(), name.size());
    if (done != 1) return false;
  }
  SSL_set_app_data(connection, resumption);
  if (resumption != nullptr) {
    const std::uint64_t now_ns = base::monotonic_ns();
    if (!TlsResumption::note_begin(connection, now_ns)) return false;
    resumption->offer(connection, now_ns);
  }
  return true;
}

// ---- TlsResumption ----

TlsResumption::~TlsResumption() {
  SSL_SESSION_free(session_);
}

void TlsResumption::keep_for(const TlsClient* client) {
  SSL_SESSION_free(std::exchange(session_, nullptr));
  context_ = client == nullptr ? nullptr : client->context();
}

void TlsResumption::offer(SSL* connection, std::uint64_t now_ns) {
  if (session_ == nullptr || SSL_get_SSL_CTX(connection) != context_) return;
  if (now_ns - verified_ns() >= kVerifiedForNs) {
    SSL_SESSION_free(std::exchange(session_, nullptr));
    return;
  }
  static_cast<void>(SSL_set_session(connection, session_));  // at worst all is done anew
}

bool TlsResumption::note_begin(SSL* connection, std::uint64_t now_ns) {
  return SSL_set_ex_data(connection, begin_index(), pointer_of(now_ns)) == 1;
}

std::uint64_t TlsResumption::verified_ns() const {
  return session_ == nullptr ? 0 : number_of(SSL_SESSION_get_ex_data(session_, verified_index()));
}

// 1 = the session is ours now. Of TLS 1.3 they come behind the handshake, late as the member likes, and
// several: the last one counts. One that comes with a resumed connection is a copy of that session,
// and has its time.
int TlsResumption::on_session(SSL* connection, SSL_SESSION* session) {
  auto* const self = static_cast<TlsResumption*>(SSL_get_app_data(connection));
  if (self == nullptr || SSL_get_SSL_CTX(connection) != self->context_ ||
      SSL_SESSION_is_resumable(session) != 1) {
    return 0;
  }
  if (SSL_session_reused(connection) != 1 &&
      SSL_SESSION_set_ex_data(session, verified_index(),
                              SSL_get_ex_data(connection, begin_index())) != 1) {
    return 0;
  }
  SSL_SESSION_free(std::exchange(self->session_, session));
  return 1;
}

}  // namespace portunus::net
