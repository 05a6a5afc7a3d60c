#include "proxy/matcher.h"

#include <algorithm>

#include "http/grammar.h"

namespace portunus::proxy {
namespace {

std::uint16_t bit_of(http::Method method) {
  return static_cast<std::uint16_t>(1U << static_cast<unsigned>(method));
}

bool passes(const conf::FieldMatch& test, std::string_view value) {
  switch (test.test) {
    case conf::FieldTest::present:
      return true;
    case conf::FieldTest::exact:
      return value == test.value;
    case conf::FieldTest::prefix:
      return value.starts_with(test.value);
  }
  return false;
}

// Reads percent-encoded text byte by byte. A broken escape stands for itself.
class Decoder {
 public:
  explicit Decoder(std::string_view text) : text_(text) {}
  [[nodiscard]] bool is_at_end() const { return at_ == text_.size(); }
  [[nodiscard]] char next() {
    const char c = text_[at_++];
    if (c == '+') return ' ';
    if (c != '%' || text_.size() - at_ < 2) return c;
    const int high = http::hex_value(text_[at_]);
    const int low = http::hex_value(text_[at_ + 1]);
    if (high < 0 || low < 0) return c;
    at_ += 2;
    return static_cast<char>(high * 16 + low);
  }
  // Consumes `expected`; false at the first difference.
  [[nodiscard]] bool skip(std::string_view expected) {
    for (const char c : expected) {
      if (is_at_end() || next() != c) return false;
    }
    return true;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

bool passes_decoded(const conf::FieldMatch& test, std::string_view value) {
  if (test.test == conf::FieldTest::present) return true;
  Decoder decoder(value);
  return decoder.skip(test.value) && (test.test == conf::FieldTest::prefix || decoder.is_at_end());
}

}  // namespace

Matcher::Matcher(const conf::Match& match) : match_(&match) {
  for (const std::string& method : match.methods) {
    methods_ = static_cast<std::uint16_t>(methods_ | bit_of(http::method_of(method)));
  }
  headers_.reserve(match.headers.size());
  for (const conf::FieldMatch& test : match.headers) {
    headers_.push_back({http::header_id_of(test.name), &test});
  }
}

bool Matcher::matches_method(const http::Head& request) const {
  if (methods_ == 0) return true;
  if ((methods_ & bit_of(request.method)) == 0) return false;
  if (request.method != http::Method::other) return true;
  return std::ranges::find(match_->methods, request.method_text) != match_->methods.end();
}

bool Matcher::matches(const http::Head& request) const {
  if (!matches_method(request)) return false;
  const http::HeaderBlock& fields = request.fields;
  for (const HeaderTest& header : headers_) {
    const bool is_known = header.id != http::HeaderId::other;
    bool holds = false;
    for (std::size_t i = fields.find(header.id); i != http::HeaderBlock::kNone && !holds;
         i = fields.find(header.id, i + 1)) {
      const http::HeaderBlock::Field& field = fields.field(i);
      if (!is_known && field.name() != header.test->name) continue;
      holds = passes(*header.test, field.value());
    }
    if (!holds) return false;
  }
  return std::ranges::all_of(match_->query, [&request](const conf::FieldMatch& test) {
    return request.has_query && matches_query(test, request.query);
  });
}

bool matches_query(const conf::FieldMatch& test, std::string_view query) {
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    Decoder name(pair.substr(0, equals));
    if (!name.skip(test.name) || !name.is_at_end()) continue;
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
    if (passes_decoded(test, value)) return true;
  }
  return false;
}

}  // namespace portunus::proxy
