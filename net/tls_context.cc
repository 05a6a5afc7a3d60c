#include "net/tls_context.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>
#include <span>
#include <utility>

#include "net/ocsp.h"
#include "net/openssl_ptr.h"
#include "net/tls_values.h"

namespace portunus::net {
namespace {

// All listeners together: a ticket says what was negotiated, not where.
constexpr std::string_view kSessionContext = "portunus";

// What the callbacks need; owned by the SSL_CTX.
struct Owned {
  TlsServerSettings settings;
};

// NOLINTNEXTLINE(readability-function-size): the signature is OpenSSL's
void free_owned(void* /*parent*/,
                void* object,
                CRYPTO_EX_DATA* /*all*/,
                int /*index*/,
                long /*number*/,
                void* /*argument*/) {
  const std::unique_ptr<Owned> owned(static_cast<Owned*>(object));
}

int owned_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, &free_owned);
  return index;
}

const TlsServerSettings& settings_of(const SSL* connection) {
  const SSL_CTX* const context = SSL_get_SSL_CTX(connection);
  return static_cast<const Owned*>(SSL_CTX_get_ex_data(context, owned_index()))->settings;
}

std::string_view server_name(const SSL* connection) {
  const char* const name = SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? std::string_view{} : name;
}

// Before anything else, thus before a session can be resumed.
int on_client_hello(SSL* connection, int* alert, void* /*argument*/) {
  *alert = SSL_AD_INTERNAL_ERROR;
  return ask_client(connection, *settings_of(connection).clients) ? SSL_CLIENT_HELLO_SUCCESS
                                                                  : SSL_CLIENT_HELLO_ERROR;
}

