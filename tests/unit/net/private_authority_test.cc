#include "net/private_authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "net/openssl_ptr.h"

namespace portunus::net {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class PrivateAuthorityTest : public testing::Test {
 protected:
  PrivateAuthorityTest() {
    std::string folder = (std::filesystem::temp_directory_path() / "portunus-ca-XXXXXX").string();
    EXPECT_NE(::mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  ~PrivateAuthorityTest() override { std::filesystem::remove_all(folder_); }
  PrivateAuthorityTest(const PrivateAuthorityTest&) = delete;
  PrivateAuthorityTest& operator=(const PrivateAuthorityTest&) = delete;

  SharedCertificate make(const std::vector<std::string>& names) {
    auto authority = PrivateAuthority::open(folder_.string());
    EXPECT_TRUE(authority) << authority.error();
    auto made = authority->certificate_for(names);
    EXPECT_TRUE(made) << made.error();
    return *made;
  }
  std::string read(const std::string& name) {
    std::ostringstream text;
    text << std::ifstream(folder_ / name).rdbuf();
    return text.str();
  }
  std::filesystem::path folder_;
};

TEST_F(PrivateAuthorityTest, SignsWhatClientsAcceptThatTrustTheRoot) {
  const auto made = make({"localhost", "127.0.0.1", "::1", "*.home.arpa"});
  EXPECT_THAT(made->names(), ElementsAre("*.home.arpa", "127.0.0.1", "::1", "localhost"));
  EXPECT_EQ(made->kind(), KeyKind::ecdsa);
  EXPECT_EQ(made->chain_size(), 1U);
  EXPECT_FALSE(is_due(*made));
  X509_STORE* store = X509_STORE_new();
  ASSERT_EQ(X509_STORE_load_file(store, (folder_ / "root.pem").c_str()), 1);
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, made->leaf(), nullptr);
  X509_STORE_CTX_set_default(context, "ssl_server");
  X509_VERIFY_PARAM* wishes = X509_STORE_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_flags(wishes, X509_V_FLAG_X509_STRICT);
  X509_VERIFY_PARAM_set1_host(wishes, "x.home.arpa", 0);
  EXPECT_EQ(X509_verify_cert(context), 1)
      << X509_verify_cert_error_string(X509_STORE_CTX_get_error(context));
  X509_STORE_CTX_free(context);
  X509_STORE_free(store);
}

TEST_F(PrivateAuthorityTest, KeepsItsRootAndItsCertificates) {
  const auto first = make({"a.internal", "b.internal"});
  const std::string root = read("root.pem");
  const auto again = make({"b.internal", "a.internal"});
  EXPECT_EQ(again->fingerprint(), first->fingerprint());
  EXPECT_EQ(read("root.pem"), root);
  EXPECT_NE(make({"a.internal"})->fingerprint(), first->fingerprint());
}

TEST_F(PrivateAuthorityTest, KeysAreForTheirOwnerAlone) {
  make({"a.internal"});
  for (const auto& each : std::filesystem::directory_iterator(folder_)) {
    struct stat facts{};
    ASSERT_EQ(::stat(each.path().c_str(), &facts), 0);
    const bool is_root = each.path().filename() == "root.pem";
    EXPECT_EQ(facts.st_mode & 0777U, is_root ? 0644U : 0600U) << each.path();
  }
  EXPECT_EQ(read("root.pem").find("PRIVATE"), std::string::npos);
}

TEST_F(PrivateAuthorityTest, ABrokenCertificateIsMadeAnewAndABrokenRootIsNot) {
  const auto first = make({"a.internal"});
  for (const auto& each : std::filesystem::directory_iterator(folder_)) {
    if (!each.path().filename().string().starts_with("root")) std::ofstream(each.path()) << "x";
  }
  EXPECT_NE(make({"a.internal"})->fingerprint(), first->fingerprint());
  std::ofstream(folder_ / "root.key") << "x";
  const auto broken = PrivateAuthority::open(folder_.string());
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error(), HasSubstr("holds no key"));
  std::filesystem::remove(folder_ / "root.key");
  const auto missing = PrivateAuthority::open(folder_.string());
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error(), HasSubstr("root.key: No such file"));
}

TEST_F(PrivateAuthorityTest, AnotherRootsCertificateIsNotItsOwn) {
  const auto first = make({"a.internal"});
  std::filesystem::remove(folder_ / "root.pem");
  std::filesystem::remove(folder_ / "root.key");
  EXPECT_NE(make({"a.internal"})->fingerprint(), first->fingerprint());
}

TEST_F(PrivateAuthorityTest, AFolderThatIsNotThereIsAnError) {
  const auto opened = PrivateAuthority::open((folder_ / "no").string());
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error(), HasSubstr("No such file"));
}

}  // namespace
}  // namespace portunus::net
