// Names and passwords in the configuration.
#include <gtest/gtest.h>

#include <string>

#include "conf/load.h"

namespace portunus::conf {
namespace {

constexpr const char* kHash = "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy";

LoadResult load_auth(const std::string& value, const std::string& route = "") {
  return load_text(
      "sites: { '*': { basic_auth: " + value + ", routes: [{ " + route + " respond: {} }] } }\n",
      "test.yaml");
}

std::string users(const std::string& name = "alice", const std::string& more = "") {
  return "{ users: { '" + name + "': '" + kHash + "'" + more + " } }";
}

TEST(LoadBasicAuth, EveryKey) {
  const LoadResult result =
      load_auth("{ users: { bob: '" + std::string(kHash) + "', alice: '" + kHash +
                "' }, realm: Our shop, user_header: X-Remote-User, " + "pass_credentials: true }");
  ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
  BasicAuth expected;
  expected.users = {{"alice", kHash}, {"bob", kHash}};
  expected.challenge = "Basic realm=\"Our shop\", charset=\"UTF-8\"";
  expected.user_field = "x-remote-user";
  expected.passes_credentials = true;
  EXPECT_EQ(result.model->sites[0].basic_auth, expected);
  EXPECT_EQ(result.model->sites[0].basic_auth->find("bob"),
            &result.model->sites[0].basic_auth->users[1]);
  EXPECT_EQ(result.model->sites[0].basic_auth->find("bo"), nullptr);
  EXPECT_EQ(result.model->sites[0].basic_auth->find("carol"), nullptr);
}

TEST(LoadBasicAuth, ARouteSaysItInsteadOfItsSite) {
  const LoadResult off = load_auth(users(), "basic_auth: off,");
  ASSERT_NE(off.model, nullptr) << format_text(off.diagnostics);
  EXPECT_FALSE(off.model->sites[0].routes[0].has_site_auth);
  EXPECT_FALSE(off.model->sites[0].routes[0].basic_auth.has_value());
  const LoadResult own = load_auth(users(), "basic_auth: " + users("bob") + ",");
  ASSERT_NE(own.model, nullptr) << format_text(own.diagnostics);
  EXPECT_EQ(own.model->sites[0].routes[0].basic_auth->users.at(0).name, "bob");
}

TEST(LoadBasicAuth, Nonsense) {
  struct Row {
    std::string value;
    const char* message;
  };
  const Row rows[] = {
      {"on", "basic_auth"},
      {"{ realm: x }", "`users`"},
      {"{ users: {} }", "no user is left"},
      {"{ users: alice }", "expected names with hashes"},
      {"{ users: { alice: hunter2 } }", "no hash, or one"},
      {"{ users: { alice: 'open sesame' } }", "no hash of a password"},
      {"{ users: { alice: '$1$abcdefgh$znAnv9M.XU2pRYfmSs46h/' } }", "easily guessed"},
      {users("a:b"), "has a space, a colon"},
      {users("a b"), "has a space, a colon"},
      {users(std::string(129, 'a')), "longer than 128"},
      {"{ users: { alice: '" + std::string(kHash) + "' }, realm: 'a\"b' }", "no quotes"},
      {"{ users: { alice: '" + std::string(kHash) + "' }, user_header: 'X Y' }",
       "cannot be its name"},
      {"{ users: { alice: '" + std::string(kHash) + "' }, user_header: Host }",
       "cannot be its name"},
      {"{ users: { alice: '" + std::string(kHash) + "' }, user_header: X_User }",
       "cannot be its name"},
      {"{ users: { alice: '" + std::string(kHash) + "' }, user_header: X-Forwarded-For }",
       "cannot be its name"},
  };
  for (const Row& row : rows) {
    const LoadResult result = load_auth(row.value);
    EXPECT_EQ(result.model, nullptr) << row.value;
    const std::string text = format_text(result.diagnostics);
    EXPECT_NE(text.find(row.message), std::string::npos) << row.value << ": " << text;
  }
}

// It may be a password, written there by mistake.
TEST(LoadBasicAuth, WhatStandsThereIsInNoMessage) {
  for (const char* value : {"{ users: { alice: hunter2 } }", "{ users: hunter2 }",
                            "{ users: { alice: hunter2 }, realm: 'a\"b' }"}) {
    const std::string text = format_text(load_auth(value).diagnostics);
    EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace portunus::conf
