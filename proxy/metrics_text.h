// Writes the Prometheus text format: families with HELP and TYPE, samples with escaped labels. A
// family without samples leaves no trace. Control thread; one object per scrape.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/counter.h"

namespace portunus::proxy {

class MetricsText {
 public:
  enum class Type : std::uint8_t { counter, gauge, histogram };
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  // Starts a family; its samples follow. `name` and `help` are literals.
  void family(std::string_view name, Type type, std::string_view help);
  void sample(Labels labels, std::uint64_t value);
  void sample_signed(Labels labels, std::int64_t value);
  void sample_real(Labels labels, double value);
  void histogram(Labels labels, const base::LatencySum& sum);

  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  void head();
  void begin(std::string_view suffix, std::string_view labels);
  void end(std::uint64_t value);
  std::string_view write_labels(Labels labels);

  std::string out_;
  std::string labels_;
  std::string_view name_;
  std::string_view help_;
  Type type_ = Type::counter;
  bool has_head_ = false;
};

}  // namespace portunus::proxy
