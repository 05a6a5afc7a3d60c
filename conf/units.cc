#include "conf/units.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "net/address.h"

namespace portunus::conf {
namespace {

struct Unit {
  std::string_view word;
  std::uint64_t factor;
};

constexpr std::array<Unit, 5> kDurationUnits{
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
constexpr std::array<Unit, 5> kSizeUnits{{{"B", 1},
                                          {"KiB", 1ULL << 10U},
                                          {"MiB", 1ULL << 20U},
                                          {"GiB", 1ULL << 30U},
                                          {"TiB", 1ULL << 40U}}};
constexpr std::uint64_t kQuantityMax = 1ULL << 62U;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

Parsed<std::uint64_t> parse_quantity(std::string_view text,
                                     std::span<const Unit> units,
                                     std::string_view form,
                                     std::string_view example_unit) {
  const auto digits_end = std::ranges::find_if_not(text, is_digit);
  const auto digits = static_cast<std::size_t>(digits_end - text.begin());
  const std::string expected = "expected " + std::string(form);
  if (digits == 0) return std::unexpected(in_quotes(text) + ": " + expected);
  const Parsed<std::uint64_t> number = parse_integer(text.substr(0, digits));
  if (!number) return std::unexpected(in_quotes(text) + " is too large");
  const std::string_view word = text.substr(digits);
  if (word.empty()) {
    if (*number == 0) return 0;
    return std::unexpected(in_quotes(text) + " has no unit: write " +
                           in_quotes(std::string(text) + std::string(example_unit)) +
                           " or another " + std::string(form.substr(2)));
  }
  const auto unit = std::ranges::find(units, word, &Unit::word);
  if (unit == units.end()) {
    if (digits < text.size() && text[digits] == '.') {
      return std::unexpected(in_quotes(text) + ": only whole numbers; take a smaller unit");
    }
    return std::unexpected(in_quotes(text) + ": " + in_quotes(word) + " is not a unit here; " +
                           expected);
  }
  if (*number > kQuantityMax / unit->factor)
    return std::unexpected(in_quotes(text) + " is too large");
  return *number * unit->factor;
}

std::string format_quantity(std::uint64_t value, std::span<const Unit> units) {
  const Unit* best = units.data();
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.factor == 0) best = &unit;
  }
  return std::to_string(value / best->factor) + std::string(best->word);
}

}  // namespace

Parsed<std::uint64_t> parse_integer(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc{} || stop != end) {
    return std::unexpected(in_quotes(text) + ": expected a whole number");
  }
  return value;
}

Parsed<Milliseconds> parse_duration(std::string_view text) {
  const Parsed<std::uint64_t> value = parse_quantity(text, kDurationUnits, kDurationForm, "s");
  if (!value) return std::unexpected(value.error());
  return Milliseconds(static_cast<std::int64_t>(*value));
}

Parsed<std::uint64_t> parse_size(std::string_view text) {
  return parse_quantity(text, kSizeUnits, kSizeForm, "KiB");
}

Parsed<Rate> parse_rate(std::string_view text) {
  static constexpr std::array<Unit, 4> kUnits{
      {{"/s", kSecond}, {"/m", kMinute}, {"/h", kHour}, {"/d", kDay}}};
  const std::size_t slash = std::min(text.find('/'), text.size());
  const Parsed<std::uint64_t> count = parse_integer(text.substr(0, slash));
  if (!count) return std::unexpected(in_quotes(text) + ": expected " + std::string(kRateForm));
  if (slash == text.size()) {
    return std::unexpected(in_quotes(text) + " has no unit: write " +
                           in_quotes(std::string(text) + "/s") + " or another " +
                           std::string(kRateForm.substr(2)));
  }
  const auto unit = std::ranges::find(kUnits, text.substr(slash), &Unit::word);
  if (unit == kUnits.end()) {
    return std::unexpected(in_quotes(text) + ": " + in_quotes(text.substr(slash)) +
                           " is not a unit here; expected " + std::string(kRateForm));
  }
  return Rate{*count, Milliseconds(static_cast<std::int64_t>(unit->factor))};
}

Parsed<std::uint32_t> parse_whole_percent(std::string_view text, std::uint32_t max) {
  const bool has_sign = text.ends_with('%');
  const Parsed<std::uint64_t> number =
      parse_integer(text.substr(0, text.size() - (has_sign ? 1 : 0)));
  if (number && !has_sign && *number != 0) {
    return std::unexpected(in_quotes(text) + " has no unit: write " +
                           in_quotes(std::string(text) + "%"));
  }
  if (!number || *number > max) {
    return std::unexpected(in_quotes(text) + ": expected " + std::string(kPercentForm) +
                           ", from 0% to " + std::to_string(max) + '%');
  }
  return static_cast<std::uint32_t>(*number);
}

Parsed<double> parse_percent(std::string_view text) {
  const Parsed<std::uint32_t> number = parse_whole_percent(text, 100);
  if (!number) return std::unexpected(number.error());
  return *number / 100.0;
}

Parsed<Address> parse_address(std::string_view text) {
  constexpr std::string_view kExpected = ": expected host:port, such as 127.0.0.1:8080";
  if (text.find("://") != std::string_view::npos) {
    return std::unexpected(in_quotes(text) + " has a scheme: write host:port only");
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon + 1 == text.size() || text.ends_with(']')) {
    return std::unexpected(in_quotes(text) + " has no port" + std::string(kExpected));
  }
  const Parsed<std::uint64_t> port = parse_integer(text.substr(colon + 1));
  if (!port || *port > 65535) {
    return std::unexpected(in_quotes(text) + ": the port is not a number from 1 to 65535");
  }
  if (*port == 0) return std::unexpected(in_quotes(text) + ": port 0 is none");
  std::string host = lower_case(text.substr(0, colon));
  if (host.starts_with('[')) {
    if (!host.ends_with(']') || !is_ip_address(host.substr(1, host.size() - 2))) {
      return std::unexpected(in_quotes(text) + ": not an IPv6 address in the brackets");
    }
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string::npos) {
    return std::unexpected(in_quotes(text) +
                           ": an IPv6 address needs brackets, such as [::1]:8080");
  } else if (!host.empty() && !is_host_name(host)) {
    return std::unexpected(in_quotes(text) + ": the host is neither an IP address nor a name");
  }
  return Address{std::move(host), static_cast<std::uint16_t>(*port)};
}

std::string format_duration(Milliseconds value) {
  if (value.count() == 0) return "0s";
  return format_quantity(static_cast<std::uint64_t>(value.count()), kDurationUnits);
}

std::string format_size(std::uint64_t bytes) {
  return bytes == 0 ? "0" : format_quantity(bytes, kSizeUnits);
}

std::string format_address(const Address& address) {
  const bool is_v6 = address.host.find(':') != std::string::npos;
  return (is_v6 ? '[' + address.host + ']' : address.host) + ':' + std::to_string(address.port);
}

bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  std::size_t label = 0;
  bool is_numeric = true;  // 10.0.0.300 is a typing error and not a name
  for (const char c : text) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
      continue;
    }
    const bool is_letter = (c >= 'a' && c <= 'z') || c == '-' || c == '_';
    if (!is_letter && !is_digit(c)) return false;
    is_numeric = is_numeric && !is_letter;
    if (++label > 63) return false;
  }
  return label > 0 && (!is_numeric || is_ip_address(text));
}

bool is_ip_address(std::string_view text) {
  return net::Address::parse_ip(text, 0).has_value();
}

std::string in_quotes(std::string_view text) {
  return '`' + std::string(text) + '`';
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace portunus::conf
