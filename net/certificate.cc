#include "net/certificate.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <climits>
#include <span>
#include <unordered_map>
#include <utility>

#include "base/hash.h"
#include "net/openssl_ptr.h"
#include "net/tls_values.h"

namespace portunus::net {
namespace {

constexpr std::size_t kChainMax = 16;
constexpr std::size_t kNamesMax = 2000;

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

// One block of a PEM text; wiped when it goes.
class PemBlock {
 public:
  PemBlock() = default;
  ~PemBlock() { clear(); }
  PemBlock(const PemBlock&) = delete;
  PemBlock& operator=(const PemBlock&) = delete;

  // False at the end, or where the text is broken: then error() says how.
  bool read_next(BIO& from) {
    clear();
    ERR_clear_error();
    if (PEM_read_bio_ex(&from, &name_, &header_, &data_, &size_, PEM_FLAG_SECURE) == 1) return true;
    const unsigned long code = ERR_peek_last_error();
    is_broken_ = ERR_GET_LIB(code) != ERR_LIB_PEM || ERR_GET_REASON(code) != PEM_R_NO_START_LINE;
    if (is_broken_) error_ = openssl_error();
    ERR_clear_error();
    return false;
  }
  [[nodiscard]] bool is_broken() const { return is_broken_; }
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] std::string_view name() const { return name_ == nullptr ? "" : name_; }
  [[nodiscard]] std::string_view header() const { return header_ == nullptr ? "" : header_; }
  [[nodiscard]] std::span<const unsigned char> data() const {
    return {data_, static_cast<std::size_t>(size_)};
  }

 private:
  void clear() {
    OPENSSL_secure_free(name_);
    OPENSSL_secure_free(header_);
    OPENSSL_secure_clear_free(data_, static_cast<std::size_t>(size_));
    name_ = header_ = nullptr;
    data_ = nullptr;
    size_ = 0;
  }

  char* name_ = nullptr;
  char* header_ = nullptr;
  unsigned char* data_ = nullptr;
  long size_ = 0;
  bool is_broken_ = false;
  std::string error_;
};

OpensslPtr<BIO> open_text(std::string_view text) {
  if (text.size() > INT_MAX) return {};
  return OpensslPtr<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string text_of(const ASN1_STRING* text) {
  return lower_case({reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                     static_cast<std::size_t>(std::max(0, ASN1_STRING_length(text)))});
}

std::string address_of(const ASN1_STRING* bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = ASN1_STRING_length(bytes) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(bytes) != 16) return {};
  if (::inet_ntop(family, ASN1_STRING_get0_data(bytes), text.data(), text.size()) == nullptr)
    return {};
  return text.data();
}

// A NUL or the like in a name is an attack on whoever reads it as a C string.
bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 &&
         std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7F; });
}

std::vector<std::string> names_of(const X509& leaf) {
  std::vector<std::string> names;
  const OpensslPtr<GENERAL_NAMES> all(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&leaf, NID_subject_alt_name, nullptr, nullptr)));
  const int count = all ? sk_GENERAL_NAME_num(all.get()) : 0;
  for (int i = 0; i < count && names.size() < kNamesMax; ++i) {
    const GENERAL_NAME* each = sk_GENERAL_NAME_value(all.get(), i);
    std::string name;
    if (each->type == GEN_DNS) name = text_of(each->d.dNSName);
    if (each->type == GEN_IPADD) name = address_of(each->d.iPAddress);
    if (is_plain_name(name)) names.push_back(std::move(name));
  }
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  return names;
}

std::string print(const X509_NAME* name) {
  const OpensslPtr<BIO> out(BIO_new(BIO_s_mem()));
  constexpr unsigned long kFlags =
      (XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ & ~ASN1_STRFLGS_ESC_MSB) | ASN1_STRFLGS_ESC_CTRL;
  if (!out || X509_NAME_print_ex(out.get(), name, 0, kFlags) < 0) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string fingerprint_of(const X509& leaf) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  if (X509_digest(&leaf, EVP_sha256(), bytes.data(), &size) != 1) return {};
  std::string text;
  text.reserve(std::size_t{2} * size);
  for (unsigned int i = 0; i < size; ++i) {
    text += kHex[bytes[i] >> 4U];
    text += kHex[bytes[i] & 15U];
  }
  return text;
}

