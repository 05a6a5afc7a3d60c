#include "health/check_grpc.h"

#include <cstdint>
#include <optional>

#include "health/check_http.h"

namespace portunus::health {
namespace {

// A message on the wire: whether it is compressed, its length in four bytes, and itself.
constexpr std::size_t kPrefix = 5;
// Tags of protocol buffers: field 1 as text, and as a number.
constexpr char kTextTag = 0x0a;
constexpr char kNumberTag = 0x08;

enum Serving : std::uint8_t { unknown, serving, not_serving, service_unknown };

// The one field of a HealthCheckResponse; nothing when it is something else.
std::optional<std::uint8_t> read_serving(std::string_view body) {
  if (body.size() < kPrefix || body[0] != 0) return std::nullopt;
  const auto size = static_cast<std::uint8_t>(body[4]);
  const bool is_small = body[1] == 0 && body[2] == 0 && body[3] == 0;
  if (!is_small || body.size() < kPrefix + size) return std::nullopt;
  if (size == 0) return std::uint8_t{unknown};  // what is zero is left out
  const std::string_view message = body.substr(kPrefix, size);
  if (size != 2 || message[0] != kNumberTag) return std::nullopt;
  return static_cast<std::uint8_t>(message[1]);
}

// The status of the call, which stands behind its answer, or in the head when there is none; empty: it
// has not failed.
std::string_view failure_in(const http::FetchResult& answer) {
  for (const http::HeaderBlock* fields : {&answer.head->fields, answer.trailers}) {
    if (fields == nullptr) continue;
    const std::size_t at = fields->find("grpc-status");
    if (at != http::HeaderBlock::kNone && fields->field(at).value() != "0")
      return fields->field(at).value();
  }
  return {};
}

const char* name_of_serving(std::uint8_t value) {
  switch (value) {
    case serving:
      return "SERVING";
    case not_serving:
      return "NOT_SERVING";
    case service_unknown:
      return "SERVICE_UNKNOWN";
    default:
      return "UNKNOWN";
  }
}

}  // namespace

void ask_by_grpc(std::string_view service, http::FetchRequest& request) {
  request.method = http::Method::post;
  request.target = "/grpc.health.v1.Health/Check";
  request.speaks_h2 = true;
  request.fields = {{"content-type", "application/grpc"}, {"te", "trailers"}};
  std::string message;
  if (!service.empty()) {
    message += kTextTag;
    message += static_cast<char>(service.size());
    message += service;
  }
  request.body = std::string(kPrefix - 1, '\0');
  request.body += static_cast<char>(message.size());
  request.body += message;
  request.body_max = kBodyMax;
}

CheckResult judge_grpc_answer(const http::FetchResult& answer) {
  if (answer.head == nullptr) return judge_failure(answer.error, answer.is_late);
  CheckResult result;
  result.status = answer.head->status;
  const std::string_view failure = failure_in(answer);
  const auto value = read_serving(answer.body);
  if (result.status != 200) {
    result.detail = "unexpected status " + std::to_string(result.status);
  } else if (!failure.empty()) {
    result.detail = "grpc-status " + std::string(failure);
  } else if (value) {
    if (*value == serving) result.verdict = Verdict::good;
    result.detail = name_of_serving(*value);
  } else if (answer.error.is_error()) {
    result = judge_failure(answer.error, answer.is_late);
  } else {
    result.detail = "not an answer of grpc.health.v1";
  }
  return result;
}

}  // namespace portunus::health
