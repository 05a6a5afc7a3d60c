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

 private:
  static void replace(const std::string& path, const std::string& text) {
    std::ofstream(path + ".new") << text;
    std::filesystem::rename(path + ".new", path);
  }

  std::filesystem::path folder_;
};

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