std::string ocsp_url_of(X509* leaf) {
  STACK_OF(OPENSSL_STRING)* const urls = X509_get1_ocsp(leaf);
  std::string first;
  if (urls != nullptr && sk_OPENSSL_STRING_num(urls) > 0) first = sk_OPENSSL_STRING_value(urls, 0);
  X509_email_free(urls);
  return first;
}

KeyKind kind_of(const EVP_PKEY& key) {
  const int type = EVP_PKEY_get_base_id(&key);
  if (type == EVP_PKEY_EC) return KeyKind::ecdsa;
  return type == EVP_PKEY_RSA ? KeyKind::rsa : KeyKind::other;
}

}  // namespace

// ---- Certificate ----

Certificate::~Certificate() {
  X509_free(leaf_);
  EVP_PKEY_free(key_);
  sk_X509_pop_free(chain_, X509_free);
}

bool Certificate::covers(std::string_view host) const {
  const auto has = [this](std::string_view name) {
    return std::ranges::binary_search(
        names_, name, std::less<>{},
        [](const std::string& each) -> std::string_view { return each; });
  };
  if (has(host)) return true;
  const std::size_t dot = host.find('.');
  if (dot == std::string_view::npos || host.starts_with('*')) return false;
  return has("*" + std::string(host.substr(dot)));
}

std::size_t Certificate::chain_size() const {
  return chain_ == nullptr ? 0 : static_cast<std::size_t>(sk_X509_num(chain_));
}

std::string Certificate::issuer() const {
  return print(X509_get_issuer_name(leaf_));
}

std::string Certificate::subject() const {
  return print(X509_get_subject_name(leaf_));
}

bool Certificate::use_for(ssl_st* connection) const {
  return SSL_use_cert_and_key(connection, leaf_, key_, chain_, 1) == 1;
}

bool Certificate::use_for(ssl_ctx_st* context) const {
  return SSL_CTX_use_cert_and_key(context, leaf_, key_, chain_, 1) == 1;
}

// ---- CertificateReader ----

struct CertificateReader::Tools {
  EVP_PKEY* key = nullptr;  // where the decoder puts it
  OSSL_DECODER_CTX* decoder = nullptr;
  OpensslPtr<SSL_CTX> trial;                                      // says what a server may use
  std::unordered_map<std::string, OpensslPtr<X509>> authorities;  // by their bytes
};

CertificateReader::CertificateReader() : tools_(std::make_unique<Tools>()) {
  // One decoder for all keys: making it takes twenty times as long as using it.
  tools_->decoder = OSSL_DECODER_CTX_new_for_pkey(&tools_->key, "DER", nullptr, nullptr,
                                                  EVP_PKEY_KEYPAIR, nullptr, nullptr);
  tools_->trial.reset(SSL_CTX_new(TLS_server_method()));
  if (tools_->trial) SSL_CTX_set_security_level(tools_->trial.get(), kSecurityLevel);
}

CertificateReader::~CertificateReader() {
  OSSL_DECODER_CTX_free(tools_->decoder);
}

std::expected<SharedCertificate, std::string> CertificateReader::read(std::string_view certificate,
                                                                      std::string_view key) {
  if (tools_->decoder == nullptr || !tools_->trial) return std::unexpected("out of memory");
  std::shared_ptr<Certificate> out(new Certificate);
  std::string why = read_chain(certificate, *out);
  if (why.empty()) why = read_key(key, *out);
  if (why.empty()) why = check(*out);
  ERR_clear_error();
  if (!why.empty()) return std::unexpected(std::move(why));
  X509* const leaf = out->leaf_;
  out->names_ = names_of(*leaf);
  out->content_hash_ = base::stable_hash(certificate);
  out->fingerprint_ = fingerprint_of(*leaf);
  out->ocsp_url_ = ocsp_url_of(leaf);
  out->not_before_ = seconds_of(X509_get0_notBefore(leaf));
  out->not_after_ = seconds_of(X509_get0_notAfter(leaf));
  out->kind_ = kind_of(*out->key_);
  out->is_self_signed_ =
      X509_NAME_cmp(X509_get_issuer_name(leaf), X509_get_subject_name(leaf)) == 0;
  return out;
}

