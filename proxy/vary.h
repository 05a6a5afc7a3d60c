// That an answer depends on a field of the request (RFC 9110 section 12.5.5). Pure functions.
#pragma once

#include <string_view>

#include "http/header_block.h"

namespace portunus::proxy {

// Whether one of the fields with that id has this element, in any case.
[[nodiscard]] bool has_element(const http::HeaderBlock& fields,
                               http::HeaderId id,
                               std::string_view lower);
// Vary with that name, unless it says so already. False when there is no room. Both names are the
// same; they outlive the block.
[[nodiscard]] bool add_vary(http::HeaderBlock& fields,
                            std::string_view name,
                            std::string_view lower);

}  // namespace portunus::proxy
