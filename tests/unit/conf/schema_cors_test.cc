// Pages of other sites in the configuration.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "conf/load.h"

namespace portunus::conf {
namespace {

LoadResult load_cors(const std::string& value, const std::string& route = "") {
  return load_text(
      "sites: { '*': { cors: " + value + ", routes: [{ " + route + " respond: {} }] } }\n",
      "test.yaml");
}

Cors cors_of(const std::string& value) {
  const LoadResult result = load_cors(value);
  EXPECT_NE(result.model, nullptr) << format_text(result.diagnostics);
  return result.model == nullptr ? Cors{} : result.model->sites[0].cors.value_or(Cors{});
}

TEST(LoadCors, EveryKey) {
  Cors expected;
  expected.allow_origins = {"https://app.example.org", "http://*.example.net:8080"};
  expected.has_credentials = true;
  expected.methods = "GET, DELETE";
  expected.headers = "Content-Type, X-Tenant";
  expected.exposed = "ETag";
  expected.max_age = Milliseconds(3'600'000);
  expected.max_age_text = "3600";
  EXPECT_EQ(cors_of("{ origins: ['https://app.example.org', 'http://*.example.net:8080'], "
                    "credentials: true, methods: [GET, DELETE], headers: [Content-Type, X-Tenant], "
                    "expose: ETag, max_age: 1h }"),
            expected);
}

TEST(LoadCors, WhatIsNotGiven) {
  Cors expected;
  expected.allow_origins = {"https://a.example"};
  expected.methods = "GET, HEAD, POST";
  expected.max_age_text = "600";
  EXPECT_EQ(cors_of("{ origins: 'https://a.example' }"), expected);
  EXPECT_EQ(cors_of("['https://a.example']"), expected);
  EXPECT_EQ(cors_of("'https://a.example'"), expected);
  EXPECT_EQ(cors_of("{ origins: ['https://a.example'], credentials: false, "
                    "methods: [GET, HEAD, POST], max_age: 10m }"),
            expected);
  EXPECT_TRUE(cors_of("'*'").cors_any);
}

TEST(LoadCors, ARouteSaysItInsteadOfItsSite) {
  const LoadResult off = load_cors("'https://a.example'", "cors: off,");
  ASSERT_NE(off.model, nullptr) << format_text(off.diagnostics);
  EXPECT_FALSE(off.model->sites[0].routes[0].has_site_cors);
  EXPECT_FALSE(off.model->sites[0].routes[0].cors.has_value());
  const LoadResult own = load_cors("'https://a.example'", "cors: 'https://b.example',");
  ASSERT_NE(own.model, nullptr) << format_text(own.diagnostics);
  EXPECT_EQ(own.model->sites[0].routes[0].cors->allow_origins.at(0), "https://b.example");
}

TEST(LoadCors, AnAddressOfIp6) {
  for (const std::string text : {"http://[::1]", "http://[::1]:8080", "https://[2001:db8::443]"})
    EXPECT_EQ(cors_of("'" + text + "'").allow_origins, std::vector<std::string>{text});
}

TEST(LoadCors, AStarBelowATopLevelDomainGivesAWarning) {
  for (const char* const value :
       {"'https://*.org'", "['https://a.example', 'http://*.org:8080']"}) {
    const LoadResult result = load_cors(value);
    ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
    ASSERT_EQ(result.diagnostics.size(), 1U) << value;
    EXPECT_EQ(result.diagnostics[0].severity, Severity::warning);
    EXPECT_NE(result.diagnostics[0].message.find("every name right below"), std::string::npos)
        << result.diagnostics[0].message;
    EXPECT_GT(result.diagnostics[0].line, 0U);
  }
  for (const char* const value :
       {"'https://*.example.org'", "'http://*.localhost:3000'", "'https://intranet'"}) {
    EXPECT_TRUE(load_cors(value).diagnostics.empty()) << value;
  }
}

TEST(LoadCors, Nonsense) {
  struct Row {
    const char* value;
    const char* message;
  };
  const Row rows[] = {
      {"{ origins: ['*'], credentials: true }", "`*` does not go with `credentials`"},
      {"{ origins: ['https://a.example'], credentials: true, headers: ['*'] }",
       "`*` does not go with `credentials`"},
      {"{ origins: ['https://a.example'], credentials: true, methods: ['*'] }",
       "`*` does not go with `credentials`"},
      {"{ origins: ['https://a.example'], credentials: true, expose: ['*'] }",
       "`*` does not go with `credentials`"},
      {"{ origins: ['*', 'https://a.example'] }", "nothing stands beside it"},
      {"{ origins: [] }", "the list is empty"},
      {"{ credentials: true }", "needs the key `origins`"},
      {"{ origins: ['null'] }", "any page in a sandbox"},
      {"{ origins: ['a.example'] }", "expected a scheme and a host"},
      {"{ origins: ['https://a.example/'] }", "nothing but a scheme, a host and a port"},
      {"{ origins: ['https://*'] }", "nothing but a scheme, a host and a port"},
      {"{ origins: ['https://*a.example'] }", "nothing but a scheme, a host and a port"},
      {"{ origins: ['https://a.*.example'] }", "nothing but a scheme, a host and a port"},
      {"{ origins: ['*://a.example'] }", "expected a scheme and a host"},
      {"{ origins: ['https://u@a.example'] }", "nothing but a scheme, a host and a port"},
      {"{ origins: ['https://A.example'] }", "in lower case"},
      {"{ origins: ['https://a.example:443'] }", "leave the usual port out"},
      {"{ origins: ['http://a.example:80'] }", "leave the usual port out"},
      {"{ origins: ['http://[::1]:80'] }", "leave the usual port out"},
      {"{ origins: ['http://[::1'] }", "expected a scheme and a host"},
      {"{ origins: ['http://[::g]'] }", "expected a scheme and a host"},
      {"{ origins: ['http://[127.0.0.1]'] }", "expected a scheme and a host"},
      {"{ origins: ['http://*.[::1]'] }", "no names below an address"},
      {"{ origins: ['https://a.example'], methods: ['GET POST'] }", "is not a name"},
      {"{ origins: ['https://a.example'], max_age: 2d }", "max_age"},
  };
  for (const Row& row : rows) {
    const LoadResult result = load_cors(row.value);
    EXPECT_EQ(result.model, nullptr) << row.value;
    EXPECT_NE(format_text(result.diagnostics).find(row.message), std::string::npos)
        << row.value << '\n'
        << format_text(result.diagnostics);
  }
}

}  // namespace
}  // namespace portunus::conf
