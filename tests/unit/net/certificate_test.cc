#include "net/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "net/certificate_reader.h"
#include "tests/support/certificate_maker.h"

namespace portunus::net {
namespace {

using test::CertificateMaker;
using test::CertificatePem;
using testing::ElementsAre;
using testing::HasSubstr;

const CertificateMaker& maker() {
  static const CertificateMaker made;
  return made;
}

TEST(Certificate, SaysWhatItIs) {
  CertificateReader reader;
  const auto pem = maker().make({.names = {"www.Example.org", "*.example.org", "10.0.0.1", "::1"},
                                 .ocsp_url = "http://ocsp.example/"});
  const auto read = reader.read(pem.certificate, pem.key);
  ASSERT_TRUE(read) << read.error();
  const Certificate& certificate = **read;
  EXPECT_THAT(certificate.names(),
              ElementsAre("*.example.org", "10.0.0.1", "::1", "www.example.org"));
  EXPECT_EQ(certificate.kind(), KeyKind::ecdsa);
  EXPECT_EQ(certificate.issuer(), "CN=Test Authority");
  EXPECT_EQ(certificate.subject(), "CN=www.Example.org");
  EXPECT_EQ(certificate.fingerprint().size(), 64U);
  EXPECT_EQ(certificate.ocsp_url(), "http://ocsp.example/");
  EXPECT_EQ(certificate.chain_size(), 1U);
  EXPECT_FALSE(certificate.is_self_signed());
  EXPECT_NEAR(static_cast<double>(certificate.not_after()),
              static_cast<double>(std::time(nullptr) + 30 * 24 * 3600), 60.0);
}

TEST(Certificate, CoversItsNamesAndOneLabelOfAWildcard) {
  CertificateReader reader;
  const auto pem = maker().make({.names = {"a.example", "*.b.example", "10.0.0.1"}});
  const auto certificate = *reader.read(pem.certificate, pem.key);
  EXPECT_TRUE(certificate->covers("a.example"));
  EXPECT_TRUE(certificate->covers("x.b.example"));
  EXPECT_TRUE(certificate->covers("*.b.example"));
  EXPECT_TRUE(certificate->covers("10.0.0.1"));
  EXPECT_FALSE(certificate->covers("b.example"));
  EXPECT_FALSE(certificate->covers("x.y.b.example"));
  EXPECT_FALSE(certificate->covers("x.a.example"));
  EXPECT_FALSE(certificate->covers("*.a.example"));
}

TEST(Certificate, RsaIsToldApart) {
  CertificateReader reader;
  const auto pem = maker().make({.names = {"a.example"}, .is_rsa = true});
  EXPECT_EQ((*reader.read(pem.certificate, pem.key))->kind(), KeyKind::rsa);
}

TEST(Certificate, KeyAndCertificateMayShareAFile) {
  CertificateReader reader;
  const auto pem = maker().make_for("a.example");
  for (const std::string& text : {pem.key + pem.certificate, pem.certificate + pem.key})
    EXPECT_TRUE(reader.read(text, text));
}

TEST(Certificate, AuthoritiesAreReadOnce) {
  CertificateReader reader;
  const auto one = maker().make_for("a.example");
  const auto other = maker().make_for("b.example");
  const auto first = reader.read(one.certificate, one.key);
  const auto second = reader.read(other.certificate, other.key);
  ASSERT_TRUE(first && second);
  EXPECT_NE((*first)->leaf(), (*second)->leaf());
  EXPECT_EQ((*second)->chain_size(), 1U);
}

TEST(Certificate, WhatIsWrongIsSaid) {
  CertificateReader reader;
  const auto one = maker().make_for("a.example");
  const auto other = maker().make_for("b.example");
  const auto error = [&](const std::string& certificate, const std::string& key) {
    const auto read = reader.read(certificate, key);
    return read ? "" : read.error();
  };
  EXPECT_THAT(error(one.certificate, other.key), HasSubstr("belongs to another certificate"));
  EXPECT_THAT(error(maker().authority() + one.certificate, one.key),
              HasSubstr("not the first of the file"));
  EXPECT_THAT(error("", one.key), HasSubstr("holds no certificate"));
  EXPECT_THAT(error(one.key, one.key), HasSubstr("holds no certificate"));
  EXPECT_THAT(error(one.certificate, one.certificate), HasSubstr("holds no key"));
  EXPECT_THAT(error(one.certificate, ""), HasSubstr("holds no key"));
  // As a writer has left it that is not done yet.
  EXPECT_THAT(error(one.certificate.substr(0, 200), one.key), HasSubstr("PEM text is broken"));
  EXPECT_THAT(error(one.certificate, one.key.substr(0, 100)), HasSubstr("PEM text of the key"));
  std::string bent = one.certificate;
  bent[200] = bent[200] == 'A' ? 'B' : 'A';
  EXPECT_NE(error(bent, one.key), "");
  EXPECT_THAT(
      error(one.certificate,
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
      HasSubstr("has a passphrase"));
  // And the reader is as good as before.
  EXPECT_TRUE(reader.read(one.certificate, one.key));
}

TEST(Certificate, NoErrorShowsTheKey) {
  CertificateReader reader;
  const auto one = maker().make_for("a.example");
  const auto other = maker().make_for("b.example");
  const std::string secret = one.key.substr(40, 20);
  for (const std::string& key : {one.key, one.key.substr(0, 100), one.key + "x", "x" + one.key}) {
    const auto read = reader.read(other.certificate, key);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().find(secret), std::string::npos);
  }
}

}  // namespace
}  // namespace portunus::net
