#include "proxy/cors.h"

#include "http/grammar.h"
#include "proxy/vary.h"

namespace portunus::proxy {

using http::HeaderBlock;
using http::HeaderId;

namespace {

// `rule` may have a star for the first label of the host.
bool matches(std::string_view rule, std::string_view cors_origin) {
  const std::size_t star = rule.find('*');
  if (star == std::string_view::npos) return rule == cors_origin;
  const std::string_view scheme = rule.substr(0, star);
  const std::string_view rest = rule.substr(star + 1);
  if (cors_origin.size() <= rule.size() - 1 || !cors_origin.starts_with(scheme) ||
      !cors_origin.ends_with(rest)) {
    return false;
  }
  const std::string_view label =
      cors_origin.substr(star, cors_origin.size() - scheme.size() - rest.size());
  for (const char c : label) {
    if (!http::is_in(c, http::kUnreservedChar) || c == '.' || c == '~') return false;
  }
  return true;
}

}  // namespace

std::string_view asked_method(const http::Head& request) {
  if (request.method != http::Method::options || !request.fields.has(HeaderId::origin)) return {};
  const std::size_t at = request.fields.find("access-control-request-method");
  return at == HeaderBlock::kNone ? std::string_view{} : request.fields.field(at).value();
}

bool is_allowed(const conf::Cors& cors, std::string_view cors_origin) {
  if (cors_origin.empty()) return false;
  if (cors.cors_any) return true;
  for (const std::string& rule : cors.allow_origins) {
    if (matches(rule, cors_origin)) return true;
  }
  return false;
}

bool apply_cors(const conf::Cors& cors, std::string_view cors_origin, HeaderBlock& fields) {
  for (std::size_t i = fields.find(HeaderId::other); i != HeaderBlock::kNone;
       i = fields.find(HeaderId::other, i + 1)) {
    if (fields.field(i).name().starts_with("access-control-")) fields.remove_at(i);
  }
  if (cors.cors_any) {
    // The same for all, so that caches may keep it.
    return fields.add("access-control-allow-origin", "*") &&
           (cors.exposed.empty() || fields.add("access-control-expose-headers", cors.exposed));
  }
  if (!add_vary(fields, "Origin", "origin")) return false;
  if (!is_allowed(cors, cors_origin)) return true;
  return fields.add("access-control-allow-origin", cors_origin) &&
         (!cors.has_credentials || fields.add("access-control-allow-credentials", "true")) &&
         (cors.exposed.empty() || fields.add("access-control-expose-headers", cors.exposed));
}

bool add_preflight_fields(const conf::Cors& cors, HeaderBlock& fields) {
  return (cors.methods.empty() || fields.add("access-control-allow-methods", cors.methods)) &&
         (cors.headers.empty() || fields.add("access-control-allow-headers", cors.headers)) &&
         fields.add("access-control-max-age", cors.max_age_text);
}

}  // namespace portunus::proxy
