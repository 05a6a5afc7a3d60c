#include "net/certificate_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <barrier>
#include <thread>
#include <vector>

#include "net/openssl_ptr.h"
#include "tests/support/certificate_maker.h"

namespace portunus::net {
namespace {

using test::CertificateMaker;
using test::CertificatePem;
using testing::Each;
using testing::HasSubstr;

const CertificateMaker& reader_maker() {
  static const CertificateMaker made;
  return made;
}

std::string pem_of(const auto& write) {
  const OpensslPtr<BIO> out(BIO_new(BIO_s_mem()));
  EXPECT_EQ(write(out.get()), 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

// Signed by the authority, whose certificate follows it.
CertificatePem make_with(EVP_PKEY* key, const EVP_MD* digest) {
  const OpensslPtr<X509> made(X509_new());
  X509_set_version(made.get(), X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
  X509_set_pubkey(made.get(), key);
  const std::string issuer = "Test Authority";
  X509_NAME_add_entry_by_NID(X509_get_issuer_name(made.get()), NID_commonName, MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(issuer.data()),
                             static_cast<int>(issuer.size()), -1, 0);
  EXPECT_GT(X509_sign(made.get(), reader_maker().key(), digest), 0);
  CertificatePem out;
  out.certificate = pem_of([&](BIO* to) { return PEM_write_bio_X509(to, made.get()); });
  out.certificate += reader_maker().authority();
  out.key = pem_of([&](BIO* to) {
    return PEM_write_bio_PrivateKey(to, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
  return out;
}

std::string error_of(CertificateReader& reader,
                     const std::string& certificate,
                     const std::string& key) {
  const auto read = reader.read(certificate, key);
  return read ? "" : read.error();
}

// What OpenSSL has said of the first one's chain is not asked again for the second.
TEST(CertificateReader, TheSecondOfAnAuthorityIsHeldToTheSameRules) {
  CertificateReader reader;
  const OpensslPtr<EVP_PKEY> ec(EVP_EC_gen("P-256"));
  const OpensslPtr<EVP_PKEY> weak(EVP_RSA_gen(1024));
  const auto known = reader_maker().make_for("a.example");
  ASSERT_EQ(error_of(reader, known.certificate, known.key), "");
  for (const bool is_rsa : {false, true}) {
    const auto one = reader_maker().make({.names = {"b.example"}, .is_rsa = is_rsa});
    const auto other = reader_maker().make({.names = {"c.example"}, .is_rsa = is_rsa});
    EXPECT_EQ(error_of(reader, one.certificate, one.key), "");
    EXPECT_THAT(error_of(reader, one.certificate, other.key),
                HasSubstr("belongs to another certificate"));
    EXPECT_THAT(error_of(reader, one.certificate, known.key),
                HasSubstr("belongs to another certificate"));
  }
  const auto good = make_with(ec.get(), EVP_sha256());
  EXPECT_EQ(error_of(reader, good.certificate, good.key), "");
  const auto sha1 = make_with(ec.get(), EVP_sha1());
  EXPECT_THAT(error_of(reader, sha1.certificate, sha1.key), HasSubstr("not usable"));
  const auto small = make_with(weak.get(), EVP_sha256());
  EXPECT_THAT(error_of(reader, small.certificate, small.key), HasSubstr("not usable"));
}

// They are no one's who may come: each handshake would fail.
TEST(CertificateReader, CurvesThatNoClientTakes) {
  CertificateReader reader;
  for (const char* curve : {"P-224", "secp256k1", "brainpoolP256r1"}) {
    const OpensslPtr<EVP_PKEY> key(EVP_EC_gen(curve));
    const auto made = make_with(key.get(), EVP_sha256());
    EXPECT_THAT(error_of(reader, made.certificate, made.key), HasSubstr("no client takes"))
        << curve;
  }
  for (const char* curve : {"P-256", "P-384", "P-521"}) {
    const OpensslPtr<EVP_PKEY> key(EVP_EC_gen(curve));
    const auto made = make_with(key.get(), EVP_sha512());
    EXPECT_EQ(error_of(reader, made.certificate, made.key), "") << curve;
  }
}

TEST(CertificateReader, EdwardsKeysAreTakenToo) {
  CertificateReader reader;
  const OpensslPtr<EVP_PKEY> key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  for (int i = 0; i < 2; ++i) {
    const auto made = make_with(key.get(), EVP_sha256());
    const auto read = reader.read(made.certificate, made.key);
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ((*read)->kind(), KeyKind::other);
  }
}

// The first handshakes of several threads may come at once.
TEST(CertificateReader, AllThreadsGetTheSameLeaf) {
  CertificateReader reader;
  const auto first = reader_maker().make_for("a.example");
  ASSERT_TRUE(reader.read(first.certificate, first.key));
  const auto pem = reader_maker().make_for("b.example");
  const SharedCertificate certificate = *reader.read(pem.certificate, pem.key);
  constexpr std::size_t kThreads = 4;
  std::barrier begin(kThreads);
  std::vector<X509*> seen(kThreads);
  std::vector<std::thread> threads;
  for (X509*& each : seen) {
    threads.emplace_back([&] {
      begin.arrive_and_wait();
      each = certificate->leaf();
    });
  }
  for (std::thread& each : threads)
    each.join();
  ASSERT_NE(seen.front(), nullptr);
  EXPECT_THAT(seen, Each(seen.front()));
  EXPECT_NE(X509_get0_pubkey(seen.front()), nullptr);
}

}  // namespace
}  // namespace portunus::net
