#include "net/certificate_reader.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <climits>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>

#include "base/hash.h"
#include "net/bare_certificate.h"
#include "net/openssl_ptr.h"
#include "net/tls_values.h"

namespace portunus::net {
namespace {

constexpr std::size_t kChainMax = 16;
constexpr std::size_t kNamesMax = 2000;
constexpr int kSecurityBits = 112;  // of kSecurityLevel

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

std::string fingerprint_of(std::span<const unsigned char> leaf) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  if (EVP_Digest(leaf.data(), leaf.size(), bytes.data(), &size, EVP_sha256(), nullptr) != 1)
    return {};
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

// What TLS takes at kSecurityLevel without a doubt.
bool is_plain_signature(const X509& leaf) {
  switch (X509_get_signature_nid(&leaf)) {
    case NID_ecdsa_with_SHA256:
    case NID_ecdsa_with_SHA384:
    case NID_ecdsa_with_SHA512:
    case NID_sha256WithRSAEncryption:
    case NID_sha384WithRSAEncryption:
    case NID_sha512WithRSAEncryption:
      return true;
    default:
      return false;
  }
}

// For keys of one kind, as often as they come: making it takes twenty times as long as using it.
class KeyDecoder {
 public:
  // `kind`: OpenSSL's name of it; null: any.
  KeyDecoder(const char* kind, int selection)
      : context_(OSSL_DECODER_CTX_new_for_pkey(
            &key_, "DER", nullptr, kind, selection, nullptr, nullptr)) {}
  ~KeyDecoder() { OSSL_DECODER_CTX_free(context_); }
  KeyDecoder(const KeyDecoder&) = delete;
  KeyDecoder& operator=(const KeyDecoder&) = delete;

  [[nodiscard]] bool is_set() const { return context_ != nullptr; }
  // Null when it cannot be read.
  OpensslPtr<EVP_PKEY> read(std::span<const unsigned char> der) {
    const unsigned char* at = der.data();
    std::size_t size = der.size();
    key_ = nullptr;
    const bool is_read = OSSL_DECODER_from_data(context_, &at, &size) == 1;
    OpensslPtr<EVP_PKEY> out(std::exchange(key_, nullptr));
    if (!is_read) out.reset();
    return out;
  }

 private:
  EVP_PKEY* key_ = nullptr;  // where the decoder puts it
  OSSL_DECODER_CTX* context_;
};

// What no handshake could use; empty = nothing. Of a curve without a name nothing is said here.
std::string curve_fault(const EVP_PKEY& key) {
  constexpr std::array<std::string_view, 3> kCurves{"prime256v1", "secp384r1", "secp521r1"};
  std::array<char, 80> name{};
  std::size_t size = 0;
  if (EVP_PKEY_get_base_id(&key) != EVP_PKEY_EC ||
      EVP_PKEY_get_group_name(&key, name.data(), name.size(), &size) != 1)
    return {};
  if (std::ranges::find(kCurves, std::string_view(name.data(), size)) != kCurves.end()) return {};
  return "no client takes the curve " + std::string(name.data(), size) + ": P-256, P-384 or P-521";
}

}  // namespace

struct CertificateReader::Tools {
  struct Authority {
    OpensslPtr<X509> certificate;
    bool is_strong = false;  // OpenSSL has taken it in a chain
  };

  KeyDecoder private_keys{nullptr, EVP_PKEY_KEYPAIR};
  std::optional<KeyDecoder> ec_keys;   // public ones; made for the first
  std::optional<KeyDecoder> rsa_keys;  // the same
  OpensslPtr<SSL_CTX> trial;           // says what a server may use
  OpensslPtr<X509> leaf;               // of the one that is being read, without its key
  std::unordered_map<std::string, Authority> authorities;  // by their bytes
  std::vector<Authority*> chain;                           // of the one that is being read

