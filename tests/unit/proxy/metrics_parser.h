// A strict reader of the Prometheus text format for tests: it refuses samples outside their family,
// double series, bad names, escapes and numbers, and histograms that do not add up. Throws with the
// offending line.
#pragma once

#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace portunus::proxy::testing_support {

class MetricsParser {
 public:
  explicit MetricsParser(std::string_view text) {
    if (text.empty() || text.back() != '\n') throw std::runtime_error("no newline at the end");
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      line(text.substr(0, end));
      text.remove_prefix(end + 1);
    }
    check_histograms();
  }

  // By the sample as written, labels in order: `name{a="b"}`.
  [[nodiscard]] double value(const std::string& series) const {
    const auto found = values_.find(series);
    if (found == values_.end()) throw std::runtime_error("no series " + series);
    return found->second;
  }
  [[nodiscard]] bool has(const std::string& series) const { return values_.contains(series); }
  [[nodiscard]] double sum(const std::string& family) const {
    double result = 0;
    for (const auto& [series, value] : values_) {
      if (series.substr(0, series.find('{')) == family) result += value;
    }
    return result;
  }
  [[nodiscard]] bool mentions(const std::string& text) const {
    for (const auto& [series, value] : values_) {
      if (series.find(text) != std::string::npos) return true;
    }
    return false;
  }

 private:
  [[noreturn]] static void fail(std::string_view why, std::string_view line) {
    throw std::runtime_error(std::string(why) + ": " + std::string(line));
  }
  static bool is_name(std::string_view name) {
    if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
    return name.find_first_not_of(
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
           std::string_view::npos;
  }

  void line(std::string_view text) {
    if (text.starts_with("# HELP ")) {
      const std::string_view rest = text.substr(7);
      family_ = rest.substr(0, rest.find(' '));
      type_.clear();
      if (!is_name(family_) || rest.size() <= family_.size() + 1) fail("HELP", text);
      if (!families_.insert(family_).second) fail("family twice", text);
    } else if (text.starts_with("# TYPE ")) {
      const std::string_view rest = text.substr(7);
      if (!rest.starts_with(family_ + " ")) fail("TYPE of another family", text);
      type_ = rest.substr(family_.size() + 1);
      if (type_ != "counter" && type_ != "gauge" && type_ != "histogram") fail("type", text);
      const bool is_total = family_.ends_with("_total");
      if ((type_ == "counter") != is_total) fail("_total is for counters", text);
    } else {
      sample(text);
    }
  }

  void sample(std::string_view text) {
    std::size_t at = text.find_first_of("{ ");
    if (at == std::string_view::npos) fail("sample", text);
    const std::string name(text.substr(0, at));
    if (type_.empty()) fail("sample without TYPE", text);
    if (type_ == "histogram") {
      if (name != family_ + "_bucket" && name != family_ + "_sum" && name != family_ + "_count") {
        fail("not of the histogram", text);
      }
    } else if (name != family_) {
      fail("sample outside its family", text);
    }
    if (text[at] == '{') at = labels(text, at);
    if (at >= text.size() || text[at] != ' ') fail("no space before the value", text);
    const std::string digits(text.substr(at + 1));
    std::size_t used = 0;
    const double number = std::stod(digits, &used);
    if (used != digits.size()) fail("number", text);
    if (!values_.emplace(std::string(text.substr(0, at)), number).second) fail("twice", text);
    order_.emplace_back(std::string(text.substr(0, at)), number);
  }

  static std::size_t labels(std::string_view text, std::size_t at) {
    std::set<std::string_view> seen;
    do {
      ++at;
      const std::size_t equals = text.find("=\"", at);
      if (equals == std::string_view::npos) fail("label", text);
      const std::string_view name = text.substr(at, equals - at);
      if (!is_name(name) || !seen.insert(name).second) fail("label name", text);
      at = equals + 2;
      while (at < text.size() && text[at] != '"') {
        if (text[at] == '\\') {
          ++at;
          if (at >= text.size() || std::string_view("\\\"n").find(text[at]) == text.npos) {
            fail("escape", text);
          }
        }
        ++at;
      }
      if (at >= text.size()) fail("open label value", text);
      ++at;
    } while (at < text.size() && text[at] == ',');
    if (at >= text.size() || text[at] != '}') fail("labels", text);
    return at + 1;
  }

  // Buckets grow, and the last one is the count.
  void check_histograms() const {
    double last = 0;      // bucket of the running histogram
    double infinite = 0;  // last bucket of the one before
    for (const auto& [series, value] : order_) {
      const std::string name = series.substr(0, series.find('{'));
      if (name.ends_with("_bucket")) {
        if (value < last) fail("bucket shrinks", series);
        last = value;
        if (series.find("le=\"+Inf\"") != std::string::npos) {
          infinite = value;
          last = 0;
        }
      } else if (name.ends_with("_count") && value != infinite) {
        fail("count differs from the last bucket", series);
      }
    }
  }

  std::string family_;
  std::string type_;
  std::set<std::string> families_;
  std::map<std::string, double> values_;
  std::vector<std::pair<std::string, double>> order_;
};

}  // namespace portunus::proxy::testing_support
