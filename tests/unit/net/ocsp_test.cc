#include "net/ocsp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>

#include <ctime>
#include <memory>
#include <optional>
#include <string>

#include "net/certificate_reader.h"
#include "net/openssl_ptr.h"
#include "tests/support/certificate_maker.h"

namespace portunus::net {
namespace {

using test::CertificateMaker;
using test::CertificatePem;
using testing::HasSubstr;

constexpr std::int64_t kHour = 3600;

OpensslPtr<X509> first_of_pem(const std::string& pem) {
  const OpensslPtr<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return OpensslPtr<X509>(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
}

OpensslPtr<EVP_PKEY> key_of_pem(const std::string& pem) {
  const OpensslPtr<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return OpensslPtr<EVP_PKEY>(PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr));
}

// A responder's answer, with what may be wrong about it.
struct Wishes {
  int status = V_OCSP_CERTSTATUS_GOOD;
  std::int64_t from = -kHour;  // from now
  std::optional<std::int64_t> until = kHour;
  const X509* about = nullptr;  // instead of the certificate
  X509* signer = nullptr;       // instead of the issuer, and with its own certificate
  EVP_PKEY* key = nullptr;
  const EVP_MD* digest = EVP_sha1();  // of the id
};

class OcspTest : public testing::Test {
 protected:
  static SharedCertificate make(const std::string& url, bool has_chain = true) {
    const CertificatePem pem = maker().make({.names = {"a.example"}, .ocsp_url = url});
    CertificateReader reader;
    const std::size_t end = pem.certificate.find("-----END CERTIFICATE-----\n") + 26;
    const auto read =
        reader.read(has_chain ? pem.certificate : pem.certificate.substr(0, end), pem.key);
    EXPECT_TRUE(read) << read.error();
    return *read;
  }
  static const CertificateMaker& maker() {
    static const CertificateMaker made;
    return made;
  }
  [[nodiscard]] std::string answer(const Wishes& wishes = {}) const {
    OCSP_BASICRESP* const basic = OCSP_BASICRESP_new();
    const X509* const about = wishes.about == nullptr ? certificate_->leaf() : wishes.about;
    OCSP_CERTID* const id = OCSP_cert_to_id(wishes.digest, about, issuer_.get());
    ASN1_TIME* const from = ASN1_GENERALIZEDTIME_adj(nullptr, now_, 0, wishes.from);
    ASN1_TIME* const until =
        wishes.until ? ASN1_GENERALIZEDTIME_adj(nullptr, now_, 0, *wishes.until) : nullptr;
    const bool is_revoked = wishes.status == V_OCSP_CERTSTATUS_REVOKED;
    EXPECT_NE(OCSP_basic_add1_status(basic, id, wishes.status, 0, is_revoked ? from : nullptr, from,
                                     until),
              nullptr);
    EXPECT_EQ(OCSP_basic_sign(basic, wishes.signer == nullptr ? issuer_.get() : wishes.signer,
                              wishes.key == nullptr ? maker().key() : wishes.key, EVP_sha256(),
                              nullptr, wishes.signer == nullptr ? OCSP_NOCERTS : 0),
              1);
    OCSP_RESPONSE* const response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char* bytes = nullptr;
    const int size = i2d_OCSP_RESPONSE(response, &bytes);
    std::string out(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
    OPENSSL_free(bytes);
    OCSP_RESPONSE_free(response);
    ASN1_TIME_free(until);
    ASN1_TIME_free(from);
    OCSP_CERTID_free(id);
    OCSP_BASICRESP_free(basic);
    return out;
  }
  [[nodiscard]] auto read(std::string_view bytes) const {
    return read_ocsp_answer(*certificate_, bytes, now_);
  }
  static std::expected<OcspRequest, std::string> first_request(const Certificate& certificate) {
    auto all = make_ocsp_requests(certificate);
    if (!all) return std::unexpected(all.error());
    EXPECT_EQ(all->size(), 1U);
    return all->front();
  }
  // Why it is refused; empty: it is not.
  [[nodiscard]] std::string refusal(std::string_view bytes) const {
    const auto result = read(bytes);
    return result ? "" : result.error();
  }
  // As if `pem` had answered.
  [[nodiscard]] std::string answer_by(const CertificatePem& pem) const {
    const OpensslPtr<X509> signer = first_of_pem(pem.certificate);
    const OpensslPtr<EVP_PKEY> key = key_of_pem(pem.key);
    return answer({.signer = signer.get(), .key = key.get()});
  }

  const std::int64_t now_ = std::time(nullptr);
  const SharedCertificate certificate_ = make("http://ocsp.example/");
  const OpensslPtr<X509> issuer_ = first_of_pem(maker().authority());
};

TEST_F(OcspTest, AGoodAnswerIsStapledAsItCame) {
  const std::string bytes = answer();
  const auto result = read(bytes);
  ASSERT_TRUE(result) << result.error();
  EXPECT_FALSE(result->is_revoked);
  EXPECT_EQ(result->staple.bytes, bytes);
  EXPECT_EQ(result->staple.this_update, now_ - kHour);
  EXPECT_EQ(result->staple.next_update, now_ + kHour);
}

TEST_F(OcspTest, TheIdMayBeOfSha256) {
  const auto good = read(answer({.digest = EVP_sha256()}));
  ASSERT_TRUE(good) << good.error();
  EXPECT_FALSE(good->is_revoked);
  const auto revoked = read(answer({.status = V_OCSP_CERTSTATUS_REVOKED, .digest = EVP_sha256()}));
  ASSERT_TRUE(revoked) << revoked.error();
  EXPECT_TRUE(revoked->is_revoked);
  const auto other = make("http://ocsp.example/");
  EXPECT_THAT(refusal(answer({.about = other->leaf(), .digest = EVP_sha256()})),
              HasSubstr("another certificate"));
}

TEST_F(OcspTest, RevokedIsToldApart) {
  const auto result = read(answer({.status = V_OCSP_CERTSTATUS_REVOKED}));
  ASSERT_TRUE(result) << result.error();
  EXPECT_TRUE(result->is_revoked);
}

TEST_F(OcspTest, WhatSaysNothingIsRefused) {
  EXPECT_THAT(refusal(answer({.status = V_OCSP_CERTSTATUS_UNKNOWN})), HasSubstr("does not know"));
  const SharedCertificate other = make("http://ocsp.example/");
  EXPECT_THAT(refusal(answer({.about = other->leaf()})), HasSubstr("another certificate"));
  OCSP_RESPONSE* const later = OCSP_response_create(OCSP_RESPONSE_STATUS_TRYLATER, nullptr);
  unsigned char* bytes = nullptr;
  const int size = i2d_OCSP_RESPONSE(later, &bytes);
  EXPECT_THAT(refusal({reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)}),
              HasSubstr("trylater"));
  OPENSSL_free(bytes);
  OCSP_RESPONSE_free(later);
}

TEST_F(OcspTest, TimesCount) {
  EXPECT_EQ(refusal(answer({.from = kOcspClockSkew - 10})), "") << "their clock may be ahead";
  EXPECT_THAT(refusal(answer({.from = kOcspClockSkew + 10})), HasSubstr("of the future"));
  EXPECT_THAT(refusal(answer({.until = 0})), HasSubstr("not good any more"));
  EXPECT_THAT(refusal(answer({.from = 200, .until = 100})), HasSubstr("not good any more"));
  EXPECT_THAT(refusal(answer({.until = std::nullopt})), HasSubstr("how long"));
}

TEST_F(OcspTest, WhoMayAnswer) {
  constexpr const char* kStranger = "not signed by the issuer";
  const CertificateMaker stranger;  // of the same name
  const OpensslPtr<X509> namesake = first_of_pem(stranger.authority());
  EXPECT_THAT(refusal(answer({.signer = namesake.get(), .key = stranger.key()})),
              HasSubstr(kStranger));
  EXPECT_EQ(refusal(answer_by(maker().make({.names = {"r.example"}, .is_responder = true}))), "");
  EXPECT_THAT(refusal(answer_by(stranger.make({.names = {"r.example"}, .is_responder = true}))),
              HasSubstr(kStranger));
  EXPECT_THAT(refusal(answer_by(maker().make_for("server.example"))), HasSubstr(kStranger));
  EXPECT_THAT(refusal(answer_by(
                  maker().make({.names = {"r.example"}, .valid_to_s = -10, .is_responder = true}))),
              HasSubstr(kStranger));
}

// One bit of any byte, all lengths, and more than there was.
TEST_F(OcspTest, WhatIsNotWholeIsRefused) {
  const std::string bytes = answer();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ (1 << (i % 8)));
    EXPECT_NE(refusal(changed), "") << "byte " << i;
    EXPECT_NE(refusal(std::string_view(bytes).substr(0, i)), "") << i << " bytes";
  }
  EXPECT_NE(refusal(bytes + '\0'), "");
  EXPECT_NE(refusal(std::string(kOcspAnswerMax + 1, '0')), "");
  EXPECT_NE(refusal("<html>"), "");
}