// Before a certificate is chosen, and for resumed sessions, too.
int on_server_name(SSL* connection, int* alert, void* /*argument*/) {
  const TlsServerSettings& settings = settings_of(connection);
  const std::string_view name = server_name(connection);
  const CertStore& store = *settings.certificates;
  const CertStore::Set set = settings.is_strict ? store.find(name) : store.find_or_default(name);
  if (set == CertStore::kNone) {
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  return SSL_TLSEXT_ERR_OK;
}

// Not for resumed sessions, which need none.
int on_certificate(SSL* connection, void* /*argument*/) {
  const CertStore& store = *settings_of(connection).certificates;
  const CertStore::Set set = store.find_or_default(server_name(connection));
  if (set == CertStore::kNone) return 0;
  if (set == store.default_set()) return 1;  // the context has them
  SSL_certs_clear(connection);
  for (const SharedCertificate& each : store.certificates(set)) {
    if (!each->use_for(connection)) return 0;
  }
  return 1;
}

// A certificate has been chosen, and the client has asked for what the responder says of it. The copy
// is OpenSSL's, until TlsSession has it dropped.
int on_status(SSL* connection, void* /*argument*/) {
  const CertStore& store = *settings_of(connection).certificates;
  const CertStore::Set set = store.find_or_default(server_name(connection));
  if (set == CertStore::kNone) return SSL_TLSEXT_ERR_NOACK;
  const X509* const chosen = SSL_get_certificate(connection);
  for (const SharedCertificate& each : store.certificates(set)) {
    if (each->leaf() != chosen) continue;
    const OcspStaple* const staple = each->staple();
    if (staple == nullptr || staple->next_update <= std::time(nullptr)) break;
    void* const copy = OPENSSL_memdup(staple->bytes.data(), staple->bytes.size());
    if (copy == nullptr) break;
    SSL_set_tlsext_status_ocsp_resp(connection, copy, static_cast<long>(staple->bytes.size()));
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

bool offers(std::string_view list, std::string_view protocol) {
  while (!list.empty()) {
    const std::size_t size = static_cast<unsigned char>(list.front());
    if (list.substr(1, size) == protocol) return true;
    list.remove_prefix(std::min(list.size(), size + 1));
  }
  return false;
}

// Our order counts. Who offers nothing that we speak is told so, and does not get what it did not ask
// for (RFC 7301 section 3.2).
// NOLINTNEXTLINE(readability-function-size): the signature is OpenSSL's
int on_alpn(SSL* connection,
            const unsigned char** out,
            unsigned char* out_size,
            const unsigned char* offered,
            unsigned int offered_size,
            void* /*argument*/) {
  const TlsServerSettings& settings = settings_of(connection);
  const std::string_view list(reinterpret_cast<const char*>(offered), offered_size);
  std::string_view chosen;
  if (settings.offers_h1 && offers(list, kAlpnH1)) chosen = kAlpnH1;
  if (settings.offers_h2 && offers(list, kAlpnH2)) chosen = kAlpnH2;
  if (chosen.empty()) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = reinterpret_cast<const unsigned char*>(chosen.data());
  *out_size = static_cast<unsigned char>(chosen.size());
  return SSL_TLSEXT_ERR_OK;
}

const EVP_CIPHER* ticket_cipher() {
  static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
  return cipher;
}

bool start_ticket(const TicketKey& key,
                  const unsigned char* iv,
                  EVP_CIPHER_CTX* cipher,
                  EVP_MAC_CTX* mac,
                  bool encrypts) {
  // OpenSSL's parameters are not const, and it does not change them.
  std::array<char, 7> digest{"SHA256"};
  TicketKey copy = key;
  const std::array parameters{
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, copy.mac.data(), copy.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, parameters.data()) == 1 &&
         EVP_CipherInit_ex(cipher, ticket_cipher(), nullptr, key.cipher.data(), iv,
                           encrypts ? 1 : 0) == 1;
}

// As SSL_CTX_set_tlsext_ticket_key_evp_cb(3) has it: 0 = a full handshake, 2 = and a new ticket.
// NOLINTNEXTLINE(readability-function-size): the signature is OpenSSL's
int on_ticket(SSL* connection,
              unsigned char* name,
              unsigned char* iv,
              EVP_CIPHER_CTX* cipher,
              EVP_MAC_CTX* mac,
              int encrypts) {
  const TicketKeys& keys = *settings_of(connection).tickets;
  if (encrypts != 0) {
    const auto key = keys.newest();
    if (!key) return 0;
    const int iv_size = EVP_CIPHER_get_iv_length(ticket_cipher());
    if (RAND_bytes(iv, iv_size) != 1) return -1;
    std::ranges::copy(key->name, name);
    return start_ticket(*key, iv, cipher, mac, true) ? 1 : -1;
  }
  const auto found =
      keys.find(std::span<const unsigned char, TicketKey::kNameSize>(name, TicketKey::kNameSize));
  if (!found) return 0;
  if (!start_ticket(found->key, iv, cipher, mac, false)) return -1;
  // TLS 1.3 clients get new ones with every handshake.
  return found->is_newest && SSL_version(connection) != TLS1_3_VERSION ? 1 : 2;
}

bool set_values(SSL_CTX* context, const TlsServerSettings& settings) {
  SSL_CTX_set_options(context, SSL_OP_PRIORITIZE_CHACHA | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  return set_common_values(context, settings.min_version) &&
         SSL_CTX_set_session_id_context(
             context, reinterpret_cast<const unsigned char*>(kSessionContext.data()),
             kSessionContext.size()) == 1;
}

void set_tickets(SSL_CTX* context, const TlsServerSettings& settings) {
  if (settings.tickets) {
    SSL_CTX_set_timeout(context, static_cast<long>(settings.ticket_lifetime_s));
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, &on_ticket);
  } else {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
  }
}

}  // namespace

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
}

TlsContext::TlsContext(TlsContext&& other) noexcept
    : context_(std::exchange(other.context_, nullptr)) {}

TlsContext& TlsContext::operator=(TlsContext&& other) noexcept {
  std::swap(context_, other.context_);
  return *this;
}

std::expected<TlsContext, std::string> TlsContext::make_server(TlsServerSettings settings) {
  ERR_clear_error();
  TlsContext made(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* const context = made.get();
  if (context == nullptr || owned_index() < 0 || !set_values(context, settings))
    return std::unexpected("TLS: " + openssl_error());
  set_tickets(context, settings);
  // Those of everybody are each connection's from the start.
  const CertStore& store = *settings.certificates;
  if (store.default_set() != CertStore::kNone) {
    for (const SharedCertificate& each : store.certificates(store.default_set())) {
      if (!each->use_for(context)) return std::unexpected("TLS: " + openssl_error());
    }
  }
  if (settings.clients) SSL_CTX_set_client_hello_cb(context, &on_client_hello, nullptr);
  auto owned = std::make_unique<Owned>(Owned{std::move(settings)});
  if (SSL_CTX_set_ex_data(context, owned_index(), owned.get()) != 1)
    return std::unexpected("TLS: " + openssl_error());
  static_cast<void>(owned.release());  // NOLINT(bugprone-unused-return-value): the context's now
  SSL_CTX_callback_ctrl(context, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                        reinterpret_cast<void (*)()>(&on_server_name));
  SSL_CTX_set_cert_cb(context, &on_certificate, nullptr);
  SSL_CTX_callback_ctrl(context, SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB,
                        reinterpret_cast<void (*)()>(&on_status));
  SSL_CTX_set_alpn_select_cb(context, &on_alpn, nullptr);
  return made;
}

const CertStore* TlsContext::certificates() const {
  if (context_ == nullptr) return nullptr;
  const auto* owned = static_cast<const Owned*>(SSL_CTX_get_ex_data(context_, owned_index()));
  return owned == nullptr ? nullptr : owned->settings.certificates.get();
}

const CertStore& certificates_of(const ssl_st* connection) {
  return *settings_of(connection).certificates;
}

}  // namespace portunus::net
