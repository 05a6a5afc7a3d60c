// What of gRPC concerns a proxy that passes its calls on unread: how a call is known, how long its
// client waits, and how an error of ours is told: by a status of gRPC in a field of a 200 answer,
// since clients of gRPC do not judge by the status of HTTP (grpc/grpc: doc/PROTOCOL-HTTP2.md). Not
// for messages, which are bytes of a body here. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace portunus::base {
class Arena;
}  // namespace portunus::base

namespace portunus::http {

// Those that we give (grpc/grpc: doc/statuscodes.md); what members give passes as it is.
enum class GrpcStatus : std::uint8_t {
  cancelled = 1,
  unknown = 2,
  deadline_exceeded = 4,
  permission_denied = 7,
  resource_exhausted = 8,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  unauthenticated = 16,
};

// Whether a Content-Type is gRPC's: "application/grpc", "application/grpc+proto", with or without
// parameters. gRPC-Web is something else: its trailers are in its body.
[[nodiscard]] bool is_grpc(std::string_view content_type);
// A POST of that type over HTTP/2: over HTTP/1.1 there is no gRPC. The head may be incomplete.
[[nodiscard]] inline bool is_grpc_call(const Head& request) {
  return request.protocol == Protocol::http2 && request.method == Method::post &&
         is_grpc(request.fields.value_of(HeaderId::content_type));
}

// The value of grpc-timeout as milliseconds, rounded up. None when it is malformed.
[[nodiscard]] std::optional<std::uint64_t> read_grpc_timeout(std::string_view value);
// How long the client of a call waits for its end. None when it does not say so, or it is no call.
[[nodiscard]] std::optional<std::uint64_t> grpc_timeout_ms(const Head& request);

// What an end of ours means to the client of a call. `status` is the HTTP status of an answer that
// was held back; 0: none was.
[[nodiscard]] GrpcStatus grpc_status_of(base::EndReason reason, std::uint16_t status = 0);
// The two fields that end a call, in the head of an answer without a body or in trailers. False when
// there is no room.
[[nodiscard]] bool add_grpc_status(const base::Error& error,
                                   std::uint16_t status,
                                   base::Arena& arena,
                                   HeaderBlock& fields);

}  // namespace portunus::http