TEST_F(OcspTest, TheRequestIsAGet) {
  const auto request = first_request(*certificate_);
  ASSERT_TRUE(request) << request.error();
  EXPECT_EQ(request->authority(), "ocsp.example");
  ASSERT_TRUE(request->target.starts_with("/"));
  std::string base64;
  for (std::size_t i = 1; i < request->target.size(); ++i) {
    const char c = request->target[i];
    base64 +=
        c == '%' ? static_cast<char>(std::stoi(request->target.substr(i + 1, 2), nullptr, 16)) : c;
    if (c == '%') i += 2;
  }
  std::string bytes(base64.size(), '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                   reinterpret_cast<const unsigned char*>(base64.data()),
                                   static_cast<int>(base64.size()));
  ASSERT_GT(size, 0);
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  OCSP_REQUEST* const asked = d2i_OCSP_REQUEST(nullptr, &at, size);
  ASSERT_NE(asked, nullptr);
  OCSP_CERTID* const wanted = OCSP_cert_to_id(EVP_sha1(), certificate_->leaf(), issuer_.get());
  EXPECT_EQ(OCSP_id_cmp(OCSP_onereq_get0_id(OCSP_request_onereq_get0(asked, 0)), wanted), 0);
  OCSP_CERTID_free(wanted);
  OCSP_REQUEST_free(asked);
}

