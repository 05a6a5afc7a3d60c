#include "http/date.h"

#include <chrono>
#include <cstring>

#include "base/clock.h"

namespace portunus::http {
namespace {

void write_two(char* out, unsigned value) {
  out[0] = static_cast<char>('0' + value / 10 % 10);
  out[1] = static_cast<char>('0' + value % 10);
}

}  // namespace

void write_date(std::int64_t unix_seconds, char* out) {
  using namespace std::chrono;
  const sys_seconds time{seconds{unix_seconds}};
  const auto day = floor<days>(time);
  const year_month_day date{day};
  const unsigned in_day = static_cast<unsigned>((time - day).count());
  const auto year_number = static_cast<unsigned>(static_cast<int>(date.year()));
  std::memcpy(out, "Sun, 00 Jan 0000 00:00:00 GMT", kDateSize);
  std::memcpy(out, &"SunMonTueWedThuFriSat"[std::size_t{3} * weekday{day}.c_encoding()], 3);
  write_two(out + 5, static_cast<unsigned>(date.day()));
  std::memcpy(
      out + 8,
      &"JanFebMarAprMayJunJulAugSepOctNovDec"[std::size_t{3} * (unsigned{date.month()} - 1)], 3);
  write_two(out + 12, year_number / 100);
  write_two(out + 14, year_number % 100);
  write_two(out + 17, in_day / 3600);
  write_two(out + 20, in_day / 60 % 60);
  write_two(out + 23, in_day % 60);
}

std::string_view date_now() {
  thread_local std::int64_t second = -1;
  thread_local char text[kDateSize];
  const auto now = static_cast<std::int64_t>(base::wall_us() / 1'000'000);
  if (now != second) {
    second = now;
    write_date(now, text);
  }
  return {text, kDateSize};
}

}  // namespace portunus::http
