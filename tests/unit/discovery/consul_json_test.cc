#include "discovery/consul_json.h"

#include <gtest/gtest.h>

#include <string>

namespace portunus::discovery {
namespace {

// One entry; the parts may be replaced.
struct EntryText {
  std::string id = "web-1";
  std::string node = "n1";
  std::string node_address = "10.0.0.1";
  std::string address{};
  std::string port = "8080";
  std::string checks = R"([{"CheckID":"c","Name":"alive","Status":"passing"}])";
  std::string meta = "{}";
  std::string weights = R"({"Passing":10,"Warning":4})";

  [[nodiscard]] std::string text() const {
    return R"({"Node":{"Node":")" + node + R"(","Address":")" + node_address +
           R"("},"Service":{"ID":")" + id + R"(","Service":"web","Address":")" + address +
           R"(","Port":)" + port + R"(,"Meta":)" + meta + R"(,"Weights":)" + weights +
           R"(},"Checks":)" + checks + "}";
  }
};

ParsedInstances parse(const std::string& document, WarningRule rule = WarningRule::consul_weight) {
  auto parsed = parse_health(document, rule, 100);
  EXPECT_TRUE(parsed.has_value()) << (parsed ? "" : parsed.error());
  return parsed ? *parsed : ParsedInstances{};
}

// The only instance of a document with this entry alone.
Instance only(const EntryText& entry, WarningRule rule = WarningRule::consul_weight) {
  const ParsedInstances parsed = parse("[" + entry.text() + "]", rule);
  EXPECT_EQ(parsed.instances.size(), 1U) << parsed.left_out_reason;
  return parsed.instances.empty() ? Instance{} : parsed.instances.front();
}

TEST(ConsulJson, AnEntryBecomesAnInstance) {
  const Instance instance = only({});
  EXPECT_EQ(instance.id, "web-1");
  EXPECT_EQ(instance.node, "n1");
  EXPECT_EQ(instance.name, "10.0.0.1:8080");
  EXPECT_EQ(instance.address.text(), "10.0.0.1:8080");
  EXPECT_EQ(instance.weight, 10U);
  EXPECT_EQ(instance.status, InstanceStatus::passing);
  EXPECT_TRUE(instance.is_usable);
  EXPECT_FALSE(instance.is_draining);
  EXPECT_EQ(instance.reason, "");
}

TEST(ConsulJson, TheServicesAddressGoesBeforeTheNodes) {
  EXPECT_EQ(only({.address = "10.9.9.9"}).name, "10.9.9.9:8080");
  EXPECT_EQ(only({.address = "fd00::1"}).name, "[fd00::1]:8080");
}

TEST(ConsulJson, TheWorstCheckCounts) {
  struct Case {
    const char* checks;
    InstanceStatus status;
    bool is_usable;
    bool is_draining;
    const char* reason;
  };
  const Case cases[] = {
      {"[]", InstanceStatus::passing, true, false, ""},
      {"null", InstanceStatus::passing, true, false, ""},
      {R"([{"CheckID":"a","Name":"A","Status":"warning"},{"CheckID":"b","Status":"passing"}])",
       InstanceStatus::warning, true, false, "A: warning"},
      {R"([{"CheckID":"a","Name":"A","Status":"warning"},{"CheckID":"b","Status":"critical"}])",
       InstanceStatus::critical, false, false, "A: warning; b: critical"},
      {R"([{"CheckID":"a","Status":"never heard of"}])", InstanceStatus::critical, false, false,
       "a: critical"},
      {R"([{"CheckID":"_node_maintenance","Status":"critical"}])", InstanceStatus::maintenance,
       false, true, "_node_maintenance: maintenance"},
      {R"([{"CheckID":"_service_maintenance:web-1","Name":"M","Status":"critical"}])",
       InstanceStatus::maintenance, false, true, "M: maintenance"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.checks);
    const Instance instance = only({.checks = one.checks});
    EXPECT_EQ(instance.status, one.status);
    EXPECT_EQ(instance.is_usable, one.is_usable);
    EXPECT_EQ(instance.is_draining, one.is_draining);
    EXPECT_EQ(instance.reason, one.reason);
  }
}

