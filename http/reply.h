// Answers that we make ourselves: a short body, plain or JSON by Accept, with Proxy-Status (RFC
// 9209) and the request id, and no version banner. One thread per Head and arena.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace portunus::http {

// Fills `head` (cleared first; its text goes to its arena) and returns the body. `request` may be
// null or incomplete. `status` 0 takes the error's own.
[[nodiscard]] std::string_view make_error_reply(const base::Error& error,
                                                std::uint16_t status,
                                                const Head* request,
                                                std::string_view request_id,
                                                Head& head);

}  // namespace portunus::http
