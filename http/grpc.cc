#include "http/grpc.h"

#include <array>
#include <charconv>

#include "base/arena.h"
#include "http/grammar.h"

namespace portunus::http {
namespace {

using base::EndReason;

constexpr std::string_view kMediaType = "application/grpc";
constexpr std::size_t kTimeoutDigitsMax = 8;

std::string_view digits_of(GrpcStatus status, base::Arena& arena) {
  std::array<char, 3> digits;
  const auto [end, error] =
      std::to_chars(digits.data(), digits.data() + digits.size(), static_cast<unsigned>(status));
  return arena.copy({digits.data(), end});
}

// Of an answer of HTTP that says nothing about gRPC (grpc/grpc: doc/http-grpc-status-mapping.md).
GrpcStatus status_of_http(std::uint16_t status) {
  switch (status) {
    case 400:
    case 431:
      return GrpcStatus::internal;
    case 401:
      return GrpcStatus::unauthenticated;
    case 403:
      return GrpcStatus::permission_denied;
    case 404:
      return GrpcStatus::unimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return GrpcStatus::unavailable;
    default:
      return GrpcStatus::unknown;
  }
}

// The value of grpc-message: printable ASCII but '%' as it is, the rest as %XX.
std::string_view encode(std::string_view text, base::Arena& arena) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  char* const begin = arena.take(3 * text.size());
  char* at = begin;
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '%') {
      *at++ = c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    *at++ = '%';
    *at++ = kHex[byte >> 4];
    *at++ = kHex[byte & 0xf];
  }
  return {begin, static_cast<std::size_t>(at - begin)};
}

std::string_view message_of(const base::Error& error, base::Arena& arena) {
  const std::string_view name = base::name_of(error.reason);
  const std::string_view detail = error.detail;
  if (detail.empty()) return name;
  return encode(arena.extend(arena.join(name, ": "), detail), arena);
}

}  // namespace

bool is_grpc(std::string_view content_type) {
  if (content_type.size() < kMediaType.size() ||
      !is_same_ignoring_case(content_type.substr(0, kMediaType.size()), kMediaType)) {
    return false;
  }
  if (content_type.size() == kMediaType.size()) return true;
  const char next = content_type[kMediaType.size()];
  return next == '+' || next == ';' || next == ' ' || next == '\t';
}

std::optional<std::uint64_t> read_grpc_timeout(std::string_view value) {
  if (value.size() < 2 || value.size() > kTimeoutDigitsMax + 1) return {};
  std::uint64_t count = 0;
  for (const char c : value.substr(0, value.size() - 1)) {
    if (!is_digit(c)) return {};
    count = count * 10 + static_cast<std::uint64_t>(c - '0');
  }
  switch (value.back()) {
    case 'H':
      return count * 3'600'000;
    case 'M':
      return count * 60'000;
    case 'S':
      return count * 1'000;
    case 'm':
      return count;
    case 'u':
      return (count + 999) / 1'000;
    case 'n':
      return (count + 999'999) / 1'000'000;
    default:
      return {};
  }
}

std::optional<std::uint64_t> grpc_timeout_ms(const Head& request) {
  if (!is_grpc_call(request)) return {};
  const std::size_t at = request.fields.find("grpc-timeout");
  if (at == HeaderBlock::kNone) return {};
  return read_grpc_timeout(request.fields.field(at).value());
}

// NOLINTNEXTLINE(readability-function-size): one table, a row for each reason
GrpcStatus grpc_status_of(EndReason reason, std::uint16_t status) {
  switch (reason) {
    case EndReason::client_closed:
      return GrpcStatus::cancelled;
    // Time is over, whoever took too long; the member may have done what was asked.
    case EndReason::client_timeout:
    case EndReason::upstream_timeout:
      return GrpcStatus::deadline_exceeded;
    // Its answer is not of gRPC.
    case EndReason::rejected_forward_auth:
      return status == 0 ? GrpcStatus::permission_denied : status_of_http(status);
    // What clients may try again, by their own rules.
    case EndReason::upstream_connect:
    case EndReason::upstream_tls:
    case EndReason::upstream_reset:
    case EndReason::no_healthy_upstream:
    case EndReason::breaker_open:
    case EndReason::queue_full:
    case EndReason::queue_timeout:
    case EndReason::auth_busy:
    case EndReason::pool_full:
    case EndReason::overloaded:
    case EndReason::shutdown:
      return GrpcStatus::unavailable;

    // Their own answer would have been judged by its status.
    case EndReason::upstream_status:
      return status == 0 ? GrpcStatus::unavailable : status_of_http(status);

    case EndReason::rate_limited:
    case EndReason::client_limited:
    case EndReason::rejected_uri_length:
    case EndReason::rejected_header_size:
    case EndReason::rejected_body_size:
      return GrpcStatus::resource_exhausted;

    // A path is a method of a service.
    case EndReason::rejected_no_route:
    case EndReason::rejected_method:
      return GrpcStatus::unimplemented;
    case EndReason::rejected_address:
      return GrpcStatus::permission_denied;
    // The connection has not shown what this host asks for.
    case EndReason::rejected_misdirected:
    case EndReason::rejected_credentials:
      return GrpcStatus::unauthenticated;
    // Another try would meet the same.
    case EndReason::upstream_protocol:
    case EndReason::rejected_request_line:
    case EndReason::rejected_version:
    case EndReason::rejected_target:
    case EndReason::rejected_host:
    case EndReason::rejected_header:
    case EndReason::rejected_framing:
    case EndReason::rejected_transfer_coding:
    case EndReason::rejected_chunk:
    case EndReason::rejected_expect:
    case EndReason::internal:
      return GrpcStatus::internal;
    case EndReason::ok:
      return GrpcStatus::unknown;
  }
  return GrpcStatus::unknown;
}

bool add_grpc_status(const base::Error& error,
                     std::uint16_t status,
                     base::Arena& arena,
                     HeaderBlock& fields) {
  return fields.add("grpc-status", digits_of(grpc_status_of(error.reason, status), arena)) &&
         fields.add("grpc-message", message_of(error, arena));
}

}  // namespace portunus::http
