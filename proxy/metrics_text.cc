#include "proxy/metrics_text.h"

#include <charconv>

#include "base/utf8.h"

namespace portunus::proxy {
namespace {

constexpr std::size_t kNumberMax = 32;

template <typename Number>
void append_number(std::string& out, Number value) {
  char digits[kNumberMax];
  out.append(digits, std::to_chars(digits, digits + kNumberMax, value).ptr);
}

void append_escaped(std::string& out, std::string_view value) {
  const char* at = value.data();
  const char* const end = at + value.size();
  while (at < end) {
    const std::size_t length = base::utf8_length(at, end);
    if (length == 0) {
      out.append("\xef\xbf\xbd");  // U+FFFD: the format is UTF-8
      ++at;
      continue;
    }
    if (*at == '\n') {
      out.append("\\n");
    } else if (*at == '\\' || *at == '"') {
      out.push_back('\\');
      out.push_back(*at);
    } else {
      out.append(at, length);
    }
    at += length;
  }
}

std::string_view name_of(MetricsText::Type type) {
  switch (type) {
    case MetricsText::Type::counter:
      return "counter";
    case MetricsText::Type::gauge:
      return "gauge";
    case MetricsText::Type::histogram:
      return "histogram";
  }
  return "";
}

}  // namespace

void MetricsText::family(std::string_view name, Type type, std::string_view help) {
  name_ = name;
  help_ = help;
  type_ = type;
  has_head_ = false;
}

void MetricsText::head() {
  if (has_head_) return;
  has_head_ = true;
  out_.append("# HELP ").append(name_).append(" ").append(help_);
  out_.append("\n# TYPE ").append(name_).append(" ").append(name_of(type_)).append("\n");
}

std::string_view MetricsText::write_labels(Labels labels) {
  labels_.clear();
  for (const auto& [name, value] : labels) {
    if (!labels_.empty()) labels_.push_back(',');
    labels_.append(name).append("=\"");
    append_escaped(labels_, value);
    labels_.push_back('"');
  }
  return labels_;
}

void MetricsText::begin(std::string_view suffix, std::string_view labels) {
  head();
  out_.append(name_).append(suffix);
  if (!labels.empty()) out_.append("{").append(labels).append("}");
  out_.push_back(' ');
}

void MetricsText::end(std::uint64_t value) {
  append_number(out_, value);
  out_.push_back('\n');
}

void MetricsText::sample(Labels labels, std::uint64_t value) {
  begin("", write_labels(labels));
  end(value);
}

void MetricsText::sample_signed(Labels labels, std::int64_t value) {
  begin("", write_labels(labels));
  append_number(out_, value);
  out_.push_back('\n');
}

void MetricsText::sample_real(Labels labels, double value) {
  begin("", write_labels(labels));
  append_number(out_, value);
  out_.push_back('\n');
}

void MetricsText::histogram(Labels labels, const base::LatencySum& sum) {
  const std::string_view text = write_labels(labels);
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < base::kLatencyBuckets; ++i) {
    count += sum.buckets[i];
    head();
    out_.append(name_).append("_bucket{").append(text).append(text.empty() ? "le=\"" : ",le=\"");
    out_.append(i < base::kLatencyBoundTexts.size() ? base::kLatencyBoundTexts[i] : "+Inf");
    out_.append("\"} ");
    end(count);
  }
  begin("_sum", text);
  append_number(out_, static_cast<double>(sum.sum_ns) / 1e9);
  out_.push_back('\n');
  begin("_count", text);
  end(count);
}

}  // namespace portunus::proxy