TEST(ConsulJson, WeightsByRule) {
  const std::string warning = R"([{"CheckID":"a","Status":"warning"}])";
  struct Case {
    WarningRule rule;
    std::uint32_t passing;
    std::uint32_t warning;
    bool is_warning_usable;
  };
  const Case cases[] = {{WarningRule::consul_weight, 10, 4, true},
                        {WarningRule::half_weight, 20, 10, true},
                        {WarningRule::unusable, 10, 4, false}};
  for (const Case& one : cases) {
    EXPECT_EQ(only({}, one.rule).weight, one.passing);
    const Instance warns = only({.checks = warning}, one.rule);
    EXPECT_EQ(warns.weight, one.warning);
    EXPECT_EQ(warns.is_usable, one.is_warning_usable);
  }
  EXPECT_FALSE(only({.checks = warning, .weights = R"({"Passing":1,"Warning":0})"}).is_usable);
  EXPECT_EQ(only({.weights = "null"}).weight, 1U);
  EXPECT_EQ(only({.weights = R"({"Passing":-5})"}).weight, 1U);
  EXPECT_EQ(only({.weights = R"({"Passing":99999999999})"}).weight, kConsulWeightMax);
}

TEST(ConsulJson, Meta) {
  EXPECT_EQ(only({.meta = R"({"portunus_weight":"7"})"}).weight, 7U);
  EXPECT_TRUE(only({.meta = R"({"portunus_priority":"backup"})"}).is_backup);
  EXPECT_FALSE(only({.meta = R"({"portunus_priority":"normal"})"}).is_backup);
  EXPECT_EQ(only({.meta = R"({"portunus_group":"green-2"})"}).group, "green-2");
  for (const char* wrong : {R"({"portunus_weight":"0"})", R"({"portunus_weight":"1001"})",
                            R"({"portunus_weight":"2x"})", R"({"portunus_priority":"high"})",
                            R"({"portunus_group":"a b"})"}) {
    SCOPED_TRACE(wrong);
    const Instance instance = only({.meta = wrong});
    EXPECT_EQ(instance.weight, 10U);
    EXPECT_FALSE(instance.is_backup);
    EXPECT_EQ(instance.group, "");
    EXPECT_NE(instance.reason.find("meta portunus_"), std::string::npos);
  }
}

TEST(ConsulJson, WhatCannotBeAMemberIsLeftOut) {
  struct Case {
    EntryText entry;
    const char* reason;
  };
  const Case cases[] = {
      {{.address = "web.internal"}, "web-1: its address is not an IP address"},
      {{.address = "0.0.0.0"}, "web-1: its address is that of no host"},
      {{.node_address = ""}, "web-1: no address"},
      {{.port = "0"}, "web-1: no port"},
      {{.port = "65536"}, "web-1: no port"},
      {{.port = "-1"}, "web-1: no port"},
      {{.port = "\"80\""}, "web-1: no port"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.reason);
    const EntryText good{.id = "good", .node_address = "10.0.0.2"};
    const ParsedInstances parsed = parse("[" + one.entry.text() + "," + good.text() + "]");
    ASSERT_EQ(parsed.instances.size(), 1U);
    EXPECT_EQ(parsed.instances[0].id, "good");
    EXPECT_EQ(parsed.left_out, 1U);
    EXPECT_EQ(parsed.left_out_reason, one.reason);
  }
}

