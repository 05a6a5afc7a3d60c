// Answers that we make ourselves: a short body, plain or JSON by Accept, with Proxy-Status (RFC
// 9209) and the request id, and no version banner. A call of gRPC gets a status of gRPC instead: 200,
// the error in fields of the head, no body. One thread per Head and arena.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace portunus::http {

// Fills `head` (cleared first; its text goes to its arena) and returns the body: empty, the answer
// ends with its head. `request` may be null or incomplete. `status` 0 takes the error's own.
[[nodiscard]] std::string_view make_error_reply(const base::Error& error,
                                                std::uint16_t status,
                                                const Head* request,
                                                std::string_view request_id,
                                                Head& head);
// The status which that answer has: 200 to a call of gRPC, 0 when there is none to give.
[[nodiscard]] std::uint16_t error_status(const base::Error& error, const Head& request);

}  // namespace portunus::http
