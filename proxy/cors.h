// What an answer says to browsers whose page is of another site (the CORS protocol of the Fetch
// standard). Pure functions; any thread.
#pragma once

#include <string_view>

#include "conf/model_cors.h"
#include "http/message.h"

namespace portunus::proxy {

// The method that a browser asks for before it sends the request itself; empty: it is no such question.
[[nodiscard]] std::string_view asked_method(const http::Head& request);

// Whether pages from there may read the answer. `cors_origin` is what the client's field says.
[[nodiscard]] bool is_allowed(const conf::Cors& cors, std::string_view cors_origin);

// Takes all fields of that protocol off, then adds ours. False when there is no room; then an answer
// that was allowed may lack some.
[[nodiscard]] bool apply_cors(const conf::Cors& cors,
                              std::string_view cors_origin,
                              http::HeaderBlock& fields);
// What is only in the answer to the question.
[[nodiscard]] bool add_preflight_fields(const conf::Cors& cors, http::HeaderBlock& fields);

}  // namespace portunus::proxy