TEST(ConsulJson, TheSameInstanceTwiceIsOne) {
  const EntryText first{};
  const EntryText again{.address = "10.0.0.7"};
  const EntryText elsewhere{.node = "n2", .address = "10.0.0.8"};
  const ParsedInstances parsed =
      parse("[" + first.text() + "," + again.text() + "," + elsewhere.text() + "]");
  ASSERT_EQ(parsed.instances.size(), 2U);
  EXPECT_EQ(parsed.instances[0].name, "10.0.0.1:8080");
  EXPECT_EQ(parsed.instances[1].name, "10.0.0.8:8080");
  EXPECT_EQ(parsed.left_out_reason, "web-1: the same instance twice");
}

TEST(ConsulJson, OfOneAddressTheBetterOneStays) {
  const EntryText old{.id = "old", .checks = R"([{"CheckID":"a","Status":"critical"}])"};
  const EntryText fresh{.id = "fresh"};
  for (const std::string& document :
       {"[" + old.text() + "," + fresh.text() + "]", "[" + fresh.text() + "," + old.text() + "]"}) {
    const ParsedInstances parsed = parse(document);
    ASSERT_EQ(parsed.instances.size(), 1U);
    EXPECT_EQ(parsed.instances[0].id, "fresh");
    EXPECT_EQ(parsed.left_out, 1U);
  }
}

TEST(ConsulJson, InOrderOfNames) {
  const EntryText b{.id = "b", .node_address = "10.0.0.2"};
  const EntryText a{.id = "a"};
  const ParsedInstances parsed = parse(" [ " + b.text() + " ,\n" + a.text() + " ] \n");
  ASSERT_EQ(parsed.instances.size(), 2U);
  EXPECT_EQ(parsed.instances[0].id, "a");
  EXPECT_TRUE(parse("[]").instances.empty());
}

TEST(ConsulJson, WhatIsNotConsulsIsRefusedWhole) {
  const std::string good = EntryText{}.text();
  struct Case {
    std::string document;
    const char* error;
  };
  const Case cases[] = {
      {"", "not an array"},
      {"null", "not an array"},
      {"{}", "not an array"},
      {"[", "not an array of objects"},
      {"[1]", "not an array of objects"},
      {"[" + good, "not an array of objects"},
      {"[" + good + ",]", "not an array of objects"},
      {"[" + good + "]]", "something behind the array"},
      {"[" + good.substr(0, good.size() - 1), "cut off"},
      {"[{\"a\":\"\\", "cut off"},
      {"[{]}]", "not JSON"},
      {"[{a}]", "not JSON"},
      {"[{\"a\":\"\xff\"}]", "not JSON"},
      {"[{}]", "an entry without node or service"},
      {R"([{"Node":{},"Service":{}}])", "an entry without id, or with too long a one"},
      {"[" + EntryText{.id = std::string(kConsulNameMax + 1, 'x')}.text() + "]",
       "an entry without id, or with too long a one"},
      {"[" + EntryText{.checks = "7"}.text() + "]", "checks that are none"},
      {"[" + EntryText{.checks = "[7]"}.text() + "]", "checks that are none"},
      {"[" + EntryText{.meta = std::string(20, '[') + std::string(20, ']')}.text() + "]",
       "nested too deeply"},
      {"[" + EntryText{.node = std::string(kConsulEntryMax, 'x')}.text() + "]",
       "an entry is too large"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.document.substr(0, 60));
    const auto parsed = parse_health(one.document, WarningRule::consul_weight, 100);
    ASSERT_FALSE(parsed.has_value());
    EXPECT_STREQ(parsed.error(), one.error);
  }
}

TEST(ConsulJson, TheNumberOfEntriesIsBounded) {
  const std::string entry = EntryText{}.text();
  const std::string document = "[" + entry + "," + entry + "," + entry + "]";
  EXPECT_TRUE(parse_health(document, WarningRule::consul_weight, 3).has_value());
  const auto parsed = parse_health(document, WarningRule::consul_weight, 2);
  ASSERT_FALSE(parsed.has_value());
  EXPECT_STREQ(parsed.error(), "more instances than are allowed");
}

}  // namespace
}  // namespace portunus::discovery
