#include "net/ocsp.h"

#include <openssl/http.h>
#include <openssl/ocsp.h>

#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "net/bare_certificate.h"
#include "net/openssl_ptr.h"

namespace portunus::net {
namespace {

// Of the longest serial number (RFC 5280 section 4.1.2.2) it has not even half of this.
constexpr std::size_t kOcspRequestMax = 255;
constexpr std::size_t kOcspPathMax = 1024;
constexpr std::int64_t kOcspRefreshMin = 10;
constexpr std::int64_t kOcspRefreshMax = std::int64_t{4} * 24 * 3600;

struct OcspDeleter {
  void operator()(AUTHORITY_KEYID* it) const { AUTHORITY_KEYID_free(it); }
  void operator()(OCSP_CERTID* it) const { OCSP_CERTID_free(it); }
  void operator()(OCSP_REQUEST* it) const { OCSP_REQUEST_free(it); }
  void operator()(OCSP_RESPONSE* it) const { OCSP_RESPONSE_free(it); }
  void operator()(OCSP_BASICRESP* it) const { OCSP_BASICRESP_free(it); }
  void operator()(X509_STORE* it) const { X509_STORE_free(it); }
  void operator()(char* it) const { OPENSSL_free(it); }
  void operator()(STACK_OF(OPENSSL_STRING) * it) const { X509_email_free(it); }
  void operator()(TLS_FEATURE* it) const { TLS_FEATURE_free(it); }
};
template <typename T>
using OcspPtr = std::unique_ptr<T, OcspDeleter>;

// By its name, and by its key where the leaf says which. That it may sign is seen by its signature of
// the answer.
bool is_issuer(const X509* other, const X509* leaf) {
  if (X509_NAME_cmp(X509_get_subject_name(other), X509_get_issuer_name(leaf)) != 0) return false;
  const OcspPtr<AUTHORITY_KEYID> wanted(static_cast<AUTHORITY_KEYID*>(
      X509_get_ext_d2i(leaf, NID_authority_key_identifier, nullptr, nullptr)));
  return wanted == nullptr || X509_check_akid(other, wanted.get()) == X509_V_OK;
}

// In its chain; null when it is not there.
X509* issuer_of(const Certificate& certificate, const X509* leaf) {
  if (leaf == nullptr) return nullptr;
  for (std::size_t i = 0; i < certificate.chain_size(); ++i) {
    X509* const each = sk_X509_value(certificate.chain(), static_cast<int>(i));
    // Has it look for the key's name, which X509_check_akid() takes as it finds it.
    static_cast<void>(X509_get0_subject_key_id(each));
    if (is_issuer(each, leaf)) return each;
  }
  return nullptr;
}

bool is_host(std::string_view text) {
  return !text.empty() && text.size() <= 255 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == ':' || c == '_';
  });
}

bool is_path(std::string_view text) {
  return text.starts_with('/') && text.size() <= kOcspPathMax &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7F; });
}

std::expected<OcspRequest, std::string> read_url(const std::string& url) {
  int is_tls = 0;
  int port = 0;
  char* host = nullptr;
  char* path = nullptr;
  char* query = nullptr;
  ERR_clear_error();
  const int is_read = OSSL_HTTP_parse_url(url.c_str(), &is_tls, nullptr, &host, nullptr, &port,
                                          &path, &query, nullptr);
  ERR_clear_error();
  const OcspPtr<char> host_held(host);
  const OcspPtr<char> path_held(path);
  const OcspPtr<char> query_held(query);
  if (is_read != 1) return std::unexpected("the responder's URL cannot be read");
  const bool has_query = query != nullptr && *query != '\0';
  std::string_view name = host;
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  if (is_tls != 0 || has_query || port <= 0 || port > std::numeric_limits<std::uint16_t>::max() ||
      !is_host(name) || !is_path(path)) {
    return std::unexpected("the responder's URL is not one of plain HTTP");
  }
  return OcspRequest{url, std::string(name), static_cast<std::uint16_t>(port), path};
}

// SHA-1 is what RFC 5019 section 2.1.1 has, and all responders know: no secret hangs on it.
OcspPtr<OCSP_CERTID> id_of(const X509* leaf,
                           const X509* issuer,
                           const EVP_MD* digest = EVP_sha1()) {
  return OcspPtr<OCSP_CERTID>(OCSP_cert_to_id(digest, leaf, issuer));
}

