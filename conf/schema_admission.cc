#include <array>
#include <string>
#include <utility>

#include "conf/admission_reader.h"
#include "conf/header_text.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

// How long a used-up burst may take to come back: longer is no burst, but a ban.
constexpr std::uint64_t kRefillMax = 30 * kDay;

struct RateLimitDraft {
  RateLimit limit;
  Place rate_place;
  Place burst_place;  // line 0 = not given
};

void read_rate(Reader& reader, const Key& key, const Node& value, void* object) {
  RateLimitDraft& draft = *static_cast<RateLimitDraft*>(object);
  const auto text = reader.text(key, value);
  if (!text) return;
  draft.rate_place = value.place;
  const auto rate = parse_rate(*text);
  if (!rate) {
    reader.error(value.place, "`rate`: " + rate.error());
  } else if (rate->count == 0 || rate->count > RateLimit::kRequestsMax) {
    reader.error(value.place,
                 "`rate`: " + in_quotes(*text) + " is out of range: expected from 1 to " +
                     std::to_string(RateLimit::kRequestsMax) + " requests",
                 rate->count == 0 ? "`deny` and `respond` are for what nobody may ask for" : "");
  } else {
    draft.limit.requests = rate->count;
    draft.limit.per = rate->per;
  }
}

void read_burst(Reader& reader, const Key& key, const Node& value, void* object) {
  RateLimitDraft& draft = *static_cast<RateLimitDraft*>(object);
  draft.burst_place = value.place;
  reader.read(key, value, draft.limit.burst);
}

void read_rate_key(Reader& reader, const Key& key, const Node& value, void* object) {
  RateLimit& limit = static_cast<RateLimitDraft*>(object)->limit;
  const auto text = reader.text(key, value);
  if (!text) return;
  if (*text == "client_ip") {
    limit.key = RateKey::client_ip;
  } else if (*text == "path") {
    limit.key = RateKey::path;
  } else if (text->starts_with("header:") && is_token(text->substr(7))) {
    limit.key = RateKey::header;
    limit.key_name = lower_case(text->substr(7));
  } else if (text->starts_with("cookie:") && is_token(text->substr(7))) {
    limit.key = RateKey::cookie;
    limit.key_name = text->substr(7);
  } else {
    reader.error(value.place, "`key`: " + in_quotes(*text) +
                                  ": expected `client_ip`, `header:NAME`, `cookie:NAME` or `path`");
  }
}

template <auto kMember>
void limit_field(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<RateLimitDraft*>(object)->limit.*kMember);
}

constexpr std::array kRateHeaderWords{"off"sv, "limited"sv, "all"sv};

constexpr auto kRateLimitKeys = std::to_array<Key>({
    {.name = "rate",
     .type = Type::text,
     .read = read_rate,
     .doc = "Requests of one key in a second, minute, hour or day: `100/s`, `600/m`, `1000/h`, "
            "`5000/d`. They come back evenly, one after the other, not all at the end of the time.",
     .is_required = true},
    {.name = "burst",
     .type = Type::integer,
     .read = read_burst,
     .doc = "So many may come at once; without it the number of `rate`.",
     .min = 1,
     .max = RateLimit::kRequestsMax},
    {.name = "key",
     .type = Type::text,
     .read = read_rate_key,
     .initial = "client_ip",
     .doc = "What is counted together: `client_ip`, `header:NAME`, `cookie:NAME` or `path`. A "
            "request without that field or cookie counts for its client's address."},
    {.name = "ipv6_prefix",
     .type = Type::integer,
     .read = limit_field<&RateLimit::ipv6_prefix>,
     .initial = "64",
     .doc =
         "So many bits of an IPv6 address make one client: whoever has one usually has the whole "
         "network.",
     .min = 16,
     .max = 128},
    {.name = "keys",
     .type = Type::integer,
     .read = limit_field<&RateLimit::keys>,
     .initial = "100000",
     .doc = "So many keys are remembered at a time; each takes 16 to 32 bytes. With more, the one "
            "that is nearest to its whole burst is forgotten.",
     .min = 1000,
     .max = 10'000'000},
    {.name = "headers",
     .type = Type::choice,
     .read = limit_field<&RateLimit::headers>,
     .initial = "limited",
     .doc =
         "Which answers tell the limit in `RateLimit-Policy` and `RateLimit`: those that refuse a "
         "request, or all. `Retry-After` is in each refusal.",
     .choices = kRateHeaderWords},
    {.name = "report_only",
     .type = Type::boolean,
     .read = limit_field<&RateLimit::report_only>,
     .initial = "false",
     .doc = "Refuses nothing: metrics and the access log tell what would have been refused."},
});
constexpr Section kRateLimit{"`rate_limit`", kRateLimitKeys, {}};

void check_networks(Reader& reader, const Key& key, const Node& value, bool is_empty) {
  const bool is_empty_list = value.kind == NodeKind::sequence && reader.items(key, value).empty();
  if (!is_empty || !is_empty_list) return;  // something else has been reported
  reader.error(value.place, "`" + std::string(key.name) + "`: the list is empty",
               "take the key away, or name addresses such as 10.0.0.1 or networks such as "
               "10.0.0.0/8");
}

}  // namespace

const Section& rate_limit_section() {
  return kRateLimit;
}

void read_allow(Reader& reader, const Key& key, const Node& value, void* object) {
  AddressLists& lists = *static_cast<AddressLists*>(object);
  reader.read_networks(key, value, lists.allowed);
  check_networks(reader, key, value, lists.allowed.empty());
}

void read_deny(Reader& reader, const Key& key, const Node& value, void* object) {
  AddressLists& lists = *static_cast<AddressLists*>(object);
  reader.read_networks(key, value, lists.denied);
  check_networks(reader, key, value, lists.denied.empty());
}

void read_rate_limit(Reader& reader, const Key& /*key*/, const Node& value, void* object) {
  RateLimitDraft draft;
  if (value.kind == NodeKind::scalar) {
    read_rate(reader, kRateLimitKeys.front(), value, &draft);
  } else {
    reader.read_section(kRateLimit, value, &draft);
  }
  RateLimit& limit = draft.limit;
  if (limit.requests == 0) return;  // reported
  if (draft.burst_place.line == 0) limit.burst = limit.requests;
  const std::uint64_t refill_ms =
      limit.burst * static_cast<std::uint64_t>(limit.per.count()) / limit.requests;
  if (refill_ms > kRefillMax) {
    reader.error(draft.burst_place.line != 0 ? draft.burst_place : draft.rate_place,
                 "`burst`: at this rate a used-up one would come back in " +
                     std::to_string(refill_ms / kDay) + " days",
                 "30 days at most");
    return;
  }
  *static_cast<std::optional<RateLimit>*>(object) = std::move(limit);
}

}  // namespace portunus::conf
