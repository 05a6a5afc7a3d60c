#include "discovery/consul_request.h"

#include <charconv>
#include <optional>
#include <string_view>

#include <fmt/core.h>

namespace portunus::discovery {
namespace {

// What RFC 3986 section 2.3 calls unreserved stays, all else is escaped.
void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (is_plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
}

class QueryText {
 public:
  explicit QueryText(std::string path) : text_(std::move(path)) {}
  void add(std::string_view name, std::string_view value) {
    if (value.empty()) return;
    add_flag(name);
    text_ += '=';
    append_escaped(text_, value);
  }
  void add_flag(std::string_view name) {
    text_ += is_first_ ? '?' : '&';
    is_first_ = false;
    text_ += name;
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
  bool is_first_ = true;
};

// Nothing when the field is absent or no number.
std::optional<std::uint64_t> number_in(const http::HeaderBlock& fields, std::string_view name) {
  const std::size_t place = fields.find(name);
  if (place == http::HeaderBlock::kNone) return std::nullopt;
  const std::string_view text = fields.field(place).value();
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool is_field(const http::HeaderBlock& fields, std::string_view name, std::string_view value) {
  const std::size_t place = fields.find(name);
  return place != http::HeaderBlock::kNone && fields.field(place).value() == value;
}

}  // namespace

std::string health_target(const ServiceQuery& query,
                          std::uint64_t index,
                          std::uint64_t wait_ms,
                          Consistency consistency) {
  std::string path = "/v1/health/service/";
  append_escaped(path, query.service);
  QueryText text(std::move(path));
  if (index > 0) {
    text.add("index", std::to_string(index));
    text.add("wait", std::to_string(wait_ms) + "ms");
  }
  if (consistency == Consistency::stale) text.add_flag("stale");
  if (consistency == Consistency::consistent) text.add_flag("consistent");
  for (const std::string& tag : query.tags)
    text.add("tag", tag);
  for (const auto& [name, value] : query.node_meta)
    text.add("node-meta", fmt::format("{}:{}", name, value));
  text.add("filter", query.filter);
  text.add("dc", query.datacenter);
  text.add("ns", query.name_space);
  text.add("partition", query.partition);
  text.add("near", query.near);
  return text.take();
}

std::expected<AnswerHead, const char*> read_answer_head(const http::HeaderBlock& fields) {
  AnswerHead head;
  const auto index = number_in(fields, "x-consul-index");
  if (!index) return std::unexpected("no X-Consul-Index");
  head.index = *index == 0 ? 1 : *index;  // 0 would never wait
  head.knows_leader = !is_field(fields, "x-consul-knownleader", "false");
  head.last_contact_ms = number_in(fields, "x-consul-lastcontact").value_or(0);
  head.is_filtered = is_field(fields, "x-consul-results-filtered-by-acls", "true");
  return head;
}

}  // namespace portunus::discovery
