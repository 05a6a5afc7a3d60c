// Which pages of other sites may read what a site or a route answers (the CORS protocol of the Fetch
// standard). See conf/model.h for what holds for all of the model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "conf/model_values.h"

namespace portunus::conf {

struct Cors {
  static constexpr std::size_t kCorsMax = 100;

  // `https://app.example.org`, `https://*.example.org:8443` (the star is one label); never empty
  // unless cors_any.
  std::vector<std::string> allow_origins;
  bool cors_any = false;  // `*`; never with credentials
  bool has_credentials = false;
  std::string methods;  // as in the header fields of the answer; empty = none is sent
  std::string headers;
  std::string exposed;
  Milliseconds max_age{600'000};
  std::string max_age_text;  // in seconds
  friend bool operator==(const Cors&, const Cors&) = default;
};

}  // namespace portunus::conf
