// Reads certificates and their keys from PEM, and finds out whether a server can use them: nothing that
// is wrong with them is left for the handshake. Many are read quickly: what OpenSSL needs for decoding is
// made once, certificates of authorities that stand in many chains are shared, and those of servers are
// decoded in full when they are first shown (Certificate::leaf). One thread.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "net/certificate.h"

namespace portunus::net {

class CertificateReader {
 public:
  CertificateReader();
  ~CertificateReader();
  CertificateReader(const CertificateReader&) = delete;
  CertificateReader& operator=(const CertificateReader&) = delete;

  // `certificate`: PEM, the server's own first, then its chain. `key`: PEM without a passphrase; may be
  // the same text. The error is for the user and holds nothing of either text.
  [[nodiscard]] std::expected<SharedCertificate, std::string> read(std::string_view certificate,
                                                                   std::string_view key);

 private:
  struct Tools;
  [[nodiscard]] std::string read_chain(std::string_view text, Certificate& out);
  [[nodiscard]] std::string read_key(std::string_view text, Certificate& out);
  [[nodiscard]] bool is_plainly_good(const Certificate& certificate);
  [[nodiscard]] std::string check(const Certificate& certificate);
  std::unique_ptr<Tools> tools_;
};

}  // namespace portunus::net
