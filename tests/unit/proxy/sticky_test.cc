#include "proxy/sticky.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/allocations.h"

namespace portunus::proxy {
namespace {

using http::HeaderBlock;
using http::HeaderId;

constexpr std::uint64_t kNow = 1'800'000'000;
constexpr const char* kSecret = "0123456789abcdef0123456789abcdef";

MemberList sticky_members(const std::vector<std::string>& names) {
  MemberList list;
  for (const std::string& name : names) {
    list.entries.push_back(
        {std::make_shared<health::Member>("app", name, net::Address()), 1, false});
  }
  return list;
}

class StickyTest : public testing::Test {
 protected:
  Sticky make(const conf::Sticky& rule = {},
              const std::string& secret = kSecret,
              const std::string& pool = "app") {
    Sticky sticky(rule, secret, pool);
    sticky.set_members(list_);
    return sticky;
  }
  // The Set-Cookie field for the member at that place.
  std::string field_for(Sticky& sticky, std::size_t place, bool is_https = false) {
    HeaderBlock answer;
    sticky.add(sticky.id_at(place), is_https, kNow, arena_, answer);
    return std::string(answer.value_of(HeaderId::set_cookie));
  }
  // "name=value" of it.
  std::string pair_for(Sticky& sticky, std::size_t place) {
    const std::string field = field_for(sticky, place);
    return field.substr(0, field.find(';'));
  }
  Sticky::Named read(Sticky& sticky,
                     const std::vector<std::string>& fields,
                     std::uint64_t now_s = kNow) {
    HeaderBlock request;
    for (const std::string& field : fields)
      request.add(HeaderId::cookie, field);
    return sticky.read(request, now_s);
  }
  // What is left of a request's cookies, field by field.
  std::string stripped(const std::vector<std::string>& fields) {
    const Sticky sticky = make();
    HeaderBlock request;
    for (const std::string& field : fields)
      request.add(HeaderId::cookie, field);
    sticky.strip(request, arena_);
    std::string out;
    for (std::size_t i = 0; i < request.size(); ++i) {
      if (!request.is_removed(i)) out += "<" + std::string(request.field(i).value()) + ">";
    }
    return out;
  }

