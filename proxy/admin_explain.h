// POST /v1/routes/explain: its body, and the answer. Control thread.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "proxy/explain.h"

namespace portunus::proxy {

// {"url": …, "method": …, "headers": ["Name: value"], "client": …, "listener": …}; only the first is
// needed. The error says what is wrong with it.
[[nodiscard]] std::expected<ExplainQuestion, std::string> read_question(std::string_view body);

[[nodiscard]] std::string explanation_json(const Explanation& explanation);

}  // namespace portunus::proxy
