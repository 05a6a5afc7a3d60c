// Who clients are: the PROXY protocol in front and behind, and the certificates that sites ask for.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "conf/load.h"
#include "net/certificate_cache.h"
#include "tests/support/certificate_maker.h"

namespace portunus::conf {
namespace {

Model load_good(const std::string& text) {
  const LoadResult result = load_text(text, "test.yaml");
  EXPECT_NE(result.model, nullptr) << format_text(result.diagnostics);
  return result.model == nullptr ? Model{} : *result.model;
}

std::string errors_of(const std::string& text) {
  const LoadResult result = load_text(text, "test.yaml");
  EXPECT_EQ(result.model, nullptr) << text;
  return format_text(result.diagnostics);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(LoadClients, ProxyProtocolOfListeners) {
  const Model model = load_good(
      "listeners:\n"
      "  one: { address: ':1', proxy_protocol: { trusted: [10.0.0.0/8, '::1'] } }\n"
      "  two: { address: ':2', proxy_protocol: { trusted: 192.0.2.1 } }\n"
      "  three: ':3'\n"
      "sites: { '*': { respond: {} } }\n");
  ASSERT_EQ(model.listeners.size(), 3U);
  EXPECT_EQ(model.listeners[0].proxies, (std::vector<std::string>{"10.0.0.0/8", "::1"}));
  EXPECT_EQ(model.listeners[1].proxies, std::vector<std::string>{"192.0.2.1"});
  EXPECT_TRUE(model.listeners[2].proxies.empty());
  EXPECT_FALSE(model.listeners[0] == model.listeners[2]);
}

TEST(LoadClients, ProxyProtocolThatIsWrong) {
  const auto errors = [](const std::string& keys) {
    return errors_of("listeners:\n  one: { address: ':1', proxy_protocol: " + keys +
                     " }\nsites: { '*': { respond: {} } }\n");
  };
  EXPECT_TRUE(has(errors("{}"), "`trusted`"));
  EXPECT_TRUE(has(errors("{ trusted: [] }"), "`trusted` is empty"));
  EXPECT_TRUE(has(errors("{ trusted: [example.com] }"), "`example.com`: not an IP address"));
  EXPECT_TRUE(has(errors("{ trusted: [10.0.0.0/33] }"), "prefix length"));
}

TEST(LoadClients, ProxyProtocolOfPools) {
  const Model model = load_good(
      "pools:\n"
      "  one: { upstreams: [127.0.0.1:1], proxy_protocol: v1, health: { path: / } }\n"
      "  two: { upstreams: [127.0.0.1:2], health: { path: /, port: 99 }, proxy_protocol: v2 }\n"
      "  three: [127.0.0.1:3]\n"
      "sites: { 'http://:1': { split: { one: 1, two: 1, three: 1 } } }\n");
  EXPECT_EQ(model.pools[0].proxy_protocol, net::ProxyVersion::v1);
  EXPECT_EQ(model.pools[0].health.proxy_protocol, net::ProxyVersion::v1);
  EXPECT_EQ(model.pools[1].proxy_protocol, net::ProxyVersion::v2);
  EXPECT_EQ(model.pools[1].health.proxy_protocol, net::ProxyVersion::none) << "another port";
  EXPECT_EQ(model.pools[2].proxy_protocol, net::ProxyVersion::none);
  EXPECT_TRUE(has(errors_of("pools: { one: { upstreams: [127.0.0.1:1], proxy_protocol: v3 } }\n"),
                  "`off`, `v1` or `v2`"));
}

class LoadClientCertificates : public testing::Test {
 protected:
  LoadClientCertificates() {
    std::string folder = (std::filesystem::temp_directory_path() / "portunus-ca-XXXXXX").string();
    EXPECT_NE(::mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    const auto pem = maker_.make_for("a.example");
    write("a.pem", pem.certificate);
    write("a.key", pem.key);
    write("ca.pem", maker_.authority());
  }
  ~LoadClientCertificates() override { std::filesystem::remove_all(folder_); }
  LoadClientCertificates(const LoadClientCertificates&) = delete;
  LoadClientCertificates& operator=(const LoadClientCertificates&) = delete;

  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    ::chmod((folder_ / name).c_str(), 0600);
    return (folder_ / name).string();
  }
  // One site for each text; all have one certificate.
  std::string sites(const std::string& tls) {
    return write(
        "portunus.yaml",
        "sites:\n  a.example: { respond: {}, tls: { cert: a.pem, key: a.key, " + tls + " } }\n");
  }

  test::CertificateMaker maker_;
  std::filesystem::path folder_;
};

TEST_F(LoadClientCertificates, BelongToTheSite) {
  const LoadResult required = load_file(sites("client_ca: ca.pem"));
  ASSERT_NE(required.model, nullptr) << format_text(required.diagnostics);
  const auto& auth = required.model->sites[0].client_auth;
  ASSERT_TRUE(auth);
  EXPECT_TRUE(auth->rule.is_required);
  EXPECT_EQ(auth->rule.authority, required.model->client_authorities[0].loaded);
  EXPECT_NE(auth->rule.authority, nullptr);
  // The redirect of its plain listener asks for nothing.
  ASSERT_EQ(required.model->sites.size(), 2U);
  EXPECT_FALSE(required.model->sites[1].client_auth);
  const LoadResult optional = load_file(sites("client_ca: ca.pem, client_auth: optional"));
  ASSERT_NE(optional.model, nullptr);
  EXPECT_FALSE(optional.model->sites[0].client_auth->rule.is_required);
}

TEST_F(LoadClientCertificates, AChangedFileIsAnotherConfiguration) {
  net::CertificateCache cache;
  const std::string file = sites("client_ca: ca.pem");
  const LoadOptions options{.certificates = &cache};
  const LoadResult first = load_file(file, options);
  ASSERT_NE(first.model, nullptr);
  EXPECT_TRUE(cache.are_authorities_current());
  EXPECT_NE(std::ranges::find(first.certificate_files, (folder_ / "ca.pem").string()),
            first.certificate_files.end())
      << "it is watched";
  const LoadResult same = load_file(file, options);
  EXPECT_EQ(same.certificates_hash, first.certificates_hash);
  EXPECT_EQ(same.model->client_authorities[0].loaded, first.model->client_authorities[0].loaded);
  const test::CertificateMaker other("Other");
  write("ca.pem", other.authority() + maker_.authority());
  EXPECT_FALSE(cache.are_authorities_current());
  const LoadResult changed = load_file(file, options);
  EXPECT_NE(changed.certificates_hash, first.certificates_hash);
  EXPECT_FALSE(changed.model->sites[0].client_auth->rule.is_met_by(
      &first.model->sites[0].client_auth->rule));
}

TEST_F(LoadClientCertificates, RevokedOnesOfThem) {
  write("crl.pem", maker_.revocations());
  net::CertificateCache cache;
  const LoadOptions options{.certificates = &cache};
  const std::string file = sites("client_ca: ca.pem, client_crl: crl.pem");
  const LoadResult first = load_file(file, options);
  ASSERT_NE(first.model, nullptr) << format_text(first.diagnostics);
  EXPECT_TRUE(first.diagnostics.empty()) << format_text(first.diagnostics);
  const auto& rule = first.model->sites[0].client_auth->rule;
  ASSERT_NE(rule.authority, nullptr);
  EXPECT_NE(rule.authority->revocations(), nullptr);
  EXPECT_NE(std::ranges::find(first.certificate_files, (folder_ / "crl.pem").string()),
            first.certificate_files.end())
      << "it is watched";
  write("crl.pem", maker_.revocations({.revoked = {maker_.make({.is_client = true}).certificate}}));
  const LoadResult second = load_file(file, options);
  EXPECT_EQ(second.certificates_hash, first.certificates_hash) << "no reason for a generation";
  EXPECT_NE(second.model->client_authorities[0].revocations, nullptr);
  // Another site may have the same authorities and nobody looks.
  const LoadResult without = load_file(sites("client_ca: ca.pem"), options);
  EXPECT_EQ(without.model->client_authorities[0].loaded->revocations(), nullptr);
}

TEST_F(LoadClientCertificates, RevokedOnesThatAreWrong) {
  const auto said = [&](const std::string& keys, bool is_error) {
    const LoadResult result = load_file(sites(keys));
    EXPECT_EQ(result.model == nullptr, is_error) << keys;
    return format_text(result.diagnostics);
  };
  const std::string keys = "client_ca: ca.pem, client_crl: crl.pem";
  EXPECT_TRUE(has(said("client_crl: crl.pem", true), "`client_crl` needs `client_ca`"));
  const std::string missing = said(keys, true);
  EXPECT_TRUE(has(missing, "the revoked certificates ")) << missing;
  EXPECT_TRUE(has(missing, "portunus.yaml:2:")) << missing;
  write("crl.pem", "nothing of the kind\n");
  EXPECT_TRUE(has(said(keys, true), "there is no list of revoked certificates in it"));
  write("crl.pem", test::CertificateMaker("Other").revocations());
  EXPECT_TRUE(has(said(keys, true), "not signed by an authority of `client_ca`"));
  write("crl.pem", maker_.revocations({.from_s = -7200, .to_s = -3600}));
  EXPECT_TRUE(has(said(keys, false), "the list has ended: "));
  write("crl.pem", maker_.revocations({.from_s = -7200, .to_s = 600}));
  EXPECT_TRUE(has(said(keys, false), "the list ends soon: "));
}

// The last good configuration, when its file is gone: nobody gets in rather than everybody.
TEST_F(LoadClientCertificates, WithoutTheFileNobodyGetsIn) {
  const std::string file = sites("client_ca: ca.pem");
  const LoadResult good = load_file(file, {.keeps_copy = true});
  ASSERT_NE(good.model, nullptr);
  std::filesystem::remove(folder_ / "ca.pem");
  EXPECT_EQ(load_file(file).model, nullptr);
  const auto copy = good.copy.read();
  ASSERT_TRUE(copy);
  const LoadResult again = load_file(file, {.instead = &*copy});
  ASSERT_NE(again.model, nullptr) << format_text(again.diagnostics);
  ASSERT_TRUE(again.model->sites[0].client_auth);
  const net::ClientRule& rule = again.model->sites[0].client_auth->rule;
  EXPECT_EQ(rule.authority, nullptr);
  EXPECT_FALSE(rule.is_met_by(&good.model->sites[0].client_auth->rule));
}

}  // namespace
}  // namespace portunus::conf
