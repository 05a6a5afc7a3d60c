#include "conf/reference.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "conf/consul_reader.h"
#include "conf/load.h"
#include "conf/schema.h"

namespace portunus::conf {
namespace {

// The tests run in the root of the project.
std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(Reference, PageInDocsIsUpToDate) {
  EXPECT_EQ(read_file("docs/reference.md"), reference_markdown())
      << "write it anew: portunus config reference > docs/reference.md";
}

// Every key of the table, wherever it hangs, is on the page and in the schema.
void check_section(const Section& section, const nlohmann::json& schema, const std::string& page) {
  for (const Key& key : section.keys) {
    const std::string name(key.name);
    EXPECT_NE(page.find("| `" + name + "` |"), std::string::npos) << name;
    EXPECT_FALSE(key.doc.empty()) << name;
    EXPECT_NE(key.read, nullptr) << name;
    ASSERT_TRUE(schema["properties"].contains(name)) << name;
    const nlohmann::json& value = schema["properties"][name];
    if (key.type == Type::section) {
      check_section(*key.section, value["anyOf"][0], page);
    } else if (key.type == Type::map) {
      check_section(*key.section, value["additionalProperties"]["anyOf"][0], page);
    }
  }
  EXPECT_EQ(schema["additionalProperties"], false);
}

TEST(Reference, SchemaIsJsonAndHoldsEveryKey) {
  const nlohmann::json schema = nlohmann::json::parse(json_schema());
  check_section(root_section(), schema, reference_markdown());
}

// `initial` of the table against the defaults of model.h: written out, they change nothing.
void append_defaults(std::string& out, const Section& section, const std::string& indent) {
  for (const Key& key : section.keys) {
    // Allowed with consistent_hash only.
    if (key.name == "hash_on" || key.name == "hash_bound") continue;
    if (key.name == "scale") continue;  // of a test of its own
    if (key.name == "proxy_protocol" && key.type == Type::section) continue;  // has none
    if (!key.initial.empty()) {
      out += indent + std::string(key.name) + ": " + std::string(key.initial) + '\n';
    } else if (key.type == Type::section && key.name != "match") {
      out += indent + std::string(key.name) + ":\n";
      if (key.name == "health") out += indent + "  path: /\n";
      if (key.section == &consul_service_section()) out += indent + "  service: web\n";
      append_defaults(out, *key.section, indent + "  ");
    }
  }
}

const Key& find(const Section& section, std::string_view name) {
  for (const Key& key : section.keys) {
    if (key.name == name) return key;
  }
  throw std::out_of_range(std::string(name));
}

TEST(Reference, DefaultsOfTableAreThoseOfModel) {
  const Section& site = *find(root_section(), "sites").section;
  const Section& route = *find(site, "routes").section;
  const Section& pool = *find(root_section(), "pools").section;
  std::string text;
  append_defaults(text, root_section(), "");
  text += "pools:\n  web:\n    upstreams:\n      - address: 127.0.0.1:1\n";
  append_defaults(text, *find(pool, "upstreams").section, "        ");
  append_defaults(text, pool, "    ");
  text += "services:\n  cron:\n    command: x\n    ports: \"1\"\n";
  append_defaults(text, *find(root_section(), "services").section, "    ");
  text += "listeners:\n  main:\n    address: :2\n";
  append_defaults(text, *find(root_section(), "listeners").section, "    ");
  text +=
      "sites:\n  \"*\":\n    routes:\n      - match: { path: /a }\n        redirect:\n          "
      "to: /\n";
  append_defaults(text, *find(route, "redirect").section, "          ");
  text += "      - match: { path: /b }\n        respond:\n";
  append_defaults(text, *find(route, "respond").section, "          ");
  text += "      - match: { path: /c }\n        compress:\n";
  append_defaults(text, *find(route, "compress").section, "          ");
  text += "        cors:\n          origins: '*'\n";
  append_defaults(text, *find(route, "cors").section, "          ");
  text += "        respond: {}\n";
  text += "      - pool: web\n";

  const std::string_view short_text =
      "access_log: { }\npools:\n  web: { upstreams: [127.0.0.1:1], consul: web, health: { path: / "
      "}, tls: { }, "
      "circuit_breaker: { }, sticky: { }, overload: { adaptive: { } } }\n"
      "services: { cron: { command: x, ports: \"1\", health: { path: / } } }\n"
      "listeners: { main: \":2\" }\n"
      "sites:\n  \"*\":\n    routes:\n      - { match: { path: /a }, redirect: / }\n"
      "      - { match: { path: /b }, respond: { } }\n"
      "      - { match: { path: /c }, compress: on, cors: '*', respond: { } }\n"
      "      - pool: web\n";
  const LoadResult long_form = load_text(text, "long.yaml");
  const LoadResult short_form = load_text(short_text, "short.yaml");
  ASSERT_TRUE(long_form.model) << format_text(long_form.diagnostics) << text;
  ASSERT_TRUE(short_form.model) << format_text(short_form.diagnostics);
  EXPECT_TRUE(*long_form.model == *short_form.model) << text;
}

TEST(Reference, DefaultsOfScaleAreThoseOfModel) {
  std::string text =
      "sites: { \"*\": { pool: web } }\npools: { web: { } }\nservices:\n  web:\n    command: x\n"
      "    pool: web\n    ports: 9001-9009\n    replicas: { min: 1, max: 8 }\n    scale:\n";
  const std::string short_text = text + "      cpu: 70%\n";
  append_defaults(text, *find(*find(root_section(), "services").section, "scale").section,
                  "      ");
  text.replace(text.find("cpu: 0%"), 7, "cpu: 70%");
  const LoadResult long_form = load_text(text, "long.yaml");
  const LoadResult short_form = load_text(short_text, "short.yaml");
  ASSERT_TRUE(long_form.model) << format_text(long_form.diagnostics) << text;
  ASSERT_TRUE(short_form.model) << format_text(short_form.diagnostics);
  EXPECT_TRUE(*long_form.model == *short_form.model) << text;
}

}  // namespace
}  // namespace portunus::conf
