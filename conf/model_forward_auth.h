// A service that is asked about each request before it goes on. See conf/model.h for what holds for all of
// the model.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "conf/model_values.h"

namespace portunus::conf {

struct ForwardAuth {
  static constexpr std::size_t kFieldsMax = 32;

  std::size_t pool = 0;  // index into Model::pools
  std::string path = "/";
  std::string query;  // without `?`
  bool has_query = false;
  // Of the service's answer, put on the request; in lower case, each once. Clients cannot send them.
  std::vector<std::string> copied_fields;
  Milliseconds timeout{5'000};  // for the whole answer's head and all tries
  friend bool operator==(const ForwardAuth&, const ForwardAuth&) = default;
};

}  // namespace portunus::conf