// What is wrong; empty = nothing.
std::string CertificateReader::read_chain(std::string_view text, Certificate& out) {
  const auto bio = open_text(text);
  if (!bio) return "too large";
  PemBlock block;
  while (block.read_next(*bio)) {
    if (block.name() != PEM_STRING_X509 && block.name() != PEM_STRING_X509_OLD) continue;
    const auto bytes = block.data();
    const unsigned char* at = bytes.data();
    if (out.leaf_ == nullptr) {
      out.leaf_ = d2i_X509(nullptr, &at, static_cast<long>(bytes.size()));
      if (out.leaf_ == nullptr) return "the certificate cannot be read: " + openssl_error();
      continue;
    }
    if (out.chain_size() >= kChainMax)
      return "more than " + std::to_string(kChainMax) + " certificates in the chain";
    auto& known = tools_->authorities[{reinterpret_cast<const char*>(bytes.data()), bytes.size()}];
    if (!known) known.reset(d2i_X509(nullptr, &at, static_cast<long>(bytes.size())));
    if (!known) return "a certificate of the chain cannot be read: " + openssl_error();
    if (out.chain_ == nullptr) out.chain_ = sk_X509_new_null();
    if (out.chain_ == nullptr || sk_X509_push(out.chain_, known.get()) == 0) return "out of memory";
    X509_up_ref(known.get());
  }
  if (block.is_broken()) return "the PEM text is broken: " + block.error();
  if (out.leaf_ == nullptr) return "holds no certificate (no `BEGIN CERTIFICATE`)";
  return {};
}

std::string CertificateReader::read_key(std::string_view text, Certificate& out) {
  const auto bio = open_text(text);
  if (!bio) return "the key's file is too large";
  PemBlock block;
  while (block.read_next(*bio)) {
    if (!block.name().ends_with("PRIVATE KEY")) continue;
    if (block.name().starts_with("ENCRYPTED") || block.header().contains("ENCRYPTED"))
      return "the key has a passphrase: a server needs it without one";
    const auto bytes = block.data();
    const unsigned char* at = bytes.data();
    std::size_t size = bytes.size();
    tools_->key = nullptr;
    if (OSSL_DECODER_from_data(tools_->decoder, &at, &size) != 1 || tools_->key == nullptr)
      return "the key cannot be read";
    out.key_ = std::exchange(tools_->key, nullptr);
    return {};
  }
  if (block.is_broken()) return "the PEM text of the key is broken: " + block.error();
  return "the key's file holds no key (no `BEGIN PRIVATE KEY`)";
}

std::string CertificateReader::check(const Certificate& certificate) {
  const EVP_PKEY* const wanted = X509_get0_pubkey(certificate.leaf_);
  if (wanted == nullptr || EVP_PKEY_eq(wanted, certificate.key_) != 1) {
    for (std::size_t i = 0; i < certificate.chain_size(); ++i) {
      X509* const other = sk_X509_value(certificate.chain_, static_cast<int>(i));
      const EVP_PKEY* const key = X509_get0_pubkey(other);
      if (key != nullptr && EVP_PKEY_eq(key, certificate.key_) == 1)
        return "the server's own certificate is not the first of the file";
    }
    return "the key belongs to another certificate";
  }
  ERR_clear_error();
  if (!certificate.use_for(tools_->trial.get())) return "not usable: " + openssl_error();
  return {};
}

}  // namespace portunus::net