// Base64, percent-encoded (RFC 6960 appendix A.1); empty when memory is out.
std::string request_text(const X509* leaf, const X509* issuer) {
  OcspPtr<OCSP_CERTID> id = id_of(leaf, issuer);
  const OcspPtr<OCSP_REQUEST> request(OCSP_REQUEST_new());
  if (!id || !request || OCSP_request_add0_id(request.get(), id.get()) == nullptr) return {};
  static_cast<void>(id.release());  // NOLINT(bugprone-unused-return-value): the request's now
  std::array<unsigned char, kOcspRequestMax> bytes{};
  const int size = i2d_OCSP_REQUEST(request.get(), nullptr);
  if (size <= 0 || static_cast<std::size_t>(size) > bytes.size()) return {};
  unsigned char* at = bytes.data();
  i2d_OCSP_REQUEST(request.get(), &at);
  std::array<unsigned char, kOcspRequestMax / 3 * 4 + 5> base64{};
  const int length = EVP_EncodeBlock(base64.data(), bytes.data(), size);
  std::string text;
  for (const unsigned char c : std::span(base64).first(static_cast<std::size_t>(length))) {
    if (c == '+') {
      text += "%2B";
    } else if (c == '/') {
      text += "%2F";
    } else if (c == '=') {
      text += "%3D";
    } else {
      text += static_cast<char>(c);
    }
  }
  return text;
}

// That an answer may carry: who has signed it, and whoever vouches for that.
constexpr int kSignersMax = 3;

// By the issuer, or by whom the issuer has made a responder (RFC 6960 section 4.2.2.2).
bool is_signed(OCSP_BASICRESP* answer, X509* issuer, std::int64_t now) {
  const OcspPtr<X509_STORE> store(X509_STORE_new());
  const OpensslPtr<STACK_OF(X509)> known(sk_X509_new_null());
  if (!store || !known || X509_STORE_add_cert(store.get(), issuer) != 1 ||
      sk_X509_push(known.get(), issuer) == 0) {
    return false;
  }
  X509_up_ref(issuer);
  // The issuer is trusted as it stands, be it a root or not.
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(store.get()), now);
  return OCSP_basic_verify(answer, known.get(), store.get(), OCSP_NOEXPLICIT) == 1;
}

std::expected<OcspAnswer, std::string> judge(const Certificate& certificate,
                                             OCSP_BASICRESP* answer,
                                             std::int64_t now) {
  const OpensslPtr<X509> leaf = read_bare_certificate(certificate.bytes());
  X509* const issuer = issuer_of(certificate, leaf.get());
  if (issuer == nullptr) return std::unexpected("the issuer's certificate is not in the file");
  // They are not signed, and would go into every handshake.
  if (sk_X509_num(OCSP_resp_get0_certs(answer)) > kSignersMax)
    return std::unexpected("the answer carries too many certificates");
  if (!is_signed(answer, issuer, now))
    return std::unexpected("the answer is not signed by the issuer, nor for it");
  int status = V_OCSP_CERTSTATUS_UNKNOWN;
  ASN1_GENERALIZEDTIME* from = nullptr;
  ASN1_GENERALIZEDTIME* until = nullptr;
  // Whoever makes answers beforehand may have done so with the ids of RFC 9654 alone.
  const auto is_about = [&](const EVP_MD* digest) {
    const OcspPtr<OCSP_CERTID> id = id_of(leaf.get(), issuer, digest);
    return id &&
           OCSP_resp_find_status(answer, id.get(), &status, nullptr, nullptr, &from, &until) == 1;
  };
  if (!is_about(EVP_sha1()) && !is_about(EVP_sha256()))
    return std::unexpected("the answer is about another certificate");
  OcspAnswer out;
  out.staple.this_update = seconds_of(from);
  out.staple.next_update = seconds_of(until);
  if (until == nullptr) return std::unexpected("the answer does not say how long it is good");
  if (out.staple.this_update > now + kOcspClockSkew)
    return std::unexpected("the answer is of the future");
  if (out.staple.next_update <= now || out.staple.next_update < out.staple.this_update)
    return std::unexpected("the answer is not good any more");
  if (status == V_OCSP_CERTSTATUS_UNKNOWN)
    return std::unexpected("the responder does not know the certificate");
  out.is_revoked = status != V_OCSP_CERTSTATUS_GOOD;
  return out;
}

}  // namespace