  base::ChunkPool chunks_;
  base::Arena arena_{chunks_};
  MemberList list_ = sticky_members({"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"});
};

TEST_F(StickyTest, ACookieNamesItsMember) {
  Sticky sticky = make();
  for (std::size_t i = 0; i < 3; ++i) {
    const Sticky::Named named = read(sticky, {"a=b; " + pair_for(sticky, i) + "; c=d"});
    ASSERT_NE(named.id, 0U);
    EXPECT_EQ(sticky.find(named.id), i);
    EXPECT_FALSE(named.is_due);
  }
}

TEST_F(StickyTest, AnotherProcessWithTheSameSecretUnderstandsIt) {
  Sticky here = make();
  const std::string cookie = pair_for(here, 1);
  list_ = sticky_members({"10.0.0.9:80", "10.0.0.2:80"});  // and another order
  Sticky there = make();
  EXPECT_EQ(there.find(read(there, {cookie}).id), 1U);
}

TEST_F(StickyTest, AMemberThatHasGoneIsNobody) {
  Sticky sticky = make();
  const std::string cookie = pair_for(sticky, 2);
  list_ = sticky_members({"10.0.0.1:80", "10.0.0.2:80"});
  sticky.set_members(list_);
  const Sticky::Named named = read(sticky, {cookie});
  EXPECT_NE(named.id, 0U) << "the cookie is good";
  EXPECT_EQ(sticky.find(named.id), Sticky::kNobody);
}

TEST_F(StickyTest, TellsNoAddress) {
  Sticky sticky = make();
  Sticky other = make({}, "another secret of 32 characters!");
  EXPECT_EQ(pair_for(sticky, 0).find("10"), std::string::npos);
  EXPECT_NE(sticky.id_at(0), other.id_at(0)) << "who guesses addresses cannot try them";
}

TEST_F(StickyTest, ForeignCookiesAreIgnored) {
  Sticky sticky = make();
  const std::string cookie = pair_for(sticky, 0);
  Sticky other_secret = make({}, "another secret of 32 characters!");
  EXPECT_EQ(read(other_secret, {cookie}).id, 0U);
  Sticky other_pool = make({}, kSecret, "other");
  EXPECT_EQ(read(other_pool, {cookie}).id, 0U);
  conf::Sticky rule;
  rule.cookie = "home";
  Sticky other_name = make(rule);
  EXPECT_EQ(read(other_name, {cookie}).id, 0U);
}

TEST_F(StickyTest, NoCharacterCanBeChanged) {
  Sticky sticky = make();
  const std::string cookie = pair_for(sticky, 0);
  const std::size_t begin = cookie.find('=') + 1;
  ASSERT_EQ(cookie.size() - begin, Sticky::kText);
  for (std::size_t i = begin; i < cookie.size(); ++i) {
    for (const char c : std::string("A_9+ \x01\xff")) {
      std::string forged = cookie;
      if (forged[i] == c) continue;
      forged[i] = c;
      EXPECT_EQ(read(sticky, {forged}).id, 0U) << forged;
    }
  }
}

TEST_F(StickyTest, OtherLengthsAreIgnored) {
  Sticky sticky = make();
  const std::string cookie = pair_for(sticky, 0);
  for (std::size_t size = 0; size < cookie.size(); ++size)
    EXPECT_EQ(read(sticky, {cookie.substr(0, size)}).id, 0U) << size;
  EXPECT_EQ(read(sticky, {cookie + "A"}).id, 0U);
  EXPECT_EQ(read(sticky, {cookie + cookie}).id, 0U);
  EXPECT_EQ(read(sticky, {cookie + std::string(30'000, 'A')}).id, 0U);
  EXPECT_NE(read(sticky, {"portunus=\"" + cookie.substr(9) + "\""}).id, 0U)
      << "quotes are its form";
}

TEST_F(StickyTest, AnExpiredOneIsIgnoredAndAnOldOneIsDue) {
  Sticky sticky = make();  // an hour
  const std::string cookie = pair_for(sticky, 0);
  EXPECT_FALSE(read(sticky, {cookie}, kNow + 1800).is_due);
  EXPECT_TRUE(read(sticky, {cookie}, kNow + 1801).is_due);
  EXPECT_NE(read(sticky, {cookie}, kNow + 3599).id, 0U);
  EXPECT_EQ(read(sticky, {cookie}, kNow + 3600).id, 0U);
}

TEST_F(StickyTest, OfSeveralTheFirstGoodOneCountsAndFewAreLookedAt) {
  Sticky sticky = make();
  const std::string good = pair_for(sticky, 1);
  const std::string bad = "portunus=" + std::string(Sticky::kText, 'A');
  EXPECT_EQ(sticky.find(read(sticky, {bad + "; " + good}).id), 1U);
  EXPECT_EQ(sticky.find(read(sticky, {bad, "x=y", good}).id), 1U);
  EXPECT_EQ(sticky.find(read(sticky, {bad + ";" + bad, bad + ";" + good}).id), 1U);
  EXPECT_EQ(read(sticky, {bad + ";" + bad, bad + ";" + bad + ";" + good}).id, 0U);
}

// ---- what it looks like

TEST_F(StickyTest, Attributes) {
  using Secure = conf::CookieSecure;
  using Site = conf::SameSite;
  struct Row {
    int ttl_ms;
    Secure secure;
    Site same_site;
    bool is_https;
    const char* expected;
  };
  constexpr int kHourMs = 3'600'000;
  const Row rows[] = {
      {kHourMs, Secure::automatic, Site::lax, false,
       "; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"},
      {kHourMs, Secure::automatic, Site::lax, true,
       "; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"},
      {kHourMs, Secure::always, Site::lax, false,
       "; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"},
      {kHourMs, Secure::never, Site::lax, true, "; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"},
      {90'500, Secure::automatic, Site::strict, false,
       "; Path=/; Max-Age=90; HttpOnly; SameSite=Strict"},
      {kHourMs, Secure::automatic, Site::none, true,
       "; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=None"},
      {kHourMs, Secure::automatic, Site::none, false, "; Path=/; Max-Age=3600; HttpOnly"},
  };
  for (const Row& row : rows) {
    conf::Sticky rule;
    rule.ttl = conf::Milliseconds(row.ttl_ms);
    rule.secure = row.secure;
    rule.same_site = row.same_site;
    Sticky sticky = make(rule);
    const std::string field = field_for(sticky, 0, row.is_https);
    EXPECT_EQ(field.substr(field.find(';')), row.expected);
    EXPECT_TRUE(field.starts_with("portunus="));
  }
}

TEST_F(StickyTest, AFullAnswerGoesWithout) {
  Sticky sticky = make();
  HeaderBlock answer;
  while (answer.add("x-a", "b")) {
  }
  sticky.add(sticky.id_at(0), false, kNow, arena_, answer);
  EXPECT_FALSE(answer.has(HeaderId::set_cookie));
}

// ---- what members see

TEST_F(StickyTest, MembersDoNotSeeIt) {
  EXPECT_EQ(stripped({"a=b; c=d"}), "<a=b; c=d>");
  EXPECT_EQ(stripped({"portunus=x"}), "");
  EXPECT_EQ(stripped({"portunus=x; a=b"}), "<a=b>");
  EXPECT_EQ(stripped({"a=b; portunus=x"}), "<a=b>");
  EXPECT_EQ(stripped({"a=b; portunus=x; c=d; portunus=y; e=f"}), "<a=b; c=d; e=f>");
  EXPECT_EQ(stripped({"a=b", "portunus=x", "c=d;portunus=x"}), "<a=b><c=d>");
  EXPECT_EQ(stripped({"portunus=1;a=1;b=2;c=3;d;e;;f"}), "<a=1;b=2;c=3;d;e;;f>");
  EXPECT_EQ(stripped({" portunus=x ;\ta=b"}), "<a=b>");
  EXPECT_EQ(stripped({"portunus2=x; xportunus=y; Portunus=z"}),
            "<portunus2=x; xportunus=y; Portunus=z>");
}

TEST_F(StickyTest, AnswersForSharedCachesAreKnown) {
  struct Row {
    const char* value;
    bool is_shared;
  };
  for (const Row& row :
       {Row{"public", true}, Row{"max-age=60, Public", true}, Row{"private, s-maxage=10", true},
        Row{"s-maxage = 10", true}, Row{"private", false}, Row{"no-store", false},
        Row{"max-age=60", false}, Row{"publicity, x=public", false}, Row{"", false}}) {
    HeaderBlock answer;
    answer.add(HeaderId::cache_control, row.value);
    EXPECT_EQ(is_for_shared_caches(answer), row.is_shared) << row.value;
  }
  EXPECT_FALSE(is_for_shared_caches(HeaderBlock()));
}

TEST_F(StickyTest, ARequestTakesNoMemoryBesidesTheArena) {
  Sticky sticky = make();
  const std::string cookie = "a=b; " + pair_for(sticky, 0);
  const auto serve = [&] {
    HeaderBlock request;
    request.add(HeaderId::cookie, cookie);
    EXPECT_NE(sticky.read(request, kNow).id, 0U);
    sticky.strip(request, arena_);
    HeaderBlock answer;
    sticky.add(sticky.id_at(0), true, kNow, arena_, answer);
  };
  serve();
  const std::size_t before = test::heap_count();
  for (int i = 0; i < 5; ++i)
    serve();
  EXPECT_EQ(test::heap_count(), before);
}

}  // namespace
}  // namespace portunus::proxy
