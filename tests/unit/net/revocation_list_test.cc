#include "net/revocation_list.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <string>
#include <vector>

#include "net/client_authority.h"
#include "net/openssl_ptr.h"
#include "tests/support/certificate_maker.h"

namespace portunus::net {
namespace {

using test::CertificateMaker;
using test::RevocationWishes;
using Verdict = RevocationList::Verdict;

class RevocationListTest : public testing::Test {
 protected:
  static SharedClientAuthority authorities(const std::string& pem) {
    return ClientAuthority::read(pem).value();
  }
  static SharedRevocationList read(const std::string& pem, const SharedClientAuthority& by) {
    auto made = RevocationList::read(pem, by->certificates(), std::time(nullptr));
    EXPECT_TRUE(made) << made.error();
    return made ? *made : nullptr;
  }
  std::string error_of(const std::string& pem) const {
    const auto made = RevocationList::read(pem, both_->certificates(), std::time(nullptr));
    return made ? "none" : made.error();
  }
  // Of PEM texts of one certificate each, the client's own first.
  static Verdict judge(const RevocationList& list, const std::vector<std::string>& chain) {
    const OpensslPtr<STACK_OF(X509)> all(sk_X509_new_null());
    for (const std::string& each : chain) {
      const OpensslPtr<BIO> in(BIO_new_mem_buf(each.data(), static_cast<int>(each.size())));
      sk_X509_push(all.get(), PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
    }
    return list.judge(all.get(), std::time(nullptr));
  }

  CertificateMaker root_{"Root"};
  CertificateMaker middle_{"Middle", &root_};
  CertificateMaker other_{"Other"};
  std::string alice_ = root_.make({.is_client = true, .subject = "alice"}).certificate;
  std::string bob_ = root_.make({.is_client = true, .subject = "bob"}).certificate;
  std::string carol_ = middle_.make({.is_client = true, .subject = "carol"}).certificate;
  SharedClientAuthority both_ = authorities(root_.authority() + other_.authority());
};

TEST_F(RevocationListTest, SaysWhoIsRevoked) {
  const auto list = read(root_.revocations({.revoked = {alice_}}), both_);
  ASSERT_NE(list, nullptr);
  EXPECT_EQ(judge(*list, {alice_, root_.authority()}), Verdict::revoked);
  EXPECT_EQ(judge(*list, {bob_, root_.authority()}), Verdict::good);
  EXPECT_EQ(list->revoked_count(), 1U);
  EXPECT_GT(list->next_update(), list->due());
  EXPECT_EQ(judge(*list, {}), Verdict::unlisted);
}

TEST_F(RevocationListTest, WithoutAListOfTheIssuerNobodyCanTell) {
  const auto list = read(root_.revocations(), both_);
  const std::string dave = other_.make({.is_client = true}).certificate;
  EXPECT_EQ(judge(*list, {dave, other_.authority()}), Verdict::unlisted);
  EXPECT_EQ(judge(*list, {carol_, middle_.authority(), root_.authority()}), Verdict::unlisted);
  const auto lists =
      read(root_.revocations() + "for people\n" + other_.revocations({.revoked = {dave}}), both_);
  EXPECT_EQ(judge(*lists, {dave, other_.authority()}), Verdict::revoked);
  EXPECT_EQ(judge(*lists, {bob_, root_.authority()}), Verdict::good);
}

TEST_F(RevocationListTest, AuthoritiesBetweenAreLookedAt) {
  const auto three = authorities(root_.authority() + middle_.authority());
  const std::string of_middle = middle_.revocations();
  const auto good = read(root_.revocations() + of_middle, three);
  const std::vector<std::string> whole = {carol_, middle_.authority(), root_.authority()};
  const std::vector<std::string> partial = {carol_, middle_.authority()};
  EXPECT_EQ(judge(*good, whole), Verdict::good);
  EXPECT_EQ(judge(*good, partial), Verdict::good);
  const auto bad = read(root_.revocations({.revoked = {middle_.authority()}}) + of_middle, three);
  EXPECT_EQ(judge(*bad, whole), Verdict::revoked);
  EXPECT_EQ(judge(*bad, partial), Verdict::revoked) << "trusted as it stands, but taken back";
  EXPECT_EQ(judge(*bad, {bob_, root_.authority()}), Verdict::good);
  const CertificateMaker lowest("Lowest", &middle_);
  const auto four = authorities(root_.authority() + middle_.authority() + lowest.authority());
  const auto below =
      read(root_.revocations({.revoked = {middle_.authority()}}) + of_middle + lowest.revocations(),
           four);
  const std::string eve = lowest.make({.is_client = true}).certificate;
  EXPECT_EQ(judge(*below, {eve, lowest.authority()}), Verdict::revoked);
}

TEST_F(RevocationListTest, OneThatHasEndedBelievesNobody) {
  const auto list =
      read(root_.revocations({.revoked = {alice_}, .from_s = -7200, .to_s = -3600}), both_);
  EXPECT_EQ(judge(*list, {bob_, root_.authority()}), Verdict::out_of_date);
  EXPECT_EQ(judge(*list, {alice_, root_.authority()}), Verdict::revoked);
}

TEST_F(RevocationListTest, TheNewestOfAnAuthorityCounts) {
  const std::string old =
      root_.revocations({.revoked = {alice_, bob_}, .from_s = -7200, .to_s = -3600});
  const std::string now = root_.revocations({.revoked = {alice_}});
  for (const std::string& pem : {old + now, now + old}) {
    const auto list = read(pem, both_);
    EXPECT_EQ(judge(*list, {bob_, root_.authority()}), Verdict::good);
    EXPECT_EQ(judge(*list, {alice_, root_.authority()}), Verdict::revoked);
    EXPECT_GT(list->next_update(), std::time(nullptr));
  }
}

TEST_F(RevocationListTest, OneIsComparedWithAnother) {
  const auto now = read(root_.revocations(), both_);
  const auto old = read(root_.revocations({.from_s = -86400}), both_);
  EXPECT_TRUE(old->is_older_than(*now));
  EXPECT_FALSE(now->is_older_than(*old));
  EXPECT_FALSE(now->is_older_than(*now));
  EXPECT_FALSE(now->lacks_one_of(*old));
}

// Another one of the same name has not issued it, whatever its list says.
TEST_F(RevocationListTest, AnAuthorityOfTheSameNameIsAnotherOne) {
  CertificateMaker first("Same");
  CertificateMaker second("Same");
  const std::string both = first.authority() + second.authority();
  const auto list =
      read(first.revocations({.revoked = {second.authority()}}) + second.revocations(),
           authorities(both));
  const std::string client = second.make({.is_client = true}).certificate;
  EXPECT_EQ(judge(*list, {client, second.authority()}), Verdict::good);
}

TEST_F(RevocationListTest, WhatIsWrongIsSaid) {
  const std::string none = "there is no list of revoked certificates in it (PEM, `BEGIN X509 CRL`)";
  EXPECT_EQ(error_of(""), none);
  EXPECT_EQ(error_of(root_.authority()), none);
  const std::string good = root_.revocations();
  EXPECT_EQ(error_of(good + good.substr(0, good.size() / 2)), "a list in it is broken");
  for (const std::string& part : {good.substr(0, 15), good.substr(0, 5 + 5), root_.authority()})
    EXPECT_EQ(error_of(good + part),
              "beside its lists there is something else in it, or a part of one");
  const std::string stranger = "a list in it is not signed by an authority of `client_ca`";
  EXPECT_EQ(error_of(CertificateMaker("Stranger").revocations()), stranger);
  EXPECT_EQ(error_of(CertificateMaker("Root").revocations()), stranger) << "of that name alone";
  EXPECT_EQ(error_of(good + middle_.revocations()), stranger);
  EXPECT_EQ(error_of(root_.revocations({.to_s = 0})),
            "a list in it does not say how long it is good");
  EXPECT_EQ(error_of(root_.revocations({.from_s = 7200})), "a list in it is of the future");
  EXPECT_EQ(error_of(root_.revocations({.from_s = -10, .to_s = -20})),
            "a list in it ends before it begins");
  std::string many;
  for (std::size_t i = 0; i <= RevocationList::kCountMax; ++i)
    many += good;
  EXPECT_EQ(error_of(many), "more than 100 lists");
}

// A list that is changed on its way: no byte of it can be another one.
TEST_F(RevocationListTest, AChangedListIsRefused) {
  const std::string good = root_.revocations({.revoked = {alice_}});
  for (std::size_t i = good.find('\n') + 1; i + 30 < good.size(); i += 7) {
    if (good[i] == '\n') continue;
    std::string changed = good;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_NE(error_of(changed), "none") << i;
  }
}

// Who is not in a list that says less than all may be revoked nevertheless.
TEST_F(RevocationListTest, ListsThatSayLessThanAllAreRefused) {
  EXPECT_EQ(error_of(root_.revocations(
                {.extension = NID_delta_crl, .extension_value = "critical,DER:02:01:01"})),
            "a list in it says what has changed alone (delta CRL)");
  EXPECT_EQ(error_of(root_.revocations({.extension = NID_issuing_distribution_point,
                                        .extension_value = "critical,DER:30:03:81:01:FF"})),
            "a list in it is for some certificates alone (issuingDistributionPoint)");
  EXPECT_EQ(error_of(root_.revocations(
                {.extension = NID_freshest_crl, .extension_value = "critical,DER:30:00"})),
            "a list in it has a critical extension that is not known");
  EXPECT_EQ(
      error_of(root_.revocations({.extension = NID_freshest_crl, .extension_value = "DER:30:00"})),
      "none");
  const std::string odd = "an entry of a list has an extension that is not known";
  EXPECT_EQ(error_of(root_.revocations({.revoked = {alice_},
                                        .entry_extension = NID_certificate_issuer,
                                        .entry_extension_value = "DER:30:00"})),
            odd);
  EXPECT_EQ(error_of(root_.revocations({.revoked = {alice_},
                                        .entry_extension = NID_invalidity_date,
                                        .entry_extension_value = "critical,DER:05:00"})),
            odd);
  EXPECT_EQ(error_of(root_.revocations({.revoked = {alice_},
                                        .entry_extension = NID_crl_reason,
                                        .entry_extension_value = "DER:0A:01:01"})),
            "none");
}

}  // namespace
}  // namespace portunus::net
