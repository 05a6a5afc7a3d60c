#include "proxy/revocation_keeper.h"

#include <gtest/gtest.h>

#include <ctime>
#include <string>
#include <vector>

#include "metrics_parser.h"
#include "tests/support/certificate_maker.h"

namespace portunus::proxy {
namespace {

using testing_support::MetricsParser;

class RevocationKeeperTest : public testing::Test, public RevocationEvents {
 protected:
  RevocationKeeperTest() {
    model_.client_authorities.push_back(
        {"ca.pem", "crl.pem", net::ClientAuthority::read(maker_.authority()).value(), nullptr});
    static_cast<void>(authority().exchange_revocations(list()));
    keeper_.set_model(model_, now_);
  }
  void on_revocations_retired(net::SharedRevocationList list) override {
    retired_.push_back(std::move(list));
  }
  [[nodiscard]] const net::ClientAuthority& authority() const {
    return *model_.client_authorities[0].loaded;
  }
  [[nodiscard]] net::SharedRevocationList list(const test::RevocationWishes& wishes = {}) const {
    return net::RevocationList::read(maker_.revocations(wishes), authority().certificates(), now_)
        .value();
  }
  void take(net::SharedRevocationList list, std::string error = {}) {
    std::vector<net::FreshRevocations> fresh;
    fresh.push_back({model_.client_authorities[0].loaded, "ca.pem", "crl.pem", std::move(list),
                     std::move(error)});
    keeper_.take(std::move(fresh), now_);
  }

  test::CertificateMaker maker_;
  std::int64_t now_ = std::time(nullptr);
  conf::Model model_;
  RevocationKeeper keeper_{*this};
  std::vector<net::SharedRevocationList> retired_;
};

TEST_F(RevocationKeeperTest, ExchangesWhatIsGoodAndHandsBackTheOneBefore) {
  const net::RevocationList* const before = authority().revocations();
  const auto fresh = list({.revoked = {maker_.make({.is_client = true}).certificate}});
  take(fresh);
  EXPECT_EQ(authority().revocations(), fresh.get());
  ASSERT_EQ(retired_.size(), 1U);
  EXPECT_EQ(retired_[0].get(), before);
  const auto views = keeper_.views(model_);
  ASSERT_EQ(views.size(), 1U);
  EXPECT_EQ(views[0].revoked, 1U);
  EXPECT_TRUE(views[0].is_current);
  MetricsText text;
  render_revocations(views, text);
  const MetricsParser parsed(text.take());
  const std::string labels = R"({authority="ca.pem",file="crl.pem"})";
  EXPECT_EQ(parsed.value("portunus_client_crl_revoked_certificates" + labels), 1);
  EXPECT_EQ(parsed.value("portunus_client_crl_last_read_successful" + labels), 1);
  EXPECT_EQ(parsed.value("portunus_client_crl_next_update_timestamp_seconds" + labels),
            static_cast<double>(fresh->next_update()));
}

TEST_F(RevocationKeeperTest, WhatIsNoGoodKeepsTheOneBefore) {
  const net::RevocationList* const before = authority().revocations();
  take(nullptr, "a list in it is broken");
  EXPECT_EQ(authority().revocations(), before);
  EXPECT_FALSE(keeper_.views(model_)[0].is_current);
  take(list({.from_s = -7200, .to_s = -3600}));
  EXPECT_EQ(authority().revocations(), before) << "one that has ended would shut everybody out";
  EXPECT_FALSE(keeper_.views(model_)[0].is_current);
  EXPECT_TRUE(keeper_.is_any_bad());
  keeper_.set_model(model_, now_);
  EXPECT_FALSE(keeper_.views(model_)[0].is_current)
      << "a reload for something else changes nothing";
  take(list({.from_s = -2 * 86400}));
  EXPECT_EQ(authority().revocations(), before) << "who has been revoked since would be let in";
  take(list());
  EXPECT_NE(authority().revocations(), before);
  EXPECT_FALSE(keeper_.is_any_bad());
  EXPECT_TRUE(keeper_.views(model_)[0].is_current);
}

TEST_F(RevocationKeeperTest, ANewConfigurationBringsWhatIsNewer) {
  const auto older = list();
  const auto newer = list();
  model_.client_authorities[0].revocations = newer;
  keeper_.set_model(model_, now_);
  EXPECT_EQ(authority().revocations(), newer.get());
  model_.client_authorities[0].revocations = older;
  keeper_.set_model(model_, now_);
  EXPECT_EQ(authority().revocations(), newer.get()) << "what was read before it is not taken";
}

TEST_F(RevocationKeeperTest, SitesWithoutListsHaveNoFamily) {
  MetricsText text;
  render_revocations({}, text);
  EXPECT_EQ(text.take().find("portunus_client_crl"), std::string::npos);
}

}  // namespace
}  // namespace portunus::proxy
