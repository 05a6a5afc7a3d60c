// A pool while it is read, for the parts of the schema that read it. On the stack of one load.
#pragma once

#include <optional>

#include "conf/draft.h"
#include "conf/model.h"
#include "conf/schema.h"

namespace portunus::conf {

// What the order of its keys must not decide.
struct PoolDraft {
  Pool pool;
  bool is_source = false;  // balance: source
  bool has_hash_on = false;
  Place hash_on_place;
  std::optional<Place> hash_bound_place;
  std::optional<Place> protocol_place;
  std::optional<Place> health_place;
};

// The members: schema_members.cc. The object is a PoolDraft.
[[nodiscard]] const Section& upstream_section();
void read_upstreams(Reader& reader, const Key& key, const Node& value, void* object);

// Who takes the next request: schema_balance.cc.
[[nodiscard]] Key balance_key();
[[nodiscard]] Key hash_on_key();
[[nodiscard]] Key hash_bound_key();
void check_hash(Reader& reader, const PoolDraft& draft);

}  // namespace portunus::conf
