// What one HTTP/2 client may make us do for nothing (THREATS.md section 2): each kind of abuse has a
// budget that refills with time, and a connection that has used one up is closed with
// ENHANCE_YOUR_CALM. Times in ms.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace portunus::http {

enum class H2Abuse : std::uint8_t {
  client_resets,   // streams that the client opens and takes back (CVE-2023-44487)
  server_resets,   // streams that it makes us reset by breaking the rules (CVE-2025-8671)
  continuations,   // a head in too many frames (CVE-2024-27316)
  settings,        // SETTINGS, each of which we have to acknowledge
  pings,           // the same of PING
  priorities,      // PRIORITY and PRIORITY_UPDATE
  empty_frames,    // DATA without content that does not end its stream
  window_updates,  // more of them than what we send can explain
  header_bombs,    // heads far beyond the limits, which a few bytes unfold to
  streams,         // more at once than allowed, those included that are being cleared away
  output,          // frames that wait to be sent because the client does not read
};
inline constexpr std::size_t kH2AbuseCount = static_cast<std::size_t>(H2Abuse::output) + 1;

// The label of metrics and logs, e.g. "client_resets".
[[nodiscard]] std::string_view name_of(H2Abuse kind);

struct H2Allowance {
  std::uint32_t burst;
  std::uint32_t per_second;
};

// Settings of all sessions of a thread. Sizes in bytes.
struct H2Limits {
  std::uint32_t concurrent_streams = 128;
  // What one stream may send ahead of a slow member, and all of them together: one that is paused
  // takes a quarter of the connection's share at most.
  std::uint32_t stream_window = 256 * 1024;
  std::uint32_t connection_window = 1024 * 1024;
  // By H2Abuse. A browser that leaves a page resets all of its streams at once; libraries measure the
  // way with PING and acknowledge each frame of DATA.
  std::array<H2Allowance, kH2AbuseCount> allowances{{{200, 50},
                                                     {100, 20},
                                                     {0, 0},
                                                     {20, 5},
                                                     {500, 50},
                                                     {1000, 100},
                                                     {100, 10},
                                                     {1000, 100},
                                                     {10, 1},
                                                     {1000, 100},
                                                     {0, 0}}};
};

// What happened since somebody looked; of one listener on one thread.
struct H2Counts {
  std::uint64_t connections = 0;
  std::uint64_t streams = 0;
  std::uint64_t resets_received = 0;
  std::uint64_t resets_sent = 0;
  std::uint64_t goaways_sent = 0;
  std::array<std::uint64_t, kH2AbuseCount> floods_stopped{};  // connections closed, by H2Abuse
  friend bool operator==(const H2Counts&, const H2Counts&) = default;
};

// What is left to one connection.
class H2Budget {
 public:
  // False: it has been used up.
  [[nodiscard]] bool spend(const H2Limits& limits, H2Abuse kind, std::uint64_t now_ms);
  // So many of them that are explained may be excused beforehand: what we send is answered later.
  static constexpr std::int32_t kCreditMax = 50'000;
  // Something that explains `amount` of them.
  void excuse(H2Abuse kind, std::uint32_t amount);

 private:
  struct Spent {
    std::int32_t amount = 0;  // thousandths; below 0: excused beforehand
    std::uint32_t at_ms = 0;
  };
  std::array<Spent, kH2AbuseCount> spent_{};
};

}  // namespace portunus::http
