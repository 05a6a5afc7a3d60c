#include "discovery/consul_settings.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace portunus::discovery {
namespace {

TEST(ConsulSettings, AKeyIsTheNameUnlessThereIsMore) {
  EXPECT_EQ(key_of({.service = "web"}), "web");
  EXPECT_EQ(key_of({.service = "web", .tags = {"a"}}), "web,tag=1:a");
}

TEST(ConsulSettings, DifferentQueriesHaveDifferentKeys) {
  std::vector<ServiceQuery> queries(15);
  for (ServiceQuery& query : queries)
    query.service = "web";
  queries[1].tags = {"a", "b"};
  queries[2].tags = {"a,tag=1:b"};
  queries[3].node_meta = {{"a", "b"}};
  queries[4].filter = "a";
  queries[5].datacenter = "a";
  queries[6].name_space = "a";
  queries[7].partition = "a";
  queries[8].near = "a";
  queries[9].may_be_stale = true;
  queries[10].warning = WarningRule::consul_weight;
  queries[11].warning = WarningRule::unusable;
  queries[12].guard.is_on = false;
  queries[13].guard.loss_percent = 20;
  queries[14].node_meta = {{"a", ""}};
  std::set<std::string> keys;
  for (const ServiceQuery& query : queries)
    keys.insert(key_of(query));
  EXPECT_EQ(keys.size(), queries.size());
}

}  // namespace
}  // namespace portunus::discovery
