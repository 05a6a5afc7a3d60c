// What would become of a request: which listener, site and route take it, which pool and which member
// would get it now, and why. Made for people who ask the admin interface; by the same parser, tables
// and balancers that serve, and nothing is sent or counted. Control thread; may allocate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/admin_source.h"
#include "proxy/generation.h"

namespace portunus::proxy {

struct ExplainQuestion {
  std::string url =
      {};  // scheme://host[:port]/path?query; without a scheme: https where it is spoken
  std::string method = "GET";
  std::vector<std::string> fields = {};  // "Name: value"
  std::string client = "127.0.0.1";      // who is believed to ask
  std::string listener = {};             // its name; empty: by scheme and port
};

// A pool that the route may send it to.
struct ExplainedPool {
  std::size_t index = 0;  // in the generation
  double share = 1;       // of the route's requests
  bool is_chosen = true;  // for this one
  std::string next = {};  // the member that would get it; empty: none
  std::string why = {};   // that one, or none
  PoolView view = {};     // filled by who knows
};

struct Explanation {
  std::string method;
  std::string host;
  std::string path;  // as routes see it
  std::string listener;
  std::string site;          // empty: none has that host
  std::string route;         // empty: none matches
  std::string outcome;       // "forward", "redirect", "respond", "refuse"
  std::uint16_t status = 0;  // of the answer; 0: the member's
  std::string reason;        // why it is refused
  std::string location;      // of a redirect
  std::string upstream_path;
  std::vector<std::string> notes;  // what else is asked of the client
  std::vector<ExplainedPool> pools;
};

// `lists` are the members of the day, by pool index. The error says what is wrong with the question.
[[nodiscard]] std::expected<Explanation, std::string> explain(
    const Generation& generation,
    std::span<const SharedMemberList> lists,
    const ExplainQuestion& question);

}  // namespace portunus::proxy
