#include "tests/support/tls_handshake.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <array>

namespace portunus::test {
namespace {

struct Pair {
  SSL* client = nullptr;
  SSL* server = nullptr;
  ~Pair() {
    SSL_free(client);
    SSL_free(server);
  }
};

int keep_session(SSL* connection, SSL_SESSION* session) {
  auto* outcome = static_cast<TlsOutcome*>(SSL_get_app_data(connection));
  outcome->session = {session, SSL_SESSION_free};
  return 1;  // ours now
}

// The client's context, with what it wishes.
SSL_CTX* make_client() {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, &keep_session);
  return context;
}

int note_asked(SSL* connection, X509** /*certificate*/, EVP_PKEY** /*key*/) {
  static_cast<TlsOutcome*>(SSL_get_app_data(connection))->is_asked = true;
  return 0;  // none; or those that are set
}

void show(SSL* client, const TlsClient& wishes) {
  if (wishes.certificate.empty()) return;
  BIO* in = BIO_new_mem_buf(wishes.certificate.data(), static_cast<int>(wishes.certificate.size()));
  X509* own = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
  SSL_use_certificate(client, own);
  X509_free(own);
  while (X509* next = PEM_read_bio_X509(in, nullptr, nullptr, nullptr))
    SSL_add0_chain_cert(client, next);
  BIO_free(in);
  in = BIO_new_mem_buf(wishes.key.data(), static_cast<int>(wishes.key.size()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
  SSL_use_PrivateKey(client, key);
  EVP_PKEY_free(key);
  BIO_free(in);
  ERR_clear_error();
}

void prepare(SSL* client, const TlsClient& wishes) {
  show(client, wishes);
  SSL_set_max_proto_version(client, wishes.max_version);
  if (!wishes.server_name.empty()) {
    std::string name = wishes.server_name;
    SSL_ctrl(client, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
  }
  if (!wishes.signatures.empty()) SSL_set1_sigalgs_list(client, wishes.signatures.c_str());
  if (wishes.asks_for_status) SSL_set_tlsext_status_type(client, TLSEXT_STATUSTYPE_ocsp);
  if (wishes.session != nullptr) {
    // A copy: OpenSSL marks one as used up when a new ticket takes its place.
    SSL_SESSION* session = SSL_SESSION_dup(wishes.session);
    SSL_set_session(client, session);
    SSL_SESSION_free(session);
  }
  std::string list;
  for (const std::string& each : wishes.protocols)
    list += static_cast<char>(each.size()) + each;
  if (!list.empty()) {
    SSL_set_alpn_protos(client, reinterpret_cast<const unsigned char*>(list.data()),
                        static_cast<unsigned int>(list.size()));
  }
}

void describe(SSL* client, TlsOutcome& outcome) {
  const unsigned char* protocol = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(client, &protocol, &size);
  if (size > 0) outcome.protocol.assign(reinterpret_cast<const char*>(protocol), size);
  outcome.version = SSL_get_version(client);
  outcome.is_resumed = SSL_session_reused(client) == 1;
  unsigned char* staple = nullptr;
  const long staple_size = SSL_get_tlsext_status_ocsp_resp(client, &staple);
  if (staple_size > 0)
    outcome.staple.assign(reinterpret_cast<char*>(staple), static_cast<std::size_t>(staple_size));
  X509* certificate = SSL_get0_peer_certificate(client);
  if (certificate == nullptr) return;
  std::array<char, 256> name{};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name.data(),
                            static_cast<int>(name.size()));
  outcome.common_name = name.data();
  outcome.is_rsa = EVP_PKEY_get_base_id(X509_get0_pubkey(certificate)) == EVP_PKEY_RSA;
}

}  // namespace

TlsOutcome shake_hands(SSL_CTX* server,
                       const TlsClient& client,
                       void (*inspect)(const SSL* server, void* argument),
                       void* argument) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(make_client(), &SSL_CTX_free);
  SSL_CTX_set_client_cert_cb(context.get(), &note_asked);
  TlsOutcome outcome;
  Pair pair;
  pair.client = SSL_new(context.get());
  pair.server = SSL_new(server);
  BIO* near = nullptr;
  BIO* far = nullptr;
  BIO_new_bio_pair(&near, 1 << 16, &far, 1 << 16);
  SSL_set_bio(pair.client, near, near);
  SSL_set_bio(pair.server, far, far);
  SSL_set_app_data(pair.client, &outcome);
  prepare(pair.client, client);
  SSL_set_connect_state(pair.client);
  SSL_set_accept_state(pair.server);
  ERR_clear_error();
  for (int turn = 0; turn < 10 && !outcome.is_good; ++turn) {
    const int near_result = SSL_do_handshake(pair.client);
    if (near_result != 1 && SSL_get_error(pair.client, near_result) != SSL_ERROR_WANT_READ) {
      const char* reason = ERR_reason_error_string(ERR_peek_last_error());
      outcome.error = reason == nullptr ? "?" : reason;
      break;
    }
    const int far_result = SSL_do_handshake(pair.server);
    if (far_result != 1 && SSL_get_error(pair.server, far_result) == SSL_ERROR_SSL) {
      const char* reason = ERR_reason_error_string(ERR_peek_last_error());
      if (reason != nullptr && outcome.server_error.empty()) outcome.server_error = reason;
    }
    ERR_clear_error();  // it goes to the client as an alert
    outcome.is_good = near_result == 1 && far_result == 1;
  }
  if (outcome.is_good) {
    if (inspect != nullptr) inspect(pair.server, argument);
    char byte = 0;
    SSL_read(pair.client, &byte, 1);  // the tickets of TLS 1.3
    describe(pair.client, outcome);
    if (!outcome.session && SSL_SESSION_has_ticket(SSL_get_session(pair.client)) == 1)
      outcome.session = {SSL_get1_session(pair.client), SSL_SESSION_free};
    // Both sides say goodbye: a session that was cut is not resumed.
    SSL_shutdown(pair.client);
    SSL_shutdown(pair.server);
  }
  ERR_clear_error();
  return outcome;
}

}  // namespace portunus::test
