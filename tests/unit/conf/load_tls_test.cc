// Certificates, listeners with TLS, redirects: what a configuration with TLS comes to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "conf/load.h"
#include "net/certificate_cache.h"
#include "tests/support/certificate_maker.h"

namespace portunus::conf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const test::CertificateMaker& maker() {
  static const test::CertificateMaker made;
  return made;
}

class LoadTls : public testing::Test {
 protected:
  LoadTls() {
    std::string folder = (std::filesystem::temp_directory_path() / "portunus-tls-XXXXXX").string();
    EXPECT_NE(::mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  ~LoadTls() override { std::filesystem::remove_all(folder_); }
  LoadTls(const LoadTls&) = delete;
  LoadTls& operator=(const LoadTls&) = delete;

  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    ::chmod((folder_ / name).c_str(), 0600);
    return (folder_ / name).string();
  }
  void write_certificate(const std::string& name, const test::CertificatePem& pem) {
    write(name + ".pem", pem.certificate);
    write(name + ".key", pem.key);
  }
  LoadResult load(const std::string& text, const LoadOptions& options = {}) {
    return load_file(write("portunus.yaml", text), options);
  }
  LoadResult load_good(const std::string& text, const LoadOptions& options = {}) {
    LoadResult result = load(text, options);
    EXPECT_NE(result.model, nullptr) << format_text(result.diagnostics);
    return result;
  }
  std::string errors(const std::string& text) {
    const LoadResult result = load(text);
    EXPECT_EQ(result.model, nullptr);
    return format_text(result.diagnostics);
  }
  std::filesystem::path folder_;
};

std::vector<std::string> listener_names(const Model& model, const Site& site) {
  std::vector<std::string> names;
  for (const std::size_t each : site.listeners)
    names.push_back(model.listeners[each].name);
  return names;
}

TEST_F(LoadTls, ASiteWithACertificateHasBothListenersAndARedirect) {
  write_certificate("a", maker().make_for("a.example"));
  const auto result =
      load_good("sites:\n  a.example: { respond: {}, tls: { cert: a.pem, key: a.key } }\n");
  const Model& model = *result.model;
  ASSERT_EQ(model.listeners.size(), 2U);
  EXPECT_EQ(model.listeners[0].address.port, 80);
  EXPECT_FALSE(model.listeners[0].is_tls);
  EXPECT_FALSE(model.listeners[0].offers_h2);
  EXPECT_EQ(model.listeners[1].name, "https");
  EXPECT_EQ(model.listeners[1].address.port, 443);
  EXPECT_TRUE(model.listeners[1].is_tls && model.listeners[1].offers_h1 &&
              model.listeners[1].offers_h2);
  ASSERT_EQ(model.sites.size(), 2U);
  EXPECT_THAT(listener_names(model, model.sites[0]), ElementsAre("https"));
  EXPECT_EQ(model.sites[0].tls, SiteTls::own);
  ASSERT_EQ(model.certificates.size(), 1U);
  ASSERT_NE(model.certificates[0].loaded, nullptr);
  EXPECT_THAT(model.certificates[0].loaded->names(), ElementsAre("a.example"));
  EXPECT_THAT(listener_names(model, model.sites[1]), ElementsAre("http"));
  EXPECT_THAT(model.sites[1].hosts, ElementsAre("a.example"));
  const auto& redirect = std::get<Redirect>(model.sites[1].routes.at(0).action);
  EXPECT_EQ(redirect.code, 308);
  EXPECT_TRUE(redirect.keep_query);
  ASSERT_EQ(redirect.to.size(), 3U);
  EXPECT_EQ(redirect.to[0].text, "https://");
  EXPECT_TRUE(result.diagnostics.empty()) << format_text(result.diagnostics);
}

TEST_F(LoadTls, ARedirectNamesThePortThatIsNotTheUsualOne) {
  const auto result = load_good(
      "listeners: { front: \":8080\", secure: { address: \":8443\", tls: true, protocols: h1 } }\n"
      "sites: { a.example: { respond: {}, tls: internal } }\n");
  const Model& model = *result.model;
  EXPECT_TRUE(model.listeners[1].offers_h1);
  EXPECT_FALSE(model.listeners[1].offers_h2);
  ASSERT_EQ(model.sites.size(), 2U);
  EXPECT_EQ(std::get<Redirect>(model.sites[1].routes.at(0).action).to.at(2).text, ":8443");
}

TEST_F(LoadTls, PlainIsPlainWhereItIsDeclared) {
  const auto redirects = [&](const std::string& listener, const std::string& site) {
    const auto result = load_good("listeners: { front: { address: \":80\"" + listener +
                                  " }, secure: { address: \":443\", tls: true } }\n"
                                  "sites: { a.example: { respond: {}, tls: internal" +
                                  site + " } }\n");
    return result.model->sites.size() == 2;
  };
  EXPECT_TRUE(redirects("", ""));
  EXPECT_FALSE(redirects(", tls: false", ""));
  EXPECT_FALSE(redirects("", ", redirect_http: false"));
  EXPECT_FALSE(redirects("", ", listeners: secure"));
}

TEST_F(LoadTls, WhoeverServesAHostInPlainIsNotRedirected) {
  const auto result = load_good(
      "sites:\n"
      "  a.example: { respond: {}, tls: internal, aliases: [b.example] }\n"
      "  \"http://a.example\": { respond: { body: plain } }\n");
  const Model& model = *result.model;
  ASSERT_EQ(model.sites.size(), 3U);
  EXPECT_THAT(model.sites[1].hosts, ElementsAre("a.example"));
  EXPECT_THAT(model.sites[2].hosts, ElementsAre("b.example"));
}

TEST_F(LoadTls, AnHttpsKeyMakesItsListener) {
  const auto result = load_good(
      "sites:\n"
      "  \"https://a.example:8443\": { respond: {}, tls: internal }\n"
      "  \"https://b.example:8443\": { respond: {}, tls: internal }\n"
      "  \"https://c.example\": { respond: {}, tls: internal }\n");
  const Model& model = *result.model;
  ASSERT_EQ(model.listeners.size(), 2U);
  EXPECT_EQ(model.listeners[0].name, "https-8443");
  EXPECT_TRUE(model.listeners[0].is_tls);
  EXPECT_EQ(model.listeners[1].address.port, 443);
  EXPECT_EQ(model.sites.size(), 3U);
}

TEST_F(LoadTls, CommonCertificatesAreForTheNamesInThem) {
  write_certificate("star", maker().make({.names = {"*.example.org", "example.org"}}));
  const std::string tls = "tls: { certificates: { cert: star.pem, key: star.key } }\n";
  const auto result = load_good(tls + "sites: { www.example.org: { respond: {} } }\n");
  EXPECT_EQ(result.model->sites[0].tls, SiteTls::common);
  EXPECT_THAT(listener_names(*result.model, result.model->sites[0]), ElementsAre("https"));
  EXPECT_THAT(errors(tls + "sites: { a.b.example.org: { respond: {} } }\n"),
              HasSubstr("no certificate of `tls` names `a.b.example.org`"));
  // A word of the file says so, not what the certificates hold: the supervisor does not read them.
  EXPECT_EQ(load_good(tls + "sites: { www.example.org: { respond: {} } }\n",
                      {.reads_certificates = false})
                .model->listeners,
            result.model->listeners);
}

TEST_F(LoadTls, H2OnAPlainListenerIsAskedFor) {
  const auto result = load_good(
      "listeners: { a: { address: \":80\", protocols: [h1, h2] } }\n"
      "sites: { \"*\": { respond: {} } }\n");
  EXPECT_TRUE(result.model->listeners[0].offers_h2);
  EXPECT_FALSE(result.model->listeners[0].is_tls);
}

TEST_F(LoadTls, WhatIsWrongIsSaidWhereItStands) {
  write_certificate("a", maker().make_for("a.example"));
  write_certificate("b", maker().make_for("b.example"));
  write("broken.pem", maker().make_for("a.example").certificate.substr(0, 300));
  const auto site = [](const std::string& tls) {
    return "sites:\n  a.example:\n    respond: {}\n    tls: " + tls + "\n";
  };
  EXPECT_THAT(errors(site("{ cert: a.pem, key: b.key }")),
              testing::AllOf(HasSubstr("portunus.yaml:4:18: error: the certificate "),
                             HasSubstr("/a.pem: the key belongs to another certificate"),
                             HasSubstr("                 ^")));
  EXPECT_THAT(errors(site("{ cert: missing.pem, key: a.key }")),
              HasSubstr("missing.pem: No such file or directory"));
  EXPECT_THAT(errors(site("{ cert: a.pem, key: missing.key }")),
              testing::AllOf(HasSubstr(":4:30: error: the key "),
                             HasSubstr("missing.key: No such file or directory")));
  EXPECT_THAT(errors(site("{ cert: a.pem }")), HasSubstr("a.pem: the key's file holds no key"));
  EXPECT_THAT(errors(site("{ cert: broken.pem, key: a.key }")), HasSubstr("PEM text is broken"));
  EXPECT_THAT(errors(site("{ cert: /dev/zero, key: a.key }")), HasSubstr("not a regular file"));
  EXPECT_THAT(errors(site("{ cert: ., key: a.key }")), HasSubstr("is a directory"));
  EXPECT_THAT(errors(site("{ key: a.key }")), HasSubstr("needs the key `cert`"));
  EXPECT_THAT(errors(site("auto")), HasSubstr("automatic certificates come with a later version"));
  EXPECT_THAT(errors(site("interal")), HasSubstr("`interal` is unknown"));
  EXPECT_THAT(errors(site("[]")), HasSubstr("names no certificate"));
  EXPECT_THAT(errors("sites: { \"https://a.example\": { respond: {} } }\n"),
              HasSubstr("needs a certificate"));
  EXPECT_THAT(errors("sites: { \"https://a.example\": { respond: {}, tls: off } }\n"),
              HasSubstr("has a listener with TLS"));
  EXPECT_THAT(errors("sites: { \"http://a.example\": { respond: {}, tls: internal } }\n"),
              HasSubstr("has no listener with TLS"));
  EXPECT_THAT(errors("listeners: { a: \":443\" }\n"
                     "sites: { \"https://a.example\": { respond: {}, tls: internal } }\n"),
              HasSubstr("is the listener `a`, without TLS"));
  EXPECT_THAT(errors("listeners: { a: { address: \":80\", protocols: [] } }\n"
                     "sites: { \"*\": { respond: {} } }\n"),
              HasSubstr("`protocols` is empty"));
  EXPECT_THAT(errors("listeners: { a: { address: \":80\", tls: true } }\n"
                     "sites: { a.example: { respond: {}, tls: off } }\n"),
              HasSubstr("all listeners have TLS"));
}

TEST_F(LoadTls, WhatIsDoubtfulIsAWarning) {
  write_certificate(
      "old", maker().make({.names = {"a.example"}, .valid_from_s = -7200, .valid_to_s = -3600}));
  write_certificate("soon", maker().make({.names = {"a.example"}, .valid_to_s = 3600}));
  write_certificate("other", maker().make_for("b.example"));
  auto alone = maker().make_for("a.example");
  alone.certificate.resize(alone.certificate.find("-----END CERTIFICATE-----\n") + 26);
  write_certificate("alone", alone);
  const auto warning = [&](const std::string& name) {
    const auto result = load_good("sites:\n  a.example: { respond: {}, tls: { cert: " + name +
                                  ".pem, key: " + name + ".key } }\n");
    return format_text(result.diagnostics);
  };
  EXPECT_THAT(warning("old"), HasSubstr("has expired"));
  EXPECT_THAT(warning("soon"), HasSubstr("expires soon"));
  EXPECT_THAT(warning("other"), HasSubstr("does not name `a.example`"));
  EXPECT_THAT(warning("alone"),
              testing::AllOf(HasSubstr("without its chain"), HasSubstr("CN=Test Authority")));
  ::chmod((folder_ / "other.key").c_str(), 0644);
  EXPECT_THAT(warning("other"), HasSubstr("everybody on this machine may read the key"));
}

TEST_F(LoadTls, OnlyWhatHasChangedIsReadAgain) {
  std::string sites = "sites:\n";
  for (const char* name : {"a", "b", "c"}) {
    write_certificate(name, maker().make_for(std::string(name) + ".example"));
    sites += std::string("  ") + name + ".example: { respond: {}, tls: { cert: " + name +
             ".pem, key: " + name + ".key } }\n";
  }
  net::CertificateCache cache;
  const LoadOptions options{.certificates = &cache};
  const auto first = load_good(sites, options);
  EXPECT_EQ(cache.refresh(), 0U);
  EXPECT_EQ(first.certificate_files.size(), 6U);
  const auto again = load_good(sites, options);
  EXPECT_EQ(again.certificates_hash, first.certificates_hash);
  EXPECT_EQ(again.model->certificates, first.model->certificates);
  write_certificate("b", maker().make_for("b.example"));
  EXPECT_EQ(cache.refresh(), 1U);
  EXPECT_EQ(cache.refresh(), 0U);
  const auto changed = load_good(sites, options);
  EXPECT_NE(changed.certificates_hash, first.certificates_hash);
  EXPECT_EQ(changed.hash, first.hash) << "the supervisor need not be asked";
  EXPECT_EQ(changed.model->certificates[0], first.model->certificates[0]);
  EXPECT_NE(changed.model->certificates[1], first.model->certificates[1]);
}

TEST_F(LoadTls, TheCacheKeepsWhatAnotherLoadDoesNotName) {
  net::CertificateCache cache;
  std::vector<net::CertificateFiles> files;
  for (const char* name : {"a", "b"}) {
    write_certificate(name, maker().make_for(std::string(name) + ".example"));
    files.push_back({(folder_ / (std::string(name) + ".pem")).string(),
                     (folder_ / (std::string(name) + ".key")).string()});
  }
  const std::span<const net::CertificateFiles> all = files;
  const auto first = cache.load(all.first(1));
  ASSERT_NE(first[0].certificate, nullptr);
  EXPECT_EQ(cache.known(all)[0].certificate, first[0].certificate);
  EXPECT_EQ(cache.known(all)[1].certificate, nullptr) << "never read";
  const auto second = cache.load(all.last(1));
  EXPECT_EQ(cache.known(all)[0].certificate, first[0].certificate);
  // One that has gone is seen to have gone once, and to be there again once.
  std::filesystem::rename(files[1].key, files[1].key + ".away");
  EXPECT_EQ(cache.refresh(), 1U);
  EXPECT_EQ(cache.refresh(), 0U);
  EXPECT_EQ(cache.known(all)[1].certificate, nullptr);
  EXPECT_TRUE(cache.known(all)[1].is_key_at_fault);
  std::filesystem::rename(files[1].key + ".away", files[1].key);
  EXPECT_EQ(cache.refresh(), 1U);
  EXPECT_EQ(cache.known(all)[1].certificate->content_hash(), second[0].certificate->content_hash());
  cache.retain(all.last(1));
  EXPECT_EQ(cache.known(all)[0].certificate, nullptr);
  EXPECT_NE(cache.known(all)[1].certificate, nullptr);
}

TEST_F(LoadTls, HalfAFileChangesNothingInTheCache) {
  write_certificate("a", maker().make_for("a.example"));
  const std::string site =
      "sites:\n  a.example: { respond: {}, tls: { cert: a.pem, key: a.key } }\n";
  net::CertificateCache cache;
  const auto first = load_good(site, {.certificates = &cache});
  const auto next = maker().make_for("a.example");
  write("a.pem", next.certificate.substr(0, 400));
  EXPECT_EQ(load(site, {.certificates = &cache}).model, nullptr);
  write("a.pem", next.certificate);
  EXPECT_EQ(load(site, {.certificates = &cache}).model, nullptr) << "with the old key";
  write("a.key", next.key);
  const auto second = load_good(site, {.certificates = &cache});
  EXPECT_NE(second.certificates_hash, first.certificates_hash);
}

TEST_F(LoadTls, AStartOnACopyGoesWithoutWhatCannotBeRead) {
  write_certificate("a", maker().make_for("a.example"));
  const std::string site =
      "sites:\n  a.example: { respond: {}, tls: { cert: a.pem, key: a.key } }\n";
  const auto first = load_good(site, {.keeps_copy = true});
  const auto copy = first.copy.read();
  ASSERT_TRUE(copy.has_value());
  write("a.key", "");
  const auto result = load_good(site, {.instead = &*copy});
  EXPECT_EQ(result.model->certificates[0].loaded, nullptr);
  EXPECT_THAT(format_text(result.diagnostics), HasSubstr("left out for now"));
  for (const FileText& file : *copy)
    EXPECT_EQ(file.text.find("PRIVATE KEY"), std::string::npos);
}

TEST_F(LoadTls, SecurityHeadersSpareWhatIsPlain) {
  const auto result = load_good(
      "sites:\n"
      "  a.example: { respond: {}, tls: internal, headers: security, redirect_http: false }\n"
      "  \"http://b.example\": { respond: {}, headers: { X-One: 1 } }\n");
  const Model& model = *result.model;
  ASSERT_EQ(model.sites.size(), 3U);
  const auto has_hsts = [](const Site& site) {
    return std::ranges::any_of(site.response_headers.set, [](const HeaderField& each) {
      return each.name == "strict-transport-security";
    });
  };
  EXPECT_TRUE(has_hsts(model.sites[0]));
  EXPECT_THAT(listener_names(model, model.sites[0]), ElementsAre("https"));
  EXPECT_EQ(model.sites[0].response_headers.defaults.size(), 3U);
  EXPECT_EQ(model.sites[1].response_headers.set, (std::vector<HeaderField>{{"x-one", "1"}}));
  EXPECT_FALSE(has_hsts(model.sites[2]));
  EXPECT_THAT(listener_names(model, model.sites[2]), ElementsAre("http"));
  EXPECT_EQ(model.sites[2].routes, model.sites[0].routes);
  EXPECT_EQ(model.sites[2].response_headers.set,
            (std::vector<HeaderField>{{"x-content-type-options", "nosniff"}}));
}

}  // namespace
}  // namespace portunus::conf
