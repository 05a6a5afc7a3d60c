// The text of one line of the access log; its blocks and their way out are in access_log_buffer.cc
// and access_log.cc.
#include <algorithm>
#include <charconv>
#include <cstring>
#include <ctime>

#include "base/clock.h"
#include "base/json_writer.h"
#include "net/tls_session.h"
#include "proxy/access_log_buffer.h"

namespace portunus::proxy {
namespace {

constexpr std::uint64_t kSchema = 1;
constexpr std::uint64_t kSecondNs = 1'000'000'000;
// How much of what a client sent one line carries: a line must fit a block whatever the escaping.
constexpr std::size_t kTargetMax = 8192;
constexpr std::size_t kFieldMax = 2048;
constexpr std::size_t kWordMax = 256;

void write_two(char* out, int value) {
  out[0] = static_cast<char>('0' + value / 10);
  out[1] = static_cast<char>('0' + value % 10);
}

void text_if(base::JsonWriter& out, std::string_view key, std::string_view value, std::size_t max) {
  if (!value.empty()) out.text(key, value.substr(0, max));
}

void seconds_if(base::JsonWriter& out, std::string_view key, std::uint64_t from, std::uint64_t to) {
  if (from != 0 && to != 0) out.seconds(key, base::between(from, to));
}

void write_client(const ExchangeRecord& record, const LogNames& names, base::JsonWriter& out) {
  text_if(out, "request_id", record.request_id, kWordMax);
  text_if(out, "trace_id", record.trace_id, kWordMax);
  if (record.listener < names.listeners.size()) {
    text_if(out, "listener", names.listeners[record.listener], kWordMax);
  }
  char peer_text[net::Address::kTextMax];
  const std::string_view peer{peer_text,
                              record.peer.is_set() ? record.peer.write_ip(peer_text) : 0};
  const net::Address& source = record.source.is_set() ? record.source : record.peer;
  char source_text[net::Address::kTextMax];
  const std::string_view own{source_text, source.is_set() ? source.write_ip(source_text) : 0};
  const std::string_view client = record.client_ip.empty() ? own : record.client_ip;
  text_if(out, "client_ip", client, kWordMax);
  // Behind a trusted proxy the client's port is not known.
  if (!own.empty() && client == own) out.number("client_port", source.port());
  text_if(out, "peer_ip", peer, kWordMax);
}

void write_request(const ExchangeRecord& record, base::JsonWriter& out) {
  const http::Head& request = *record.request;
  out.word("protocol", http::name_of(request.protocol));
  if (record.tls != nullptr) {
    out.word("tls_version", record.tls->version());
    out.word("tls_cipher", record.tls->cipher());
    text_if(out, "tls_sni", record.tls->server_name(), kWordMax);
  }
  text_if(out, "method", request.method_text, kWordMax);
  out.word("scheme", record.scheme);
  text_if(out, "host", request.authority, kWordMax);
  text_if(out, "path", request.path, kTargetMax);
  if (request.has_query) out.text("query", request.query.substr(0, kTargetMax));
}

void write_upstream(const ExchangeRecord& record, base::JsonWriter& out) {
  if (record.queued_ns != 0) out.seconds("queue_s", record.queued_ns);
  text_if(out, "pool", record.pool, kWordMax);
  if (record.member != nullptr) {
    text_if(out, "upstream", record.member->name, kWordMax);
    if (record.upstream_status != 0) out.number("upstream_status", record.upstream_status);
    if (record.connect_ns != 0) out.seconds("upstream_connect_s", record.connect_ns);
    if (record.tls_ns != 0) out.seconds("upstream_tls_s", record.tls_ns);
    seconds_if(out, "upstream_first_byte_s", record.sent_ns, record.upstream_head_ns);
    seconds_if(out, "upstream_total_s", record.sent_ns, record.ended_ns);
  }
  if (record.sticky != StickyResult::none) out.word("sticky", name_of(record.sticky));
  if (record.attempts != 0) out.number("attempts", record.attempts);
  if (record.retry_reason != base::EndReason::ok) {
    out.word("retry_reason", base::name_of(record.retry_reason));
  }
}

// For the combined format: appends what fits, escaping as nginx does (\xHH).
class LineWriter {
 public:
  LineWriter(char* out, std::size_t size) : begin_(out), at_(out), end_(out + size) {}

  void raw(std::string_view text) {
    if (!has_room(text.size())) return;
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void number(std::uint64_t value) {
    if (has_room(20)) at_ = std::to_chars(at_, at_ + 20, value).ptr;
  }
  void escaped(std::string_view text) {
    constexpr char kHex[] = "0123456789ABCDEF";
    if (!has_room(text.size() * 4)) return;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\') {
        *at_++ = c;
        continue;
      }
      const char escape[4] = {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
      std::memcpy(at_, escape, 4);
      at_ += 4;
    }
  }
  void escaped_or_dash(std::string_view text, std::size_t max) {
    if (text.empty()) return raw("-");
    escaped(text.substr(0, max));
  }
  [[nodiscard]] std::size_t size() const {
    return is_full_ ? 0 : static_cast<std::size_t>(at_ - begin_);
  }

 private:
  bool has_room(std::size_t size) {
    if (static_cast<std::size_t>(end_ - at_) >= size && !is_full_) return true;
    is_full_ = true;
    return false;
  }

