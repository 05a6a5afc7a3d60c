#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "conf/header_text.h"
#include "conf/model.h"
#include "conf/pool_reader.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t kBodyBufferMax = std::uint64_t{1024} * 1024;

// `connect`, `reset`, `timeout`, or a status that says that somebody else might do better.
void read_on(Reader& reader, const Key& key, const Node& value, void* object) {
  Retry& retry = *static_cast<Retry*>(object);
  retry.on_connect = retry.on_reset = retry.on_timeout = false;
  retry.on_status.clear();
  for (const Node* item : reader.items(key, value)) {
    const auto text = reader.text(key, *item);
    if (!text) continue;
    if (*text == "connect") {
      retry.on_connect = true;
    } else if (*text == "reset") {
      retry.on_reset = true;
    } else if (*text == "timeout") {
      retry.on_timeout = true;
    } else if (const auto status = parse_integer(*text);
               status && *status >= 400 && *status <= 599) {
      retry.on_status.push_back(static_cast<std::uint16_t>(*status));
    } else {
      reader.error(item->place, "`on`: `" + std::string(*text) +
                                    "`: expected `connect`, `reset`, `timeout` or a status from "
                                    "400 to 599 such as 503");
    }
  }
  std::ranges::sort(retry.on_status);
}

void read_retried_methods(Reader& reader, const Key& key, const Node& value, void* object) {
  auto& methods = static_cast<Retry*>(object)->methods;
  methods.clear();
  for (const Node* item : reader.items(key, value)) {
    const auto text = reader.text(key, *item);
    if (!text) continue;
    const bool is_method =
        is_token(*text) && std::ranges::none_of(*text, [](char c) { return c >= 'a' && c <= 'z'; });
    if (!is_method) {
      reader.error(item->place,
                   "`methods`: `" + std::string(*text) + "`: expected a method such as POST");
      continue;
    }
    methods.emplace_back(*text);
  }
}

constexpr auto kRetryKeys = std::to_array<Key>({
    {.name = "attempts",
     .type = Type::integer,
     .read = field<&Retry::attempts>,
     .initial = "3",
     .doc = "A request is sent at most so often. Tries that did not reach a member (refused "
            "connections) do not count.",
     .min = 1,
     .max = 100},
    {.name = "for",
     .type = Type::duration,
     .read = field<&Retry::window>,
     .initial = "10s",
     .doc = "No try begins later than this after the request came; so long a request waits for a "
            "member when none is up. 0s = a request is tried once.",
     .max = kHour},
    {.name = "every",
     .type = Type::duration,
     .read = field<&Retry::pause>,
     .initial = "1s",
     .doc = "The pause before a member is tried for the same request again, when there is no other "
            "to try. A member that comes up ends it at once; a `Retry-After` of the member makes "
            "it longer.",
     .min = 10,
     .max = kHour},
    {.name = "on",
     .type = Type::list,
     .read = read_on,
     .initial = "[connect, reset, timeout, 502, 503, 504]",
     .doc = "What is tried again. `connect`: no byte reached the member (any method). `reset`: the "
            "connection broke before an answer. `timeout`: no answer in time. A status: instead of "
            "that answer."},
    {.name = "methods",
     .type = Type::list,
     .read = read_retried_methods,
     .initial = "[GET, HEAD, OPTIONS, TRACE, PUT, DELETE]",
     .doc = "Requests that may be sent twice; others only with an `Idempotency-Key` field."},
    {.name = "budget",
     .type = Type::percent,
     .read = field<&Retry::budget_ratio>,
     .initial = "20%",
     .doc = "Requests being sent again at a time, of the pool's requests in flight, at least 3 "
            "(both on each thread). More wait until one of them ends; instead of a listed status, "
            "the member's answer is passed on."},
    {.name = "body_buffer",
     .type = Type::size,
     .read = field<&Retry::body_buffer>,
     .initial = "64KiB",
     .doc = "Of a body that may be sent twice, so much is kept; a larger one is sent once.",
     .max = kBodyBufferMax},
    {.name = "per_try",
     .type = Type::duration,
     .read = field<&Retry::per_try>,
     .initial = "0s",
     .doc = "How long one try may take until its answer begins, once the request has been sent; "
            "0s = the pool's `first_byte` alone.",
     .max = kHour},
});
constexpr Section kRetry{"`retry`", kRetryKeys, {}};

}  // namespace

const Section& retry_section() {
  return kRetry;
}

void read_retry(Reader& reader, const Key& key, const Node& value, void* object) {
  Retry& retry = *static_cast<Retry*>(object);
  if (value.kind == NodeKind::scalar && value.text == "off") {
    retry.window = Milliseconds{0};
    return;
  }
  reader.read_section(*key.section, value, &retry);
}

}  // namespace portunus::conf