TEST_F(OcspTest, RespondersAreOfPlainHttp) {
  const auto request = first_request(*make("http://[::1]:8080/ca/1"));
  ASSERT_TRUE(request) << request.error();
  EXPECT_EQ(request->host, "::1");
  EXPECT_EQ(request->port, 8080);
  EXPECT_EQ(request->authority(), "[::1]:8080");
  EXPECT_TRUE(request->target.starts_with("/ca/1/"));
  for (const char* url : {"https://ocsp.example/", "ftp://ocsp.example/", "http://a b.example/",
                          "http://ocsp.example/a b", "http://ocsp.example/?q=1", "http://"}) {
    EXPECT_FALSE(first_request(*make(url))) << url;
  }
  const auto alone = first_request(*make("http://ocsp.example/", false));
  ASSERT_FALSE(alone);
  EXPECT_THAT(alone.error(), HasSubstr("issuer"));
}

// The certificate's order; what cannot be asked, comes twice or is too much is left out.
TEST_F(OcspTest, AllRespondersAreAsked) {
  const auto two = make_ocsp_requests(
      *make("http://one.example/,OCSP;URI:https://secret.example/,OCSP;URI:http://two.example/ca,"
            "OCSP;URI:http://one.example/"));
  ASSERT_TRUE(two) << two.error();
  ASSERT_EQ(two->size(), 2U);
  EXPECT_EQ(two->at(0).url, "http://one.example/");
  EXPECT_EQ(two->at(0).host, "one.example");
  EXPECT_EQ(two->at(1).url, "http://two.example/ca");
  EXPECT_TRUE(two->at(1).target.starts_with("/ca/"));
  std::string many = "http://n0.example/";
  for (int i = 1; i < 9; ++i)
    many += ",OCSP;URI:http://n" + std::to_string(i) + ".example/";
  EXPECT_EQ(make_ocsp_requests(*make(many))->size(), kOcspRespondersMax);
}

TEST_F(OcspTest, MustStapleIsSeen) {
  EXPECT_FALSE(needs_staple(*certificate_));
  const CertificatePem pem =
      maker().make({.names = {"a.example"}, .tls_feature = "status_request"});
  EXPECT_TRUE(needs_staple(**CertificateReader().read(pem.certificate, pem.key)));
  const CertificatePem other =
      maker().make({.names = {"a.example"}, .tls_feature = "status_request_v2"});
  EXPECT_FALSE(needs_staple(**CertificateReader().read(other.certificate, other.key)));
}

TEST(OcspRefresh, ComesAtHalfOfTheTimeAndNeverAtOnce) {
  const OcspStaple day{"", 0, 24 * kHour};
  EXPECT_EQ(ocsp_refresh_after(day, 0, 0), 12 * kHour);
  EXPECT_EQ(ocsp_refresh_after(day, 2 * kHour, 0), 10 * kHour);
  EXPECT_EQ(ocsp_refresh_after(day, 20 * kHour, 0), 2 * kHour);
  EXPECT_EQ(ocsp_refresh_after(day, 2 * kHour, 1), 8 * kHour);
  EXPECT_GE(ocsp_refresh_after(day, 24 * kHour - 1, 1), 10);
  EXPECT_EQ(ocsp_refresh_after({"", 0, 1'000'000 * kHour}, 0, 0), 96 * kHour);
}

}  // namespace
}  // namespace portunus::net