  char* begin_;
  char* at_;
  char* end_;
  bool is_full_ = false;
};

void write_request_line(const http::Head* request, LineWriter& out) {
  if (request == nullptr) return out.raw("-");
  out.escaped(request->method_text.substr(0, kWordMax));
  out.raw(" ");
  out.escaped(request->path.substr(0, kTargetMax));
  if (request->has_query) {
    out.raw("?");
    out.escaped(request->query.substr(0, kTargetMax));
  }
  out.raw(" ");
  out.raw(http::name_of(request->protocol));
}

}  // namespace

// Returns the nanoseconds within the second; the texts' seconds are made anew only when it changes.
std::uint64_t WallText::set_second(std::uint64_t monotonic_ns) {
  if (monotonic_ns >= offset_until_ns_) {
    const std::uint64_t now_ns = base::monotonic_ns();
    offset_ns_ = base::wall_us() * 1000 - now_ns;
    offset_until_ns_ = now_ns + kSecondNs;
  }
  const std::uint64_t wall_ns = monotonic_ns + offset_ns_;
  const std::uint64_t second = wall_ns / kSecondNs;
  if (second != second_) {
    second_ = second;
    const auto time = static_cast<std::time_t>(second);
    std::tm parts{};
    gmtime_r(&time, &parts);
    constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
    std::memcpy(rfc3339_.data(), "0000-00-00T00:00:00.000000Z", 27);
    write_two(&rfc3339_[0], (parts.tm_year + 1900) / 100);
    write_two(&rfc3339_[2], (parts.tm_year + 1900) % 100);
    write_two(&rfc3339_[5], parts.tm_mon + 1);
    write_two(&rfc3339_[8], parts.tm_mday);
    write_two(&rfc3339_[11], parts.tm_hour);
    write_two(&rfc3339_[14], parts.tm_min);
    write_two(&rfc3339_[17], parts.tm_sec);
    std::memcpy(combined_.data(), "00/Jan/0000:00:00:00 +0000", 26);
    std::memcpy(&combined_[0], &rfc3339_[8], 2);
    std::memcpy(&combined_[3], &kMonths[static_cast<std::size_t>(parts.tm_mon) * 3], 3);
    std::memcpy(&combined_[7], &rfc3339_[0], 4);
    std::memcpy(&combined_[12], &rfc3339_[11], 8);
  }
  return wall_ns % kSecondNs;
}

std::string_view WallText::rfc3339(std::uint64_t monotonic_ns) {
  auto micros = static_cast<std::uint32_t>(set_second(monotonic_ns) / 1000);
  for (std::size_t i = 26; i-- > 20; micros /= 10) {
    rfc3339_[i] = static_cast<char>('0' + micros % 10);
  }
  return {rfc3339_.data(), 27};
}

std::string_view WallText::combined(std::uint64_t monotonic_ns) {
  set_second(monotonic_ns);
  return {combined_.data(), 26};
}

std::size_t write_json_line(const ExchangeRecord& record,
                            const LogNames& names,
                            WallText& wall,
                            char* out_begin,
                            std::size_t size) {
  base::JsonWriter out(out_begin, size);
  out.open_object();
  out.number("v", kSchema);
  out.word("time", wall.rfc3339(record.ended_ns));
  write_client(record, names, out);
  if (record.request != nullptr) write_request(record, out);
  if (record.route != nullptr) text_if(out, "route", record.route->name, kWordMax);
  if (record.status != 0) out.number("status", record.status);
  out.number("bytes_in", record.bytes_in);
  out.number("bytes_out", record.bytes_out);
  out.seconds("duration_s", base::between(record.started_ns, record.ended_ns));
  seconds_if(out, "first_byte_s", record.started_ns, record.first_byte_ns);
  write_upstream(record, out);
  out.word("end_reason", base::name_of(record.end_reason));
  if (record.reported_reason != base::EndReason::ok) {
    out.word("reported_reason", base::name_of(record.reported_reason));
  }
  text_if(out, "user", record.user, kWordMax);
  if (record.request != nullptr) {
    const http::HeaderBlock& fields = record.request->fields;
    text_if(out, "user_agent", fields.value_of(http::HeaderId::user_agent), kFieldMax);
    text_if(out, "referer", fields.value_of(http::HeaderId::referer), kFieldMax);
  }
  out.number("config_generation", record.generation);
  out.close_object();
  return out.is_full() ? 0 : out.size();
}

std::size_t write_combined_line(const ExchangeRecord& record,
                                WallText& wall,
                                char* out_begin,
                                std::size_t size) {
  LineWriter out(out_begin, size);
  if (record.client_ip.empty()) {
    char peer[net::Address::kTextMax];
    out.escaped_or_dash({peer, record.peer.is_set() ? record.peer.write_ip(peer) : 0}, kWordMax);
  } else {
    out.escaped(record.client_ip.substr(0, kWordMax));
  }
  out.raw(" - - [");
  out.raw(wall.combined(record.ended_ns));
  out.raw("] \"");
  write_request_line(record.request, out);
  out.raw("\" ");
  // Three digits always: who parses combined lines expects a number there.
  if (record.status != 0) {
    out.number(record.status);
  } else {
    out.raw("000");
  }
  out.raw(" ");
  out.number(record.bytes_out);
  out.raw(" \"");
  const http::HeaderBlock* fields = record.request != nullptr ? &record.request->fields : nullptr;
  const auto value = [fields](http::HeaderId id) {
    return fields != nullptr ? fields->value_of(id) : std::string_view{};
  };
  out.escaped_or_dash(value(http::HeaderId::referer), kFieldMax);
  out.raw("\" \"");
  out.escaped_or_dash(value(http::HeaderId::user_agent), kFieldMax);
  out.raw("\"");
  return out.size();
}

}  // namespace portunus::proxy
