#include "http/reply.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/arena.h"
#include "http/grpc.h"
#include "http/status.h"

namespace portunus::http {
namespace {

constexpr std::uint16_t kCallStatus = 200;            // whatever becomes of a call of gRPC
constexpr std::string_view kRetryAfterSeconds = "1";  // of a shortage, which nobody can foresee

// It has been refused for want of room, and may be within its bounds a moment later.
bool is_shortage(base::EndReason reason) {
  using base::EndReason;
  return reason == EndReason::queue_full || reason == EndReason::queue_timeout ||
         reason == EndReason::pool_full || reason == EndReason::client_limited ||
         reason == EndReason::auth_busy || reason == EndReason::overloaded;
}

// Whether the client would rather have JSON: it names a JSON type and no HTML or text before it.
bool wants_json(const Head* request) {
  if (request == nullptr) return false;
  const std::string_view accept = request->fields.value_of(HeaderId::accept);
  const std::size_t json = accept.find("json");
  if (json == std::string_view::npos) return false;
  return std::min(accept.find("text/"), accept.find("*/*")) > json;
}

// Text built at the end of the arena.
class Text {
 public:
  explicit Text(base::Arena& arena) : arena_(arena) {}
  Text& operator<<(std::string_view part) {
    text_ = text_.empty() ? arena_.copy(part) : arena_.extend(text_, part);
    return *this;
  }
  Text& operator<<(unsigned number) {
    std::array<char, 12> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    return *this << std::string_view(digits.data(), static_cast<std::size_t>(end - digits.data()));
  }
  [[nodiscard]] std::string_view view() const { return text_; }

 private:
  base::Arena& arena_;
  std::string_view text_;
};

std::string_view proxy_status(const base::Error& error, base::Arena& arena) {
  Text text(arena);
  text << "portunus";
  const std::string_view type = base::proxy_status_of(error.reason);
  if (!type.empty()) text << "; error=" << type;
  text << "; details=\"" << base::name_of(error.reason) << "\"";
  return text.view();
}

// The body, after the fields that tell of it.
std::string_view put_body(const base::Error& error,
                          const Head* request,
                          std::string_view request_id,
                          Head& head) {
  const std::string_view reason = reason_phrase(head.status);
  const std::string_view name = base::name_of(error.reason);
  Text body(*head.arena);
  if (wants_json(request)) {
    body << "{\"status\":" << head.status << ",\"error\":\"" << reason << "\",\"reason\":\"" << name
         << "\",\"request_id\":\"" << request_id << "\"}\n";
    head.fields.add(HeaderId::content_type, "application/json");
  } else {
    body << head.status << " " << reason << "\n" << name << "\n";
    if (!request_id.empty()) body << "request " << request_id << "\n";
    head.fields.add(HeaderId::content_type, "text/plain; charset=utf-8");
  }
  head.body = BodyKind::length;
  head.content_length = body.view().size();
  return body.view();
}

// An answer of gRPC that has nothing but its end.
void put_call_end(const base::Error& error, std::uint16_t status, Head& head) {
  head.status = kCallStatus;
  head.fields.add(HeaderId::content_type, "application/grpc");
  static_cast<void>(add_grpc_status(error, status, *head.arena, head.fields));
  head.body = BodyKind::none;
}

}  // namespace

std::string_view make_error_reply(const base::Error& error,
                                  std::uint16_t status,
                                  const Head* request,
                                  std::string_view request_id,
                                  Head& head) {
  head.clear();
  std::string_view body;
  if (request != nullptr && is_grpc_call(*request)) {
    put_call_end(error, status, head);
  } else {
    head.status = status != 0 ? status : base::status_of(error.reason);
    body = put_body(error, request, request_id, head);
  }
  head.fields.add(HeaderId::cache_control, "no-store");
  if (is_shortage(error.reason)) head.fields.add(HeaderId::retry_after, kRetryAfterSeconds);
  head.fields.add(HeaderId::proxy_status, proxy_status(error, *head.arena));
  if (!request_id.empty()) head.fields.add(HeaderId::x_request_id, request_id);
  return body;
}

std::uint16_t error_status(const base::Error& error, const Head& request) {
  const std::uint16_t status = base::status_of(error.reason);
  return status != 0 && is_grpc_call(request) ? kCallStatus : status;
}

}  // namespace portunus::http