  OpensslPtr<EVP_PKEY> public_key();
};

// Of the leaf; null when it is of another kind, too.
OpensslPtr<EVP_PKEY> CertificateReader::Tools::public_key() {
  X509_PUBKEY* const packed = X509_get_X509_PUBKEY(leaf.get());
  ASN1_OBJECT* kind = nullptr;
  if (X509_PUBKEY_get0_param(&kind, nullptr, nullptr, nullptr, packed) != 1) return {};
  const int number = OBJ_obj2nid(kind);
  if (number != NID_X9_62_id_ecPublicKey && number != NID_rsaEncryption) return {};
  const bool is_ec = number == NID_X9_62_id_ecPublicKey;
  std::optional<KeyDecoder>& decoder = is_ec ? ec_keys : rsa_keys;
  if (!decoder) decoder.emplace(is_ec ? "EC" : "RSA", EVP_PKEY_PUBLIC_KEY);
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(packed, &der);
  if (size <= 0 || !decoder->is_set()) {
    OPENSSL_free(der);
    return {};
  }
  OpensslPtr<EVP_PKEY> out = decoder->read({der, static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  return out;
}

CertificateReader::CertificateReader() : tools_(std::make_unique<Tools>()) {
  tools_->trial.reset(SSL_CTX_new(TLS_server_method()));
  if (tools_->trial) SSL_CTX_set_security_level(tools_->trial.get(), kSecurityLevel);
}

CertificateReader::~CertificateReader() = default;

std::expected<SharedCertificate, std::string> CertificateReader::read(std::string_view certificate,
                                                                      std::string_view key) {
  if (!tools_->private_keys.is_set() || !tools_->trial) return std::unexpected("out of memory");
  std::shared_ptr<Certificate> out(new Certificate);
  std::string why = read_chain(certificate, *out);
  if (why.empty()) why = read_key(key, *out);
  if (why.empty()) why = curve_fault(*out->key_);
  if (why.empty() && !is_plainly_good(*out)) why = check(*out);
  ERR_clear_error();
  const OpensslPtr<X509> held = std::move(tools_->leaf);
  if (!why.empty()) return std::unexpected(std::move(why));
  const X509& leaf = *held;
  out->names_ = names_of(leaf);
  out->issuer_ = print(X509_get_issuer_name(&leaf));
  out->subject_ = print(X509_get_subject_name(&leaf));
  out->content_hash_ = base::stable_hash(certificate);
  out->fingerprint_ = fingerprint_of(out->bytes_);
  out->ocsp_url_ = ocsp_url_of(held.get());
  out->not_before_ = seconds_of(X509_get0_notBefore(&leaf));
  out->not_after_ = seconds_of(X509_get0_notAfter(&leaf));
  out->kind_ = kind_of(*out->key_);
  out->is_self_signed_ =
      X509_NAME_cmp(X509_get_issuer_name(&leaf), X509_get_subject_name(&leaf)) == 0;
  return out;
}

// What is wrong; empty = nothing.
std::string CertificateReader::read_chain(std::string_view text, Certificate& out) {
  tools_->leaf.reset();
  tools_->chain.clear();
  const auto bio = open_text(text);
  if (!bio) return "too large";
  PemBlock block;
  while (block.read_next(*bio)) {
    if (block.name() != PEM_STRING_X509 && block.name() != PEM_STRING_X509_OLD) continue;
    const auto bytes = block.data();
    if (!tools_->leaf) {
      tools_->leaf = read_bare_certificate(bytes);
      if (!tools_->leaf) return "the certificate cannot be read: " + openssl_error();
      out.bytes_.assign(bytes.begin(), bytes.end());
      continue;
    }
    if (out.chain_size() >= kChainMax)
      return "more than " + std::to_string(kChainMax) + " certificates in the chain";
    auto& known = tools_->authorities[{reinterpret_cast<const char*>(bytes.data()), bytes.size()}];
    const unsigned char* at = bytes.data();
    if (!known.certificate)
      known.certificate.reset(d2i_X509(nullptr, &at, static_cast<long>(bytes.size())));
    X509* const each = known.certificate.get();
    if (each == nullptr) return "a certificate of the chain cannot be read: " + openssl_error();
    if (out.chain_ == nullptr) out.chain_ = sk_X509_new_null();
    if (out.chain_ == nullptr || sk_X509_push(out.chain_, each) == 0) return "out of memory";
    X509_up_ref(each);
    tools_->chain.push_back(&known);  // stays where it is when others come
  }
  if (block.is_broken()) return "the PEM text is broken: " + block.error();
  if (!tools_->leaf) return "holds no certificate (no `BEGIN CERTIFICATE`)";
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
    out.key_ = tools_->private_keys.read(block.data()).release();
    return out.key_ == nullptr ? "the key cannot be read" : "";
  }
  if (block.is_broken()) return "the PEM text of the key is broken: " + block.error();
  return "the key's file holds no key (no `BEGIN PRIVATE KEY`)";
}

// Whether check() could not find anything, told without a decoded certificate. False says nothing.
bool CertificateReader::is_plainly_good(const Certificate& certificate) {
  if (!is_plain_signature(*tools_->leaf) ||
      !std::ranges::all_of(tools_->chain, &Tools::Authority::is_strong))
    return false;
  const OpensslPtr<EVP_PKEY> wanted = tools_->public_key();
  return wanted && EVP_PKEY_get_security_bits(wanted.get()) >= kSecurityBits &&
         EVP_PKEY_eq(wanted.get(), certificate.key_) == 1;
}

std::string CertificateReader::check(const Certificate& certificate) {
  X509* const leaf = certificate.leaf();
  const EVP_PKEY* const wanted = leaf == nullptr ? nullptr : X509_get0_pubkey(leaf);
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
  for (Tools::Authority* each : tools_->chain)
    each->is_strong = true;
  return {};
}

}  // namespace portunus::net
