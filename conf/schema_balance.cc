// `balance` of a pool, and what goes with `consistent_hash`.
#include <array>
#include <string>

#include "conf/header_text.h"
#include "conf/pool_draft.h"
#include "conf/reader.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

// The last word has no enumerator: it is consistent_hash on the client's address.
constexpr std::array kBalances{"least_connections"sv, "round_robin"sv, "random_two"sv,
                               "consistent_hash"sv, "source"sv};

void read_balance(Reader& reader, const Key& key, const Node& value, void* object) {
  PoolDraft& draft = *static_cast<PoolDraft*>(object);
  const auto choice = reader.read_choice(key, value);
  if (!choice) return;
  draft.is_source = *choice + 1 == kBalances.size();
  draft.pool.balance = draft.is_source ? Balance::consistent_hash : static_cast<Balance>(*choice);
}

void read_hash_on(Reader& reader, const Key& key, const Node& value, void* object) {
  PoolDraft& draft = *static_cast<PoolDraft*>(object);
  const auto text = reader.text(key, value);
  if (!text) return;
  draft.has_hash_on = true;
  draft.hash_on_place = value.place;
  HashKey& hash = draft.pool.hash_on;
  if (*text == "client_ip") {
    hash = {HashSource::client_ip, {}};
  } else if (*text == "path") {
    hash = {HashSource::path, {}};
  } else if (*text == "host") {
    hash = {HashSource::host, {}};
  } else if (text->starts_with("header:") && is_token(text->substr(7))) {
    hash = {HashSource::header, lower_case(text->substr(7))};
  } else if (text->starts_with("cookie:") && is_token(text->substr(7))) {
    hash = {HashSource::cookie, std::string(text->substr(7))};
  } else {
    reader.error(value.place,
                 "`hash_on`: `" + std::string(*text) +
                     "`: expected `client_ip`, `header:NAME`, `cookie:NAME`, `path` or `host`");
  }
}

void read_hash_bound(Reader& reader, const Key& key, const Node& value, void* object) {
  PoolDraft& draft = *static_cast<PoolDraft*>(object);
  reader.read(key, value, draft.pool.hash_bound_ratio);
  draft.hash_bound_place = value.place;
}

}  // namespace

void check_hash(Reader& reader, const PoolDraft& draft) {
  const bool is_hash = draft.pool.balance == Balance::consistent_hash;
  if (draft.has_hash_on && (draft.is_source || !is_hash)) {
    reader.error(draft.hash_on_place, "`hash_on` works with `balance: consistent_hash` only");
  }
  if (draft.hash_bound_place && !is_hash) {
    reader.error(*draft.hash_bound_place,
                 "`hash_bound` works with `balance: consistent_hash` and `source` only");
  }
}

Key balance_key() {
  return {.name = "balance",
          .type = Type::choice,
          .read = read_balance,
          .initial = "least_connections",
          .doc =
              "Which member takes the next request. `source` is `consistent_hash` on the client's "
              "address.",
          .choices = kBalances};
}

Key hash_on_key() {
  return {
      .name = "hash_on",
      .type = Type::text,
      .read = read_hash_on,
      .initial = "client_ip",
      .doc = "For `consistent_hash`: `client_ip`, `header:NAME`, `cookie:NAME`, `path` or `host`."};
}

Key hash_bound_key() {
  return {.name = "hash_bound",
          .type = Type::percent,
          .read = read_hash_bound,
          .initial = "0%",
          .doc =
              "For `consistent_hash` and `source`: a member that has so much more than its share "
              "of the pool's requests in flight is passed over for the next one of the key, such "
              "as `25%`. 0% = whatever it has, it keeps its keys."};
}

}  // namespace portunus::conf
