#include "proxy/auth_fields.h"

#include <algorithm>

namespace portunus::proxy {

using http::HeaderId;

namespace {

char fold(char c) {
  return c == '_' || c == '.' ? '-' : c;
}

bool is_like(std::string_view name, std::string_view wanted) {
  return std::ranges::equal(name, wanted, {}, fold);
}

bool begins_like(std::string_view name, std::string_view wanted) {
  return name.size() >= wanted.size() && is_like(name.substr(0, wanted.size()), wanted);
}

// Of the body, which does not go there, of what the client has already, and of another protocol.
constexpr std::uint64_t kNotAsked =
    http::header_bit(HeaderId::removed) | http::header_bit(HeaderId::content_encoding) |
    http::header_bit(HeaderId::content_length) | http::header_bit(HeaderId::content_type) |
    http::header_bit(HeaderId::expect) | http::header_bit(HeaderId::trailer) |
    http::header_bit(HeaderId::transfer_encoding) | http::header_bit(HeaderId::te) |
    http::header_bit(HeaderId::upgrade) | http::header_bit(HeaderId::range) |
    http::header_bit(HeaderId::if_match) | http::header_bit(HeaderId::if_modified_since) |
    http::header_bit(HeaderId::if_none_match) | http::header_bit(HeaderId::if_range) |
    http::header_bit(HeaderId::if_unmodified_since);

// Unknown ones by which services take a request for another one than it is.
bool misleads(std::string_view name) {
  return begins_like(name, "x-forwarded-") || begins_like(name, "x-original-") ||
         begins_like(name, "content-") || is_like(name, "x-rewrite-url") ||
         is_like(name, "x-real-ip") || begins_like(name, "x-http-method") ||
         is_like(name, "x-method-override");
}

}  // namespace

bool is_auth_field(std::span<const std::string> names, std::string_view name) {
  return std::ranges::any_of(names, [&](const std::string& each) { return is_like(name, each); });
}

void remove_auth_fields(std::span<const std::string> names, http::HeaderBlock& fields) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (!fields.is_removed(i) && is_auth_field(names, fields.field(i).name())) fields.remove_at(i);
  }
}

bool copy_auth_fields(std::span<const std::string> names,
                      const http::HeaderBlock& answer,
                      http::Head& request) {
  for (const std::string& name : names) {
    for (std::size_t i = answer.find(name); i != http::HeaderBlock::kNone;
         i = answer.find(name, i + 1)) {
      if (!request.fields.add(name, request.arena->copy(answer.field(i).value()))) return false;
    }
  }
  return true;
}

bool make_question(const http::Head& request,
                   std::span<const std::string> names,
                   http::Head& question) {
  question.clear();
  question.arena = request.arena;
  question.method = http::Method::get;
  question.method_text = "GET";
  question.scheme = request.scheme;
  question.authority = request.authority;
  question.host = request.host;
  question.protocol = request.protocol;
  for (std::size_t i = 0; i < request.fields.size(); ++i) {
    const HeaderId id = request.fields.id(i);
    if ((kNotAsked & http::header_bit(id)) != 0) continue;
    const http::HeaderBlock::Field& field = request.fields.field(i);
    if (id == HeaderId::other && misleads(field.name())) continue;
    // What clients prove themselves with goes there, even if the service gives it back.
    if (id != HeaderId::authorization && is_auth_field(names, field.name())) continue;
    if (!question.fields.add(id, field.name(), field.value())) return false;
  }
  return true;
}

bool name_request(const http::Head& request, http::Head& question) {
  base::Arena& arena = *question.arena;
  std::string_view uri = request.path;
  if (request.has_query) uri = arena.extend(arena.join(uri, "?"), request.query);
  return question.fields.set("x-forwarded-method", request.method_text) &&
         question.fields.set("x-forwarded-uri", uri);
}

}  // namespace portunus::proxy
