#include "net/client_identity.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <memory>
#include <string>

#include "tests/support/certificate_maker.h"

namespace portunus::net {
namespace {

std::unique_ptr<const ClientIdentity> identity(const test::CertificateWishes& wishes) {
  static const test::CertificateMaker maker;
  const std::string pem = maker.make(wishes).certificate;
  BIO* in = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
  auto out = identity_of(certificate);
  X509_free(certificate);
  BIO_free(in);
  return out;
}

TEST(ClientIdentity, TextsOfACertificate) {
  const auto client = identity({.names = {"a.example", "10.0.0.1", "2001:db8::1"},
                                .is_client = true,
                                .subject = "alice",
                                .other_names = "URI:spiffe://x/y,email:a@b.example"});
  EXPECT_EQ(client->subject, "CN=alice");
  EXPECT_EQ(client->names,
            "DNS:a.example, IP:10.0.0.1, IP:2001:db8::1, URI:spiffe://x/y, email:a@b.example");
  EXPECT_EQ(client->fingerprint.size(), 64U);
  EXPECT_EQ(client->fingerprint.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_TRUE(client->certificate.starts_with(":MII") && client->certificate.ends_with(":"));
  EXPECT_EQ(client->certificate.find_first_of("\r\n "), std::string::npos);
}

TEST(ClientIdentity, WithoutNames) {
  const auto client = identity({.is_client = true, .subject = "bob"});
  EXPECT_EQ(client->subject, "CN=bob");
  EXPECT_EQ(client->names, "");
}

// Whatever an authority signs: no value looks like two, or ends a line.
TEST(ClientIdentity, HostileTextsStayOneValue) {
  const auto client = identity({.is_client = true,
                                .subject = "eve,CN=root\r\nX: y \"\xc3\xa9",
                                .other_names = "URI:http://e/%20x"});
  EXPECT_EQ(client->subject, "CN=eve\\,CN=root\\0D\\0AX: y \\\"\\C3\\A9");
  EXPECT_EQ(client->names, "URI:http://e/%2520x");
}

TEST(ClientIdentity, WhatIsTooLongIsLeftOutAndNotCut) {
  std::vector<std::string> names;
  for (int i = 0; i < 200; ++i)
    names.push_back(std::string(40, 'a') + std::to_string(i) + ".example");
  const auto client = identity({.names = names, .is_client = true, .subject = "many"});
  EXPECT_EQ(client->subject, "CN=many");
  EXPECT_EQ(client->names, "");
  EXPECT_EQ(client->fingerprint.size(), 64U);
}

}  // namespace
}  // namespace portunus::net
