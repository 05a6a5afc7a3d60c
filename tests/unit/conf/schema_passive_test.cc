// `passive` and `circuit_breaker` of a pool.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "conf/load.h"

namespace portunus::conf {
namespace {

using testing::HasSubstr;

LoadResult load_pool(const std::string& keys) {
  return load_text(
      "sites: { \"*\": { pool: web } }\npools:\n  web: { upstreams: \"a:1\", " + keys + " }\n",
      "p.yaml");
}

Pool good_pool(const std::string& keys) {
  const LoadResult result = load_pool(keys);
  EXPECT_NE(result.model, nullptr) << format_text(result.diagnostics);
  return result.model == nullptr ? Pool() : result.model->pools.front();
}

std::string refused_pool(const std::string& keys) {
  const LoadResult result = load_pool(keys);
  EXPECT_EQ(result.model, nullptr) << keys;
  return format_text(result.diagnostics);
}

TEST(SchemaPassive, IsOnAndTheBreakerIsNot) {
  const Pool pool = good_pool("host: x");
  EXPECT_TRUE(pool.passive.is_on);
  EXPECT_FALSE(pool.breaker.is_on);
  EXPECT_FALSE(good_pool("passive: off").passive.is_on);
  EXPECT_TRUE(good_pool("circuit_breaker: true").breaker.is_on);
  EXPECT_TRUE(good_pool("circuit_breaker: { open_for: 1m }").breaker.is_on);
  EXPECT_FALSE(good_pool("circuit_breaker: off").breaker.is_on);
}

TEST(SchemaPassive, SaysWhatAFailureIs) {
  const FailureRule rule = good_pool("passive: { on: [reset, 500, 599] }").passive.on;
  EXPECT_TRUE(rule.counts(FailureKind::reset));
  EXPECT_FALSE(rule.counts(FailureKind::connect));
  EXPECT_FALSE(rule.counts(FailureKind::timeout));
  EXPECT_FALSE(rule.counts(FailureKind::protocol));
  EXPECT_TRUE(rule.counts(std::uint16_t{500}));
  EXPECT_TRUE(rule.counts(std::uint16_t{599}));
  EXPECT_FALSE(rule.counts(std::uint16_t{503}));
  const FailureRule all = good_pool("passive: { on: 5xx }").passive.on;
  for (std::uint16_t status = 500; status < 600; ++status)
    EXPECT_TRUE(all.counts(status));
  EXPECT_FALSE(all.counts(std::uint16_t{499}));
  EXPECT_FALSE(all.counts(FailureKind::reset));
}

TEST(SchemaPassive, RefusesWhatHasNoMeaning) {
  EXPECT_THAT(refused_pool("passive: { on: 404 }"), HasSubstr("a status from 500 to 599"));
  EXPECT_THAT(refused_pool("passive: { eject_for: 10m, max_eject_for: 5m }"),
              HasSubstr("`max_eject_for` is shorter than `eject_for`"));
  EXPECT_THAT(refused_pool("passive: { max_ejected: 101% }"), HasSubstr("max_ejected"));
  EXPECT_THAT(refused_pool("circuit_breaker: { half_open_requests: 0 }"),
              HasSubstr("half_open_requests"));
  EXPECT_THAT(refused_pool("circuit_breaker: { failure_ratio: 0.5 }"), HasSubstr("percentage"));
  EXPECT_THAT(refused_pool("circuit_breaker: maybe"), HasSubstr("expected true or false"));
}

TEST(SchemaPassive, TheLongestEjectionIsNoShorterThanTheFirst) {
  const Passive passive = good_pool("passive: { eject_for: 10m }").passive;
  EXPECT_EQ(passive.max_eject_for, passive.eject_for);
}

}  // namespace
}  // namespace portunus::conf
