// A pool's `tls`: what it comes to, and what is said about what is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "conf/load.h"
#include "net/certificate_cache.h"
#include "tests/support/certificate_maker.h"

namespace portunus::conf {
namespace {

using testing::Contains;
using testing::HasSubstr;

const test::CertificateMaker& upstream_maker() {
  static const test::CertificateMaker made;
  return made;
}

class UpstreamTlsTest : public testing::Test {
 protected:
  UpstreamTlsTest() {
    std::string folder = (std::filesystem::temp_directory_path() / "portunus-utls-XXXXXX").string();
    EXPECT_NE(::mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    write("ca.pem", upstream_maker().authority());
    ::setenv("SSL_CERT_FILE", (folder_ / "ca.pem").c_str(), 1);
  }
  ~UpstreamTlsTest() override {
    ::unsetenv("SSL_CERT_FILE");
    std::filesystem::remove_all(folder_);
  }
  UpstreamTlsTest(const UpstreamTlsTest&) = delete;
  UpstreamTlsTest& operator=(const UpstreamTlsTest&) = delete;

  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    ::chmod((folder_ / name).c_str(), 0600);
  }
  LoadResult load(const std::string& tls, const LoadOptions& options = {}) {
    write("portunus.yaml",
          "sites: { \"*\": { pool: web } }\npools:\n  web: { upstreams: "
          "\"a.test:443\", tls: " +
              tls + " }\n");
    return load_file((folder_ / "portunus.yaml").string(), options);
  }
  UpstreamTls good(const std::string& tls, const std::string& warning = {}) {
    const LoadResult result = load(tls);
    EXPECT_NE(result.model, nullptr) << format_text(result.diagnostics);
    if (warning.empty()) {
      EXPECT_TRUE(result.diagnostics.empty()) << format_text(result.diagnostics);
    } else {
      EXPECT_THAT(format_text(result.diagnostics), HasSubstr(warning));
    }
    if (result.model == nullptr || !result.model->pools[0].tls) return {};
    return *result.model->pools[0].tls;
  }
  void expect_error(const std::string& tls, const std::string& where, const std::string& what) {
    const LoadResult result = load(tls);
    EXPECT_EQ(result.model, nullptr);
    const std::string text = format_text(result.diagnostics);
    EXPECT_THAT(text, HasSubstr(":" + where + ": error:"));
    EXPECT_THAT(text, HasSubstr(what));
  }
  std::filesystem::path folder_;
};

TEST_F(UpstreamTlsTest, TheShortForm) {
  const UpstreamTls tls = good("true");
  EXPECT_TRUE(tls.verifies);
  EXPECT_EQ(tls.server_name, "");
  EXPECT_EQ(tls.ca_file, "");
  ASSERT_NE(tls.trust, nullptr);
  EXPECT_EQ(tls.trust->size(), 1U);
  EXPECT_FALSE(tls.certificate);
  EXPECT_FALSE(load("false").model->pools[0].tls);
  EXPECT_FALSE(load("off").model->pools[0].tls);
  EXPECT_TRUE(load("{}").model->pools[0].tls);
}

TEST_F(UpstreamTlsTest, TheLongForm) {
  const test::CertificatePem pem = upstream_maker().make(test::CertificateWishes{.names = {}});
  write("us.pem", pem.certificate + pem.key);
  const LoadResult result =
      load("{ server_name: app.internal, ca_file: ca.pem, verify: true, cert: us.pem }");
  ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
  // No word about names and chains, which are for those that clients see.
  EXPECT_TRUE(result.diagnostics.empty()) << format_text(result.diagnostics);
  const UpstreamTls& tls = *result.model->pools[0].tls;
  EXPECT_EQ(tls.server_name, "app.internal");
  EXPECT_EQ(tls.ca_file, (folder_ / "ca.pem").string());
  ASSERT_TRUE(tls.certificate);
  const Certificate& certificate = result.model->certificates[*tls.certificate];
  EXPECT_NE(certificate.loaded, nullptr);
  EXPECT_EQ(certificate.file, certificate.key_file);
  EXPECT_TRUE(result.model->tls.certificates.empty());
  EXPECT_THAT(result.certificate_files, Contains(tls.ca_file));
  EXPECT_THAT(result.certificate_files, Contains(certificate.file));
  EXPECT_THAT(result.files, testing::Not(Contains(tls.ca_file)));
}

TEST_F(UpstreamTlsTest, TheHandshakeHasItsTime) {
  write("portunus.yaml",
        "sites: { \"*\": { pool: w } }\npools: { w: { upstreams: \"a:1\", timeouts: "
        "{ tls: 700ms } } }\n");
  const LoadResult result = load_file((folder_ / "portunus.yaml").string());
  ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
  EXPECT_EQ(result.model->pools[0].timeouts.tls, Milliseconds{700});
  EXPECT_EQ(PoolTimeouts{}.tls, Milliseconds{3'000});
}

TEST_F(UpstreamTlsTest, NoVerificationIsWarnedAbout) {
  const UpstreamTls tls = good("{ verify: false }", "warning: `verify: false`: whoever answers");
  EXPECT_FALSE(tls.verifies);
  EXPECT_EQ(tls.trust, nullptr);
  good("{ verify: false, ca_file: ca.pem }", "`ca_file` has no meaning");
}

TEST_F(UpstreamTlsTest, WhatIsWrongIsSaidWhereItStands) {
  expect_error("{ ca_file: none.pem }", "3:51", "none.pem: No such file or directory");
  write("empty.pem", "nothing\n");
  expect_error("{ ca_file: empty.pem }", "3:51", "empty.pem: holds no certificate");
  expect_error("{ server_name: \"app:443\" }", "3:55", "neither a name nor an IP address");
  expect_error("{ server_name: \"a..b\" }", "3:55", "neither a name nor an IP address");
  expect_error("{ key: ca.pem }", "3:47", "`key` without `cert`");
  expect_error("{ cert: ca.pem }", "3:48", "holds no key");
  expect_error("{ verfy: true }", "3:42", "did you mean `verify`?");
  expect_error("maybe", "3:40", "");
  ::setenv("SSL_CERT_FILE", (folder_ / "gone.pem").c_str(), 1);
  expect_error("true", "3:40",
               "the system's certificates of authorities in " + (folder_ / "gone.pem").string() +
                   ": No such file");
}

TEST_F(UpstreamTlsTest, OtherAuthoritiesAreAnotherConfiguration) {
  net::CertificateCache cache;
  const LoadOptions options{.certificates = &cache};
  const LoadResult first = load("{ ca_file: ca.pem }", options);
  const LoadResult again = load("{ ca_file: ca.pem }", options);
  EXPECT_EQ(first.certificates_hash, again.certificates_hash);
  EXPECT_EQ(first.model->pools[0].tls->trust, again.model->pools[0].tls->trust);
  write("ca.pem", test::CertificateMaker("Other").authority());
  EXPECT_FALSE(cache.is_trust_current());
  const LoadResult other = load("{ ca_file: ca.pem }", options);
  EXPECT_NE(first.certificates_hash, other.certificates_hash);
  EXPECT_EQ(first.hash, other.hash);
}

TEST_F(UpstreamTlsTest, OnACopyNobodyIsBelievedWithoutTheFile) {
  static_cast<void>(load("{ ca_file: ca.pem }"));
  const std::string main = (folder_ / "portunus.yaml").string();
  std::ifstream file(main);
  const FileTexts texts{{main, std::string(std::istreambuf_iterator<char>(file), {})}};
  std::filesystem::remove(folder_ / "ca.pem");
  const LoadResult result = load_file(main, {.instead = &texts});
  ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
  EXPECT_THAT(format_text(result.diagnostics), HasSubstr("no member of the pool is believed"));
  const UpstreamTls& tls = *result.model->pools[0].tls;
  EXPECT_TRUE(tls.verifies);
  EXPECT_EQ(tls.trust, nullptr);
}

}  // namespace
}  // namespace portunus::conf
