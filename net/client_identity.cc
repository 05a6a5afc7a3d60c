#include "net/client_identity.h"

#include <arpa/inet.h>

#include <array>
#include <span>
#include <string_view>

#include "net/openssl_ptr.h"

namespace portunus::net {
namespace {

constexpr std::size_t kTextMax = 4096;
constexpr std::size_t kDerMax = 8192;
constexpr std::string_view kDigits = "0123456789abcdef";

std::string subject_of(X509* certificate) {
  const OpensslPtr<BIO> out(BIO_new(BIO_s_mem()));
  if (out == nullptr ||
      X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) < 0) {
    return {};
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  if (size <= 0 || static_cast<std::size_t>(size) > kTextMax) return {};
  return {data, static_cast<std::size_t>(size)};
}

// Neither comma nor space, so that one name never looks like two.
void put_encoded(std::string_view text, std::string& out) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain =
        byte > 0x20 && byte < 0x7f && c != ',' && c != '%' && c != '"' && c != '\\';
    if (is_plain) {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4U];
      out += kDigits[byte & 15U];
    }
  }
}

std::string_view value_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

void put_name(std::string_view kind, std::string_view text, std::string& out) {
  if (!out.empty()) out += ", ";
  out += kind;
  put_encoded(text, out);
}

void put_ip(std::string_view bytes, std::string& out) {
  if (bytes.size() != 4 && bytes.size() != 16) return;
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
  if (::inet_ntop(family, bytes.data(), text.data(), text.size()) == nullptr) return;
  put_name("IP:", text.data(), out);
}

std::string names_of(X509* certificate) {
  const OpensslPtr<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::string out;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()) && out.size() <= kTextMax; ++i) {
    int kind = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &kind);
    if (kind == GEN_DNS) put_name("DNS:", value_of(static_cast<const ASN1_STRING*>(value)), out);
    if (kind == GEN_URI) put_name("URI:", value_of(static_cast<const ASN1_STRING*>(value)), out);
    if (kind == GEN_EMAIL)
      put_name("email:", value_of(static_cast<const ASN1_STRING*>(value)), out);
    if (kind == GEN_IPADD) put_ip(value_of(static_cast<const ASN1_STRING*>(value)), out);
  }
  return out.size() <= kTextMax ? out : std::string{};
}

std::string fingerprint_of(X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), bytes.data(), &size) != 1) return {};
  std::string out;
  for (const unsigned char byte : std::span(bytes).first(size)) {
    out += kDigits[byte >> 4U];
    out += kDigits[byte & 15U];
  }
  return out;
}

std::string base64_of(X509* certificate) {
  const int size = i2d_X509(certificate, nullptr);
  if (size <= 0 || static_cast<std::size_t>(size) > kDerMax) return {};
  std::array<unsigned char, kDerMax> bytes{};
  unsigned char* end = bytes.data();
  i2d_X509(certificate, &end);
  std::string out(1 + kDerMax * 4 / 3 + 8, ':');
  const int written =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data() + 1), bytes.data(), size);
  out.resize(static_cast<std::size_t>(written) + 1);
  return out += ':';
}

}  // namespace

std::unique_ptr<const ClientIdentity> identity_of(x509_st* certificate) {
  auto out = std::make_unique<ClientIdentity>();
  out->subject = subject_of(certificate);
  out->names = names_of(certificate);
  out->fingerprint = fingerprint_of(certificate);
  out->certificate = base64_of(certificate);
  ERR_clear_error();
  return out;
}

}  // namespace portunus::net
