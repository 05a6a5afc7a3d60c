#include "http/reply.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/arena.h"
#include "http/status.h"

namespace portunus::http {
namespace {

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

}  // namespace

std::string_view make_error_reply(const base::Error& error,
                                  std::uint16_t status,
                                  const Head* request,
                                  std::string_view request_id,
                                  Head& head) {
  base::Arena& arena = *head.arena;
  head.clear();
  head.status = status != 0 ? status : base::status_of(error.reason);
  const std::string_view reason = reason_phrase(head.status);
  const std::string_view name = base::name_of(error.reason);
  Text body(arena);
  if (wants_json(request)) {
    body << "{\"status\":" << head.status << ",\"error\":\"" << reason << "\",\"reason\":\"" << name
         << "\",\"request_id\":\"" << request_id << "\"}\n";
    head.fields.add(HeaderId::content_type, "application/json");
  } else {
    body << head.status << " " << reason << "\n" << name << "\n";
    if (!request_id.empty()) body << "request " << request_id << "\n";
    head.fields.add(HeaderId::content_type, "text/plain; charset=utf-8");
  }
  head.fields.add(HeaderId::cache_control, "no-store");
  head.fields.add(HeaderId::proxy_status, proxy_status(error, arena));
  if (!request_id.empty()) head.fields.add(HeaderId::x_request_id, request_id);
  head.body = BodyKind::length;
  head.content_length = body.view().size();
  return body.view();
}

}  // namespace portunus::http
