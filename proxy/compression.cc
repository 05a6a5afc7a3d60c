#include "proxy/compression.h"

#include <array>
#include <string_view>
#include <utility>

#include "http/grammar.h"
#include "proxy/vary.h"

namespace portunus::proxy {

using http::HeaderBlock;
using http::HeaderId;

namespace {

// Digests are of the bytes as they came.
bool has_digest(const HeaderBlock& fields) {
  constexpr std::array<std::string_view, 4> kDigests{"content-digest", "repr-digest", "digest",
                                                     "content-md5"};
  for (const std::string_view name : kDigests) {
    if (fields.find(name) != HeaderBlock::kNone) return true;
  }
  return false;
}

bool is_listed(const conf::Compression& rule, std::string_view content_type) {
  const std::string_view type = http::trim_ows(content_type.substr(0, content_type.find(';')));
  const std::size_t slash = type.find('/');
  if (slash == std::string_view::npos) return false;
  // Its messages have a framing of their own, and a coding.
  if (http::is_same_ignoring_case(type.substr(0, 16), "application/grpc")) return false;
  for (const std::string_view listed : rule.types) {
    const bool is_match = listed.ends_with('*')
                              ? http::is_same_ignoring_case(type.substr(0, slash + 1),
                                                            listed.substr(0, listed.size() - 1))
                              : http::is_same_ignoring_case(type, listed);
    if (is_match) return true;
  }
  return false;
}

bool may_be_transformed(const http::Head& request, const http::Head& answer) {
  return !has_element(answer.fields, HeaderId::cache_control, "no-transform") &&
         !has_element(request.fields, HeaderId::cache_control, "no-transform");
}

bool may_vary(std::uint16_t status) {
  return status >= 200 && status != 204 && status != 205 && status != 304;
}

std::string_view weak(std::string_view etag, base::Arena& arena) {
  return arena.join("W/", etag);
}
bool is_strong(std::string_view etag) {
  return etag.starts_with('"');
}

}  // namespace

std::optional<http::ContentCoding> wanted_coding(const conf::Compression& rule,
                                                 const http::Head& request) {
  using conf::ContentCoding;
  static_assert(
      std::to_underlying(ContentCoding::gzip) == std::to_underlying(http::ContentCoding::gzip) &&
      std::to_underlying(ContentCoding::br) == std::to_underlying(http::ContentCoding::br) &&
      std::to_underlying(ContentCoding::zstd) == std::to_underlying(http::ContentCoding::zstd));
  // Towards these an answer without a length would end with its connection.
  if (request.protocol == http::Protocol::http10) return std::nullopt;
  std::array<http::ContentCoding, http::kContentCodingCount> preferred{};
  std::size_t count = 0;
  for (const ContentCoding coding : rule.codings)
    preferred[count++] = static_cast<http::ContentCoding>(coding);
  return http::choose_coding(request.fields, {preferred.data(), count});
}

CompressionChoice choose_compression(const conf::Compression& rule,
                                     std::optional<http::ContentCoding> wanted,
                                     const http::Head& request,
                                     const http::Head& answer) {
  // The answer to a HEAD has the length of what a GET would get, and no body.
  const bool has_length =
      answer.body == http::BodyKind::length ||
      (request.method == http::Method::head && answer.fields.has(HeaderId::content_length));
  // Of a part the length says nothing about the whole, which another client may get compressed.
  const bool is_part = answer.status == 206;
  const bool is_known_short = !is_part && has_length && answer.content_length < rule.min_bytes;
  if (!may_vary(answer.status) || is_known_short || answer.fields.has(HeaderId::content_encoding) ||
      !is_listed(rule, answer.fields.value_of(HeaderId::content_type)) ||
      !may_be_transformed(request, answer) || has_digest(answer.fields)) {
    return {};
  }
  return {.varies = true, .coding = is_part ? std::nullopt : wanted};
}

bool announce_coding(http::ContentCoding coding, base::Arena& arena, http::Head& answer) {
  HeaderBlock& fields = answer.fields;
  if (!fields.add(HeaderId::content_encoding, http::name_of(coding))) return false;
  fields.remove(HeaderId::content_length);
  fields.remove("accept-ranges");
  answer.body = http::BodyKind::unknown;
  answer.content_length = 0;
  const std::size_t etag = fields.find(HeaderId::etag);
  if (etag != HeaderBlock::kNone && is_strong(fields.field(etag).value()))
    fields.set_value(etag, weak(fields.field(etag).value(), arena));
  return true;
}

void weaken_known_etag(const http::Head& request, base::Arena& arena, http::Head& answer) {
  const std::size_t etag = answer.fields.find(HeaderId::etag);
  if (etag == HeaderBlock::kNone || !is_strong(answer.fields.field(etag).value())) return;
  const std::string_view known = weak(answer.fields.field(etag).value(), arena);
  for (std::size_t i = request.fields.find(HeaderId::if_none_match); i != HeaderBlock::kNone;
       i = request.fields.find(HeaderId::if_none_match, i + 1)) {
    if (request.fields.field(i).value().find(known) == std::string_view::npos) continue;
    answer.fields.set_value(etag, known);
    return;
  }
}

}  // namespace portunus::proxy
