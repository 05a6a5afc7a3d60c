#include "tests/support/certificate_maker.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <stdexcept>

namespace portunus::test {
namespace {

void need(bool good) {
  if (!good) throw std::runtime_error("OpenSSL does not make what a test needs");
}

template <typename Write>
std::string pem_of(Write write) {
  BIO* out = BIO_new(BIO_s_mem());
  need(out != nullptr && write(out) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(out);
  return text;
}

std::string pem_of(X509* certificate) {
  return pem_of([&](BIO* out) { return PEM_write_bio_X509(out, certificate); });
}

std::string pem_of(EVP_PKEY* key) {
  return pem_of([&](BIO* out) {
    return PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

EVP_PKEY* make_key(bool is_rsa) {
  EVP_PKEY* key = is_rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
  need(key != nullptr);
  return key;
}

void add_extension(X509* to, X509* issuer, int which, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, which, value.c_str());
  need(extension != nullptr && X509_add_ext(to, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

X509* begin_certificate(const std::string& name, EVP_PKEY* key) {
  X509* made = X509_new();
  need(made != nullptr && X509_set_version(made, 2) == 1);
  BIGNUM* number = BN_new();
  need(BN_rand(number, 100, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(made));
  BN_free(number);
  X509_NAME* subject = X509_get_subject_name(made);
  const auto* text = reinterpret_cast<const unsigned char*>(name.c_str());
  need(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, text, -1, -1, 0) == 1);
  need(X509_set_pubkey(made, key) == 1);
  return made;
}

bool is_address(const std::string& name) {
  return name.find(':') != std::string::npos ||
         name.find_first_not_of("0123456789.") == std::string::npos;
}

}  // namespace

CertificateMaker::CertificateMaker(const std::string& name, const CertificateMaker* above)
    : key_(make_key(false)), certificate_(begin_certificate(name, key_)) {
  X509* const issuer = above == nullptr ? certificate_ : above->certificate_;
  X509_set_issuer_name(certificate_, X509_get_subject_name(issuer));
  X509_gmtime_adj(X509_getm_notBefore(certificate_), -7200);
  X509_gmtime_adj(X509_getm_notAfter(certificate_), 365L * 24 * 3600);
  add_extension(certificate_, certificate_, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(certificate_, certificate_, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(certificate_, certificate_, NID_subject_key_identifier, "hash");
  need(X509_sign(certificate_, above == nullptr ? key_ : above->key_, EVP_sha256()) > 0);
}

CertificateMaker::~CertificateMaker() {
  X509_free(certificate_);
  EVP_PKEY_free(key_);
  EVP_PKEY_free(common_);
}

std::string CertificateMaker::authority() const {
  return pem_of(certificate_);
}

std::string CertificateMaker::sign(const CertificateWishes& wishes, EVP_PKEY* key) const {
  std::string subject = wishes.names.empty() ? "nobody" : wishes.names.front();
  if (!wishes.subject.empty()) subject = wishes.subject;
  X509* made = begin_certificate(subject, key);
  X509_set_issuer_name(made, X509_get_subject_name(certificate_));
  X509_gmtime_adj(X509_getm_notBefore(made), wishes.valid_from_s);
  X509_gmtime_adj(X509_getm_notAfter(made), wishes.valid_to_s);
  std::string names;
  for (const std::string& name : wishes.names)
    names += (names.empty() ? "" : ",") + std::string(is_address(name) ? "IP:" : "DNS:") + name;
  if (!wishes.other_names.empty()) names += (names.empty() ? "" : ",") + wishes.other_names;
  if (!names.empty()) add_extension(made, certificate_, NID_subject_alt_name, names);
  std::string usage = wishes.is_client ? "clientAuth" : "serverAuth";
  if (wishes.is_responder) usage = "OCSPSigning";
  add_extension(made, certificate_, NID_ext_key_usage, usage);
  if (!wishes.ocsp_url.empty())
    add_extension(made, certificate_, NID_info_access, "OCSP;URI:" + wishes.ocsp_url);
  if (!wishes.tls_feature.empty())
    add_extension(made, certificate_, NID_tlsfeature, wishes.tls_feature);
  need(X509_sign(made, key_, EVP_sha256()) > 0);
  std::string text = pem_of(made) + pem_of(certificate_);
  X509_free(made);
  return text;
}

CertificatePem CertificateMaker::make(const CertificateWishes& wishes) const {
  EVP_PKEY* key = make_key(wishes.is_rsa);
  CertificatePem made{sign(wishes, key), pem_of(key)};
  EVP_PKEY_free(key);
  return made;
}

std::string CertificateMaker::revocations(const RevocationWishes& wishes) const {
  X509_CRL* list = X509_CRL_new();
  ASN1_TIME* time = ASN1_TIME_new();
  need(list != nullptr && time != nullptr && X509_CRL_set_version(list, 1) == 1 &&
       X509_CRL_set_issuer_name(list, X509_get_subject_name(certificate_)) == 1);
  X509_gmtime_adj(time, wishes.from_s);
  need(X509_CRL_set1_lastUpdate(list, time) == 1);
  X509_gmtime_adj(time, wishes.to_s);
  if (wishes.to_s != 0) need(X509_CRL_set1_nextUpdate(list, time) == 1);
  X509_gmtime_adj(time, 0);
  for (const std::string& pem : wishes.revoked) {
    BIO* in = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    X509* certificate = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
    X509_REVOKED* entry = X509_REVOKED_new();
    need(certificate != nullptr && entry != nullptr &&
         X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(certificate)) == 1 &&
         X509_REVOKED_set_revocationDate(entry, time) == 1);
    if (wishes.entry_extension != 0) {
      X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, wishes.entry_extension,
                                                      wishes.entry_extension_value.c_str());
      need(extension != nullptr && X509_REVOKED_add_ext(entry, extension, -1) == 1);
      X509_EXTENSION_free(extension);
    }
    need(X509_CRL_add0_revoked(list, entry) == 1);
    X509_free(certificate);
    BIO_free(in);
  }
  if (wishes.extension != 0) {
    X509_EXTENSION* extension =
        X509V3_EXT_conf_nid(nullptr, nullptr, wishes.extension, wishes.extension_value.c_str());
    need(extension != nullptr && X509_CRL_add_ext(list, extension, -1) == 1);
    X509_EXTENSION_free(extension);
  }
  need(X509_CRL_sort(list) == 1 && X509_CRL_sign(list, key_, EVP_sha256()) > 0);
  std::string text = pem_of([&](BIO* out) { return PEM_write_bio_X509_CRL(out, list); });
  ASN1_TIME_free(time);
  X509_CRL_free(list);
  return text;
}

CertificatePem CertificateMaker::make_alike(const std::string& name) {
  if (common_ == nullptr) {
    common_ = make_key(false);
    common_pem_ = pem_of(common_);
  }
  return {sign({.names = {name}}, common_), common_pem_};
}

}  // namespace portunus::test
