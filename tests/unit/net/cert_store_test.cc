#include "net/cert_store.h"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

#include "net/certificate_reader.h"
#include "tests/support/certificate_maker.h"

namespace portunus::net {
namespace {

using test::CertificateMaker;

class CertStoreTest : public testing::Test {
 protected:
  SharedCertificate make(const test::CertificateWishes& wishes) {
    static const CertificateMaker maker;
    const auto pem = maker.make(wishes);
    auto read = reader_.read(pem.certificate, pem.key);
    EXPECT_TRUE(read) << read.error();
    return *read;
  }
  static const SharedCertificate& first(const CertStore& store, std::string_view host) {
    return store.certificates(store.find(host)).front();
  }
  CertificateReader reader_;
};

TEST_F(CertStoreTest, ExactNamesComeBeforeWildcards) {
  const auto star = make({.names = {"*.example.org"}});
  const auto exact = make({.names = {"www.example.org"}});
  CertStoreBuilder builder;
  builder.add(star);
  builder.add(exact);
  const auto store = builder.build();
  EXPECT_EQ(first(*store, "www.example.org"), exact);
  EXPECT_EQ(first(*store, "WWW.Example.ORG."), exact);
  EXPECT_EQ(first(*store, "other.example.org"), star);
  EXPECT_EQ(store->find("a.b.example.org"), CertStore::kNone);
  EXPECT_EQ(store->find("example.org"), CertStore::kNone);
  EXPECT_EQ(store->find(".example.org"), CertStore::kNone);
  EXPECT_EQ(store->find("*.example.org"), store->find("x.example.org"));
  EXPECT_EQ(store->find(""), CertStore::kNone);
  EXPECT_EQ(store->find("."), CertStore::kNone);
  EXPECT_EQ(store->find(std::string(300, 'a')), CertStore::kNone);
}

TEST_F(CertStoreTest, EverybodyElseGetsTheDefault) {
  const auto one = make({.names = {"a.example"}});
  const auto other = make({.names = {"b.example"}});
  CertStoreBuilder builder;
  builder.add(one);
  builder.set_default(std::span(&other, 1));
  const auto store = builder.build();
  EXPECT_EQ(store->find("c.example"), CertStore::kNone);
  EXPECT_EQ(store->find_or_default("c.example"), store->default_set());
  EXPECT_EQ(store->certificates(store->default_set()).front(), other);
  EXPECT_EQ(first(*store, "a.example"), one);
}

TEST_F(CertStoreTest, KindsStandSideBySideAndTheLaterOneWins) {
  const auto ecdsa = make({.names = {"a.example"}});
  const auto rsa = make({.names = {"a.example"}, .is_rsa = true});
  const auto longer = make({.names = {"a.example"}, .valid_to_s = std::int64_t{60} * 86400});
  CertStoreBuilder builder;
  builder.add(longer);
  builder.add(rsa);
  builder.add(ecdsa);
  const auto store = builder.build();
  const auto set = store->certificates(store->find("a.example"));
  ASSERT_EQ(set.size(), 2U);
  EXPECT_EQ(set[0], longer);
  EXPECT_EQ(set[1], rsa);
}

// As each file has it; and whoever has come for one host may ask for the other.
TEST_F(CertStoreTest, OneCertificateMayHaveSeveralChains) {
  const CertificateMaker maker;
  const auto pem = maker.make({.names = {"a.example", "b.example"}});
  const CertificateMaker other("Another way up");
  const auto one = reader_.read(pem.certificate, pem.key).value();
  const auto longer = reader_.read(pem.certificate + other.authority(), pem.key).value();
  ASSERT_EQ(one->fingerprint(), longer->fingerprint());
  ASSERT_NE(one->chain_size(), longer->chain_size());
  const auto rest = make({.names = {"rest.example"}});
  CertStoreBuilder builder;
  builder.replace("a.example", std::span(&one, 1));
  builder.replace("b.example", std::span(&longer, 1));
  builder.replace("c.example", std::span(&one, 1));
  builder.set_default(std::span(&rest, 1));
  const auto store = builder.build();
  EXPECT_EQ(first(*store, "a.example"), one);
  EXPECT_EQ(first(*store, "b.example"), longer);
  EXPECT_EQ(store->find("a.example"), store->find("c.example")) << "one set for one file";
  EXPECT_TRUE(store->agree("a.example", "b.example"));
  EXPECT_FALSE(store->agree("a.example", "elsewhere"));
  EXPECT_FALSE(store->agree("", "b.example"));
}

TEST_F(CertStoreTest, HostsAgreeWhenTheirCertificatesDo) {
  const auto shared = make({.names = {"a.example", "*.a.example"}});
  const auto other = make({.names = {"b.example"}});
  const auto rest = make({.names = {"rest.example"}});
  CertStoreBuilder builder;
  builder.add(shared);
  builder.add(other);
  builder.set_default(std::span(&rest, 1));
  const auto store = builder.build();
  EXPECT_TRUE(store->agree("a.example", "A.example"));
  EXPECT_TRUE(store->agree("a.example", "x.a.example"));
  EXPECT_FALSE(store->agree("a.example", "b.example"));
  EXPECT_FALSE(store->agree("", "b.example"));
  EXPECT_FALSE(store->agree("a.example", "unknown.example"));
  EXPECT_TRUE(store->agree("", "unknown.example"));
  EXPECT_TRUE(store->agree("", "10.0.0.1"));
}

TEST_F(CertStoreTest, TwentyThousandNames) {
  constexpr int kNames = 20'000;
  const auto certificate = make({.names = {"a.example"}});
  CertStoreBuilder builder;
  for (int i = 0; i < kNames; ++i)
    builder.add((i % 2 == 0 ? "host" : "*.zone") + std::to_string(i) + ".example", certificate);
  const auto store = builder.build();
  EXPECT_EQ(store->name_count(), static_cast<std::size_t>(kNames));
  EXPECT_EQ(store->set_count(), 1U);
  EXPECT_NE(store->find("host19998.example"), CertStore::kNone);
  EXPECT_NE(store->find("x.zone19999.example"), CertStore::kNone);
  EXPECT_EQ(store->find("host19999.example"), CertStore::kNone);
}

}  // namespace
}  // namespace portunus::net
