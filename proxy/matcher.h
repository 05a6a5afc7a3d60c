// What a route asks of a request besides host and path: method, header fields, query parameters.
// All must hold; of several methods, or of several fields of one name, one is enough. Compiled from
// the configuration when a route table is built, immutable, any thread; matching allocates nothing.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "conf/model.h"
#include "http/message.h"

namespace portunus::proxy {

class Matcher {
 public:
  // `match` outlives the matcher.
  explicit Matcher(const conf::Match& match);

  // Nothing to ask: matches() is always true.
  [[nodiscard]] static bool is_trivial(const conf::Match& match) {
    return match.methods.empty() && match.headers.empty() && match.query.empty();
  }
  [[nodiscard]] bool matches(const http::Head& request) const;

 private:
  struct HeaderTest {
    http::HeaderId id;  // `other`: compare names
    const conf::FieldMatch* test;
  };

  [[nodiscard]] bool matches_method(const http::Head& request) const;

  std::vector<HeaderTest> headers_;
  const conf::Match* match_;
  std::uint16_t methods_ = 0;  // one bit for each method that http::Method knows; 0: any
};

// Whether a parameter of that name in `query` (without `?`) passes the test. Percent-encoding and
// `+` are decoded on both name and value, so that a client cannot hide a parameter by writing it
// another way.
[[nodiscard]] bool matches_query(const conf::FieldMatch& test, std::string_view query);

}  // namespace portunus::proxy
