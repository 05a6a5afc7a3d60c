#include "http/message.h"

#include <array>

namespace portunus::http {
namespace {

constexpr std::array<std::string_view, 10> kMethods{
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "_OTHER"};

}  // namespace

std::string_view name_of(Method method) {
  return kMethods[static_cast<std::size_t>(method)];
}

Method method_of(std::string_view text) {
  for (std::size_t i = 0; i + 1 < kMethods.size(); ++i) {
    if (kMethods[i] == text) return static_cast<Method>(i);
  }
  return Method::other;
}

bool is_idempotent(Method method) {
  switch (method) {
    case Method::get:
    case Method::head:
    case Method::put:
    case Method::delete_:
    case Method::options:
    case Method::trace:
      return true;
    case Method::post:
    case Method::patch:
    case Method::connect:
    case Method::other:
      return false;
  }
  return false;
}

std::string_view name_of(Protocol protocol) {
  switch (protocol) {
    case Protocol::http10:
      return "HTTP/1.0";
    case Protocol::http11:
      return "HTTP/1.1";
    case Protocol::http2:
      return "HTTP/2.0";
  }
  return "";
}

void Head::clear() {
  method = Method::get;
  method_text = scheme = authority = host = path = query = reason = upgrade_token = {};
  has_query = expects_continue = upgrade = insists_on_upgrade = false;
  status = 0;
  protocol = Protocol::http11;
  body = BodyKind::none;
  content_length = 0;
  fields.clear();
}

}  // namespace portunus::http
