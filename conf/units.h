// Durations, sizes, percentages and addresses as people write them. A number without its unit is an
// error that says so; only 0 needs none. Errors are sentences for the user. Pure functions; any
// thread.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "conf/model.h"

namespace portunus::conf {

inline constexpr std::string_view kDurationForm = "a duration such as 250ms, 10s, 5m or 1h";
inline constexpr std::string_view kSizeForm = "a size such as 512B, 64KiB or 10MiB";
inline constexpr std::string_view kRateForm = "a rate such as 100/s, 600/m, 1000/h or 5000/d";
inline constexpr std::string_view kPercentForm = "a percentage such as 10%";

// In milliseconds.
inline constexpr std::uint64_t kSecond = 1000;
inline constexpr std::uint64_t kMinute = 60 * kSecond;
inline constexpr std::uint64_t kHour = 60 * kMinute;
inline constexpr std::uint64_t kDay = 24 * kHour;
// Of one CPU: a hundred of them.
inline constexpr std::uint32_t kCpuPercentMax = 10'000;

template <typename T>
using Parsed = std::expected<T, std::string>;

// Decimal digits only, no sign, no leading `+`, no overflow.
[[nodiscard]] Parsed<std::uint64_t> parse_integer(std::string_view text);
// One number and one of ms s m h d; "1.5s" is not taken.
[[nodiscard]] Parsed<Milliseconds> parse_duration(std::string_view text);
// Bytes. One number and one of B KiB MiB GiB TiB; KB and its kin are refused with a hint.
[[nodiscard]] Parsed<std::uint64_t> parse_size(std::string_view text);
// So many in a time; the count may be 0.
struct Rate {
  std::uint64_t count;
  Milliseconds per;
};
// One number and one of /s /m /h /d.
[[nodiscard]] Parsed<Rate> parse_rate(std::string_view text);
// As a ratio: 0.2 for "20%".
[[nodiscard]] Parsed<double> parse_percent(std::string_view text);
// As written: 150 for "150%".
[[nodiscard]] Parsed<std::uint32_t> parse_whole_percent(std::string_view text, std::uint32_t max);
// "host:port", "[::1]:80", ":80" (empty host). The host is an IP address or a name, in lower case.
[[nodiscard]] Parsed<Address> parse_address(std::string_view text);

// 10s, 64KiB, 10%, [::1]:80: the shortest exact form.
[[nodiscard]] std::string format_duration(Milliseconds value);
[[nodiscard]] std::string format_size(std::uint64_t bytes);
[[nodiscard]] std::string format_address(const Address& address);

// A DNS name in lower case: letters, digits, `-` and `_` in labels of 1 to 63, 253 in all.
[[nodiscard]] bool is_host_name(std::string_view text);
[[nodiscard]] bool is_ip_address(std::string_view text);
[[nodiscard]] std::string lower_case(std::string_view text);
// As messages show what the user has written.
[[nodiscard]] std::string in_quotes(std::string_view text);

}  // namespace portunus::conf
