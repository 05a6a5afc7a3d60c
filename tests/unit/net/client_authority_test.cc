#include "net/client_authority.h"

#include <gtest/gtest.h>

#include <ctime>
#include <string>

#include "tests/support/certificate_maker.h"

namespace portunus::net {
namespace {

using test::CertificateMaker;

SharedClientAuthority read(const std::string& pem) {
  const auto made = ClientAuthority::read(pem);
  EXPECT_TRUE(made) << made.error();
  return made ? *made : nullptr;
}

std::string error_of(const std::string& pem) {
  const auto made = ClientAuthority::read(pem);
  return made ? "none" : made.error();
}

TEST(ClientAuthority, IsReadFromPem) {
  const CertificateMaker one("One");
  const CertificateMaker two("Two");
  const SharedClientAuthority first = read(one.authority());
  const SharedClientAuthority both =
      read("for people\n" + one.authority() + "\n" + two.authority());
  EXPECT_EQ(first->fingerprint().size(), 64U);
  EXPECT_NE(first->fingerprint(), both->fingerprint());
  EXPECT_EQ(first->fingerprint(), read(one.authority() + "\nmore for people\n")->fingerprint());
  EXPECT_GT(first->not_after(), std::time(nullptr) + 300L * 24 * 3600);
}

TEST(ClientAuthority, WhatIsWrongIsSaid) {
  const CertificateMaker one;
  EXPECT_EQ(error_of(""), "there is no certificate in it (PEM)");
  EXPECT_EQ(error_of("nothing of the kind\n"), "there is no certificate in it (PEM)");
  EXPECT_EQ(error_of(one.make_for("a").key), "there is no certificate in it (PEM)");
  const std::string good = one.authority();
  EXPECT_EQ(error_of(good + good.substr(0, good.size() / 2)), "a certificate in it is broken");
  std::string broken = good;
  broken.replace(60, 8, "AAAAAAAA");
  EXPECT_EQ(error_of(good + broken), "a certificate in it is broken");
  std::string many;
  for (std::size_t i = 0; i <= ClientAuthority::kCountMax; ++i)
    many += good;
  EXPECT_EQ(error_of(many), "more than 100 certificates");
}

TEST(ClientRule, IsMetByTheSameAlone) {
  const CertificateMaker one("One");
  const CertificateMaker two("Two");
  const ClientRule required{read(one.authority()), true};
  const ClientRule again{read(one.authority()), true};  // as after a reload
  const ClientRule optional{required.authority, false};
  const ClientRule other{read(two.authority()), true};
  const ClientRule broken{nullptr, true};
  EXPECT_TRUE(required.is_met_by(&required));
  EXPECT_TRUE(required.is_met_by(&again));
  EXPECT_FALSE(required.is_met_by(nullptr));
  EXPECT_FALSE(required.is_met_by(&optional));
  EXPECT_FALSE(optional.is_met_by(nullptr));
  EXPECT_FALSE(required.is_met_by(&other));
  EXPECT_FALSE(broken.is_met_by(&broken)) << "nobody gets in";
  EXPECT_FALSE(required.is_met_by(&broken));
}

// Another object of the same authorities may have an older list.
TEST(ClientRule, WithAListIsMetByTheVerySameAlone) {
  const CertificateMaker one("One");
  const ClientRule rule{read(one.authority()), true};
  const ClientRule without{read(one.authority()), true};
  auto list =
      RevocationList::read(one.revocations(), rule.authority->certificates(), std::time(nullptr));
  ASSERT_TRUE(list);
  EXPECT_EQ(rule.authority->exchange_revocations(*list), nullptr);
  EXPECT_EQ(rule.authority->revocations(), list->get());
  EXPECT_TRUE(rule.is_met_by(&rule));
  EXPECT_FALSE(rule.is_met_by(&without)) << "it was opened when nobody looked";
  EXPECT_TRUE(without.is_met_by(&rule));
  EXPECT_EQ(rule.authority->exchange_revocations(*list), *list);
}

}  // namespace
}  // namespace portunus::net
