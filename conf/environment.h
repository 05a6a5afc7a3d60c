// `${NAME}` and `${NAME:-default}` in the text of a scalar, replaced from the environment of the
// process. Control thread.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace portunus::conf {

// `$${` stands for `${`; any other `$` for itself. The error says what is wrong, in words for the
// user.
[[nodiscard]] std::expected<std::string, std::string> replace_environment(std::string_view text);

}  // namespace portunus::conf