std::string OcspRequest::authority() const {
  const std::string name = host.contains(':') ? "[" + host + "]" : host;
  return port == 80 ? name : name + ":" + std::to_string(port);
}

std::expected<std::vector<OcspRequest>, std::string> make_ocsp_requests(
    const Certificate& certificate) {
  const OpensslPtr<X509> leaf = read_bare_certificate(certificate.bytes());
  const X509* const issuer = issuer_of(certificate, leaf.get());
  if (issuer == nullptr) return std::unexpected("the issuer's certificate is not in the file");
  const std::string text = request_text(leaf.get(), issuer);
  const OcspPtr<STACK_OF(OPENSSL_STRING)> urls(X509_get1_ocsp(leaf.get()));
  ERR_clear_error();
  if (text.empty()) return std::unexpected("no request can be made for this certificate");
  std::vector<OcspRequest> out;
  std::string why = "the responder's URL cannot be read";
  const int count = urls ? sk_OPENSSL_STRING_num(urls.get()) : 0;
  for (int i = 0; i < count && out.size() < kOcspRespondersMax; ++i) {
    auto request = read_url(sk_OPENSSL_STRING_value(urls.get(), i));
    if (!request) {
      why = std::move(request.error());
      continue;
    }
    if (std::ranges::find(out, request->url, &OcspRequest::url) != out.end()) continue;
    if (!request->target.ends_with('/')) request->target += '/';
    request->target += text;
    out.push_back(*std::move(request));
  }
  if (out.empty()) return std::unexpected(std::move(why));
  return out;
}

bool needs_staple(const Certificate& certificate) {
  const OpensslPtr<X509> leaf = read_bare_certificate(certificate.bytes());
  if (leaf == nullptr) return false;
  const OcspPtr<TLS_FEATURE> features(
      static_cast<TLS_FEATURE*>(X509_get_ext_d2i(leaf.get(), NID_tlsfeature, nullptr, nullptr)));
  ERR_clear_error();
  const int count = features ? sk_ASN1_INTEGER_num(features.get()) : 0;
  for (int i = 0; i < count; ++i) {
    if (ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features.get(), i)) == TLSEXT_TYPE_status_request)
      return true;
  }
  return false;
}

std::expected<OcspAnswer, std::string> read_ocsp_answer(const Certificate& certificate,
                                                        std::string_view bytes,
                                                        std::int64_t now) {
  if (bytes.empty() || bytes.size() > kOcspAnswerMax)
    return std::unexpected("the answer is empty or too large");
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  const unsigned char* const end = at + bytes.size();
  ERR_clear_error();
  const OcspPtr<OCSP_RESPONSE> response(
      d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(bytes.size())));
  std::expected<OcspAnswer, std::string> out = std::unexpected("the answer is not one of OCSP");
  if (response && at == end) {
    const int status = OCSP_response_status(response.get());
    const OcspPtr<OCSP_BASICRESP> basic(OCSP_response_get1_basic(response.get()));
    if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
      out = std::unexpected(std::string("the responder says: ") + OCSP_response_status_str(status));
    } else if (basic) {
      out = judge(certificate, basic.get(), now);
    }
  }
  ERR_clear_error();
  if (out) out->staple.bytes = bytes;
  return out;
}

std::int64_t ocsp_refresh_after(const OcspStaple& staple, std::int64_t now, double chance) {
  const std::int64_t half = (staple.next_update - staple.this_update) / 2;
  const std::int64_t until_half = staple.this_update + half - now;
  const std::int64_t wanted = until_half > 0 ? until_half : (staple.next_update - now) / 2;
  const auto earlier = static_cast<std::int64_t>(static_cast<double>(wanted) * chance / 5);
  return std::clamp(wanted - earlier, kOcspRefreshMin, kOcspRefreshMax);
}

}  // namespace portunus::net
