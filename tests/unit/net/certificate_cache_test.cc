#include "net/certificate_cache.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "tests/support/certificate_maker.h"

namespace portunus::net {
namespace {

const test::CertificateMaker& cache_maker() {
  static const test::CertificateMaker made;
  return made;
}

class CertificateCacheTest : public testing::Test {
 protected:
  CertificateCacheTest() {
    std::string path = std::filesystem::temp_directory_path() / "portunus_cache_XXXXXX";
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    folder_ = path;
  }
  ~CertificateCacheTest() override { std::filesystem::remove_all(folder_); }

  CertificateFiles files(const std::string& name) const {
    return {folder_ / (name + ".pem"), folder_ / (name + ".key")};
  }
  // As whoever renews a certificate does: another file in the place of the old one.
  void write(const std::string& name) const {
    const auto made = cache_maker().make_for(name);
    replace(files(name).certificate, made.certificate);
    replace(files(name).key, made.key);
  }
  std::string fingerprint(const std::string& name) const {
    const std::array wanted{files(name)};
    const auto known = cache_.known(wanted);
    return known[0].certificate == nullptr ? known[0].error : known[0].certificate->fingerprint();
  }

  CertificateCache cache_;

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
  static void replace(const std::string& path, const std::string& text) {
    std::ofstream(path + ".new") << text;
    std::filesystem::rename(path + ".new", path);
  }

 private:
  std::filesystem::path folder_;
};

TEST_F(CertificateCacheTest, ListsAreExchangedForTheAuthorityThatIsInUse) {
  const ClientAuthorityFiles files{path("ca.pem"), path("crl.pem")};
  replace(files.authority, cache_maker().authority());
  replace(files.revocations, cache_maker().revocations());
  const std::array all{files, ClientAuthorityFiles{files.authority, ""}};
  const auto first = cache_.load_authorities(all);
  const SharedClientAuthority authority = first[0].authority;
  ASSERT_NE(authority, nullptr);
  EXPECT_EQ(first[1].authority->revocations(), nullptr) << "of a site that names no list";
  const std::array used{
      FreshRevocations{authority, files.authority, files.revocations, nullptr, {}}};
  EXPECT_TRUE(cache_.fresh_revocations(used).empty());
  const auto revoked = cache_maker().make({.is_client = true}).certificate;
  replace(files.revocations, cache_maker().revocations({.revoked = {revoked}}));
  // A load changes nothing of what is in use: it brings what is newer.
  const auto second = cache_.load_authorities(all);
  EXPECT_EQ(second[0].authority, authority);
  EXPECT_EQ(authority->revocations()->revoked_count(), 0U);
  ASSERT_NE(second[0].revocations, nullptr);
  EXPECT_EQ(second[0].revocations->revoked_count(), 1U);
  const auto fresh = cache_.fresh_revocations(used);
  ASSERT_EQ(fresh.size(), 1U);
  ASSERT_NE(fresh[0].list, nullptr) << fresh[0].error;
  EXPECT_EQ(fresh[0].list->revoked_count(), 1U);
  EXPECT_TRUE(cache_.fresh_revocations(used).empty());
  EXPECT_TRUE(cache_.are_authorities_current()) << "no reason for a reload";
}

TEST_F(CertificateCacheTest, ABadListIsReadAgainAndKeepsTheOneBefore) {
  const ClientAuthorityFiles files{path("ca.pem"), path("crl.pem")};
  replace(files.authority, cache_maker().authority());
  const std::array all{files};
  EXPECT_TRUE(cache_.load_authorities(all)[0].is_revocations_fault) << "there is none yet";
  replace(files.revocations, cache_maker().revocations());
  const SharedClientAuthority authority = cache_.load_authorities(all)[0].authority;
  ASSERT_NE(authority, nullptr);
  const std::array used{
      FreshRevocations{authority, files.authority, files.revocations, nullptr, {}}};
  const RevocationList* const before = authority->revocations();
  for (const std::string& bad : {std::string("half of it"), cache_maker().authority()}) {
    replace(files.revocations, bad);
    const auto fresh = cache_.fresh_revocations(used);
    ASSERT_EQ(fresh.size(), 1U);
    EXPECT_EQ(fresh[0].list, nullptr);
    EXPECT_FALSE(fresh[0].error.empty());
    EXPECT_EQ(cache_.fresh_revocations(used).size(), 1U) << "it may be good by now";
    const auto loaded = cache_.load_authorities(all);
    EXPECT_EQ(loaded[0].authority, nullptr) << "a load refuses it";
    EXPECT_TRUE(loaded[0].is_revocations_fault);
  }
  std::filesystem::remove(files.revocations);
  EXPECT_EQ(cache_.fresh_revocations(used).size(), 1U);
  EXPECT_EQ(authority->revocations(), before);
  replace(files.revocations, cache_maker().revocations());
  ASSERT_EQ(cache_.fresh_revocations(used).size(), 1U);
  EXPECT_EQ(cache_.load_authorities(all)[0].authority, authority) << "the same as ever";
}

// Authorities that could not be read are tried again, and are then what they were.
TEST_F(CertificateCacheTest, AuthoritiesThatCouldNotBeReadStayTheSame) {
  const ClientAuthorityFiles files{path("ca.pem"), path("crl.pem")};
  replace(files.authority, cache_maker().authority());
  replace(files.revocations, cache_maker().revocations());
  const std::array all{files};
  const SharedClientAuthority authority = cache_.load_authorities(all)[0].authority;
  replace(files.authority, "nothing");
  EXPECT_EQ(cache_.load_authorities(all)[0].authority, nullptr);
  EXPECT_EQ(cache_.load_authorities(all)[0].authority, nullptr) << "nor the second time";
  replace(files.authority, cache_maker().authority());
  EXPECT_EQ(cache_.load_authorities(all)[0].authority, authority);
}

TEST_F(CertificateCacheTest, ReadsAgainWhatHasChangedOfTheFilesThatItIsTold) {
  for (const char* each : {"a", "b"})
    write(each);
  const std::array all{files("a"), files("b")};
  for (const LoadedCertificate& each : cache_.load(all))
    ASSERT_NE(each.certificate, nullptr) << each.error;
  const std::string a = fingerprint("a");
  const std::string b = fingerprint("b");
  const std::array told{files("a").key, files("c").key};
  EXPECT_EQ(cache_.refresh(told), 0U);
  write("a");
  write("b");
  EXPECT_EQ(cache_.refresh(told), 1U);
  EXPECT_NE(fingerprint("a"), a);
  EXPECT_EQ(fingerprint("b"), b);
  EXPECT_EQ(cache_.refresh(), 1U);
  EXPECT_NE(fingerprint("b"), b);
  EXPECT_EQ(cache_.refresh(), 0U);
}

}  // namespace
}  // namespace portunus::net
