// What a service hears that decides about requests (`forward_auth`), and the fields by which it says who
// the user is: a client must be able to forge neither, in no spelling. Pure; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "http/header_block.h"
#include "http/message.h"

namespace portunus::proxy {

// `name` in lower case, one of `names` when '_' and '.' are read as '-'.
[[nodiscard]] bool is_auth_field(std::span<const std::string> names, std::string_view name);
void remove_auth_fields(std::span<const std::string> names, http::HeaderBlock& fields);
// What the service says, on the request. False when the block is full.
[[nodiscard]] bool copy_auth_fields(std::span<const std::string> names,
                                    const http::HeaderBlock& answer,
                                    http::Head& request);

// The question about a request: GET, with its fields but those of its body, of a condition, and those
// that would speak for the proxy or the service. `names`: what the service says of users. False when
// the block is full. To be followed by http::forward_request(), then by name_request().
[[nodiscard]] bool make_question(const http::Head& request,
                                 std::span<const std::string> names,
                                 http::Head& question);
// Which request it is about: X-Forwarded-Method and -Uri.
[[nodiscard]] bool name_request(const http::Head& request, http::Head& question);

}  // namespace portunus::proxy
