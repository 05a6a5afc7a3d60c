#include "http/content_coding.h"

#include <algorithm>
#include <array>

#include "http/grammar.h"

namespace portunus::http {
namespace {

constexpr std::array<std::string_view, kContentCodingCount> kCodingNames{"gzip", "br", "zstd"};

constexpr int kNotNamed = -1;
constexpr int kWeightMax = 1000;

// In thousandths: `qvalue` of RFC 9110 section 12.4.2. None when it is not one.
std::optional<int> parse_weight(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  if (text.size() > 1 && text[1] != '.') return std::nullopt;
  int weight = (text[0] - '0') * kWeightMax;
  int unit = 100;
  for (const char c : text.substr(std::min<std::size_t>(2, text.size()))) {
    if (!is_digit(c)) return std::nullopt;
    weight += (c - '0') * unit;
    unit /= 10;
  }
  return weight > kWeightMax ? std::nullopt : std::optional(weight);
}

// Of one element, `coding [;q=weight]`. None when it is malformed.
std::optional<int> weight_of(std::string_view parameters) {
  parameters = trim_ows(parameters);
  if (parameters.empty()) return kWeightMax;
  if (parameters.front() != ';') return std::nullopt;
  parameters = trim_ows(parameters.substr(1));
  if (parameters.size() < 2 || to_lower(parameters[0]) != 'q' || parameters[1] != '=')
    return std::nullopt;
  return parse_weight(parameters.substr(2));
}

struct Weights {
  std::array<int, kContentCodingCount> of_coding{kNotNamed, kNotNamed, kNotNamed};
  int of_any = kNotNamed;  // `*`: whatever is not named
  int of_identity = kNotNamed;

  void add(std::string_view element) {
    const std::size_t end = element.find_first_of("; \t");
    const std::string_view name = element.substr(0, end);
    const auto weight = weight_of(end == std::string_view::npos ? "" : element.substr(end));
    if (!weight) return;
    if (name == "*") {
      of_any = *weight;
    } else if (is_same_ignoring_case(name, "identity")) {
      of_identity = *weight;
    } else if (is_same_ignoring_case(name, "x-gzip")) {  // RFC 9110 section 8.4.1.3
      of_coding[static_cast<std::size_t>(ContentCoding::gzip)] = *weight;
    } else {
      for (std::size_t i = 0; i < kContentCodingCount; ++i) {
        if (is_same_ignoring_case(name, kCodingNames[i])) of_coding[i] = *weight;
      }
    }
  }
  [[nodiscard]] int of(ContentCoding coding) const {
    const int own = of_coding[static_cast<std::size_t>(coding)];
    return own != kNotNamed ? own : of_any;
  }
};

}  // namespace

std::string_view name_of(ContentCoding coding) {
  return kCodingNames[static_cast<std::size_t>(coding)];
}

std::optional<ContentCoding> choose_coding(const HeaderBlock& request,
                                           std::span<const ContentCoding> preferred) {
  Weights weights;
  for (std::size_t i = request.find(HeaderId::accept_encoding); i != HeaderBlock::kNone;
       i = request.find(HeaderId::accept_encoding, i + 1)) {
    std::string_view rest = request.field(i).value();
    for (std::string_view element = next_element(rest); !element.empty();
         element = next_element(rest)) {
      weights.add(element);
    }
  }
  std::optional<ContentCoding> best;
  int best_weight = std::max(0, weights.of_identity - 1);  // as good as the plain bytes is enough
  for (const ContentCoding coding : preferred) {
    if (weights.of(coding) <= best_weight) continue;
    best = coding;
    best_weight = weights.of(coding);
  }
  return best;
}

}  // namespace portunus::http
