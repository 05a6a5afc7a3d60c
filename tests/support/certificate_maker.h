// Makes certificates and keys for tests, as PEM texts. Slow enough to be made once per test program
// where it does not matter which; ECDSA P-256 unless said otherwise.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct evp_pkey_st;
struct x509_st;

namespace portunus::test {

struct CertificatePem {
  std::string certificate;  // with its chain
  std::string key;
};

struct CertificateWishes {
  std::vector<std::string> names = {};  // DNS names, or IP addresses
  bool is_rsa = false;
  std::int64_t valid_from_s = -3600;  // from now
  std::int64_t valid_to_s = std::int64_t{30} * 24 * 3600;
  std::string ocsp_url = {};
  bool is_client = false;        // for clients, and for nobody else
  bool is_responder = false;     // may answer for its authority (OCSP), and nothing else
  std::string subject = {};      // its common name, instead of the first of the names
  std::string tls_feature = {};  // as openssl has it: "status_request" (must-staple)
  std::string other_names = {};  // as openssl's subjectAltName has them, besides `names`
};

// A list of revoked certificates (CRL).
struct RevocationWishes {
  std::vector<std::string> revoked = {};  // certificates, PEM
  std::int64_t from_s = -3600;            // from now
  std::int64_t to_s = 24 * 3600;          // 0: it does not say
  int extension = 0;                      // a NID that it has, too, with `extension_value`
  std::string extension_value = {};
  int entry_extension = 0;  // the same of its entries
  std::string entry_extension_value = {};
};

// An authority, and what it signs.
class CertificateMaker {
 public:
  // A root, or one that another one has signed.
  explicit CertificateMaker(const std::string& name = "Test Authority",
                            const CertificateMaker* above = nullptr);
  ~CertificateMaker();
  CertificateMaker(const CertificateMaker&) = delete;
  CertificateMaker& operator=(const CertificateMaker&) = delete;

  // The certificate of the authority itself.
  [[nodiscard]] std::string authority() const;
  // Its key; lives as long as this.
  [[nodiscard]] evp_pkey_st* key() const { return key_; }
  [[nodiscard]] CertificatePem make(const CertificateWishes& wishes) const;
  [[nodiscard]] CertificatePem make_for(const std::string& name) const {
    return make(CertificateWishes{.names = {name}});
  }
  [[nodiscard]] std::string revocations(const RevocationWishes& wishes = {}) const;
  // For many: all have one key.
  [[nodiscard]] CertificatePem make_alike(const std::string& name);

 private:
  [[nodiscard]] std::string sign(const CertificateWishes& wishes, evp_pkey_st* key) const;
  evp_pkey_st* key_;
  x509_st* certificate_;
  evp_pkey_st* common_ = nullptr;
  std::string common_pem_;
};

}  // namespace portunus::test
