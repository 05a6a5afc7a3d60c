#include "net/trust_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "net/certificate_cache.h"
#include "tests/support/certificate_maker.h"

namespace portunus::net {
namespace {

using testing::HasSubstr;

TEST(TrustStore, HoldsAllAuthoritiesOfTheText) {
  const test::CertificateMaker one("One");
  const test::CertificateMaker two("Two");
  const auto read = TrustStore::read(one.authority() + "some words\n" + two.authority());
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ((*read)->size(), 2U);
  const auto other = TrustStore::read(one.authority());
  ASSERT_TRUE(other);
  EXPECT_NE((*read)->content_hash(), (*other)->content_hash());
  EXPECT_TRUE(TrustStore::read(one.authority() + one.authority())) << "twice is no harm";
}

TEST(TrustStore, WhatIsWrongIsSaid) {
  const std::string good = test::CertificateMaker().authority();
  EXPECT_THAT(TrustStore::read("").error(), HasSubstr("holds no certificate"));
  EXPECT_THAT(TrustStore::read("-----BEGIN PRIVATE KEY-----\n").error(),
              testing::AnyOf(HasSubstr("holds no certificate"), HasSubstr("PEM text is broken")));
  EXPECT_THAT(TrustStore::read(good + good.substr(0, good.size() / 2)).error(),
              HasSubstr("PEM text is broken"));
}

TEST(TrustStore, TheSystemsFileCanBeNamed) {
  ASSERT_EQ(::setenv("SSL_CERT_FILE", "/somewhere/else.pem", 1), 0);
  EXPECT_EQ(system_trust_file(), "/somewhere/else.pem");
  ASSERT_EQ(::unsetenv("SSL_CERT_FILE"), 0);
  EXPECT_NE(system_trust_file(), "/somewhere/else.pem");
}

TEST(TrustStore, WhatHasNotChangedIsNotReadAgain) {
  std::string folder = (std::filesystem::temp_directory_path() / "portunus-trust-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string file = folder + "/ca.pem";
  const auto write = [&](const std::string& text) {
    std::ofstream(file + ".new") << text;
    std::filesystem::rename(file + ".new", file);
  };
  write(test::CertificateMaker("One").authority());
  CertificateCache cache;
  const std::vector files{file, folder + "/none.pem"};
  const auto first = cache.load_trust(files);
  ASSERT_EQ(first.size(), 2U);
  ASSERT_NE(first[0].trust, nullptr) << first[0].error;
  EXPECT_EQ(first[1].error, "No such file or directory");
  EXPECT_TRUE(cache.is_trust_current());
  EXPECT_EQ(cache.load_trust(files)[0].trust, first[0].trust);
  write(test::CertificateMaker("Two").authority());
  EXPECT_FALSE(cache.is_trust_current());
  const auto second = cache.load_trust(files);
  ASSERT_NE(second[0].trust, nullptr);
  EXPECT_NE(second[0].trust->content_hash(), first[0].trust->content_hash());
  EXPECT_TRUE(cache.is_trust_current());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace portunus::net
