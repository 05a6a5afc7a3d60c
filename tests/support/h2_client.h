// An HTTP/2 client of raw frames for tests: makes whatever frames it is told to, right or wrong, and
// writes down what comes back, one word or two per frame. Header only: the fuzz targets use it too.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace portunus::test {

inline constexpr std::string_view kH2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum H2Flag : std::uint8_t { h2_end_stream = 1, h2_ack = 1, h2_end_headers = 4, h2_padded = 8 };

using H2Fields = std::vector<std::pair<std::string, std::string>>;

inline std::string h2_number(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i)
    out += static_cast<char>(value >> (8 * i));
  return out;
}

inline std::string h2_frame(std::uint8_t type,
                            unsigned flags,
                            std::uint32_t stream,
                            std::string_view payload = {}) {
  return h2_number(payload.size(), 3) + static_cast<char>(type) + static_cast<char>(flags) +
         h2_number(stream, 4) + std::string(payload);
}

// HPACK without any table: literals, never indexed, no Huffman coding (RFC 7541 section 6.2.2).
inline std::string h2_hpack(const H2Fields& fields) {
  std::string out;
  const auto put_text = [&out](const std::string& text) {
    if (text.size() < 127) {
      out += static_cast<char>(text.size());
    } else {
      out += '\x7f';
      std::size_t rest = text.size() - 127;
      while (rest >= 128) {
        out += static_cast<char>(rest % 128 + 128);
        rest /= 128;
      }
      out += static_cast<char>(rest);
    }
    out += text;
  };
  for (const auto& [name, value] : fields) {
    out += '\0';
    put_text(name);
    put_text(value);
  }
  return out;
}

inline std::string h2_settings(std::initializer_list<std::pair<unsigned, unsigned>> entries = {}) {
  std::string payload;
  for (const auto& [id, value] : entries)
    payload += h2_number(id, 2) + h2_number(value, 4);
  return h2_frame(NGHTTP2_SETTINGS, 0, 0, payload);
}
inline std::string h2_headers(std::uint32_t stream, const H2Fields& fields, bool end) {
  return h2_frame(NGHTTP2_HEADERS, (end ? 1U : 0U) | h2_end_headers, stream, h2_hpack(fields));
}
inline std::string h2_data(std::uint32_t stream, std::string_view bytes, bool end) {
  return h2_frame(NGHTTP2_DATA, end ? 1U : 0U, stream, bytes);
}
inline std::string h2_reset(std::uint32_t stream, std::uint32_t code = NGHTTP2_CANCEL) {
  return h2_frame(NGHTTP2_RST_STREAM, 0, stream, h2_number(code, 4));
}
inline std::string h2_window(std::uint32_t stream, std::uint32_t increment) {
  return h2_frame(NGHTTP2_WINDOW_UPDATE, 0, stream, h2_number(increment, 4));
}
inline std::string h2_ping() {
  return h2_frame(NGHTTP2_PING, 0, 0, "12345678");
}

inline H2Fields h2_request(std::string method, std::string path, const H2Fields& more = {}) {
  H2Fields fields{{":method", std::move(method)},
                  {":scheme", "http"},
                  {":authority", "x"},
                  {":path", std::move(path)}};
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}
inline std::string h2_get(std::uint32_t stream,
                          std::string path = "/a",
                          const H2Fields& more = {}) {
  return h2_headers(stream, h2_request("GET", std::move(path), more), true);
}

// Reads what a server sends. Aborts on what is no HTTP/2.
class H2Reader {
 public:
  struct Stream {
    std::string status;  // of all heads: "103 200"
    std::string fields;  // "name=value;" of all heads, without :status
    std::string trailers;
    std::string body;
    std::size_t data_frames = 0;
    int code = -1;  // of RST_STREAM
    bool has_end = false;
  };

  H2Reader() {
    if (nghttp2_hd_inflate_new(&inflater_) != 0) std::abort();
  }
  ~H2Reader() { nghttp2_hd_inflate_del(inflater_); }
  H2Reader(const H2Reader&) = delete;
  H2Reader& operator=(const H2Reader&) = delete;

  void feed(std::string_view bytes) {
    rest_ += bytes;
    while (rest_.size() >= 9) {
      const std::size_t size = static_cast<std::size_t>(number(0, 3));
      if (rest_.size() < 9 + size) return;
      const auto type = static_cast<std::uint8_t>(rest_[3]);
      const auto flags = static_cast<std::uint8_t>(rest_[4]);
      const auto id = static_cast<std::uint32_t>(number(5, 4));
      const std::string payload = rest_.substr(9, size);
      rest_.erase(0, 9 + size);
      take(type, flags, id, payload);
    }
  }

  std::map<std::uint32_t, Stream> streams;
  std::vector<std::uint32_t> data_order;  // stream of each DATA frame with content
  std::map<unsigned, unsigned> settings;
  std::map<std::uint32_t, std::uint64_t> windows;  // sums of WINDOW_UPDATE
  int pings_acked = 0;
  int settings_acked = 0;
  int pings = 0;                  // of the server's own
  std::vector<int> goaways;       // codes
  std::uint32_t last_stream = 0;  // of the last GOAWAY
  std::size_t frames = 0;

 private:
  [[nodiscard]] std::uint64_t number(std::size_t at, std::size_t bytes) const {
    return number_in(rest_, at, bytes);
  }
  static std::uint64_t number_in(const std::string& text, std::size_t at, std::size_t bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i)
      value = value << 8 | static_cast<unsigned char>(text.at(at + i));
    return value;
  }

  void take(std::uint8_t type, std::uint8_t flags, std::uint32_t id, const std::string& payload) {
    ++frames;
    switch (type) {
      case NGHTTP2_DATA:
        streams[id].body += payload;
        ++streams[id].data_frames;
        if (!payload.empty()) data_order.push_back(id);
        streams[id].has_end = streams[id].has_end || (flags & h2_end_stream) != 0;
        return;
      case NGHTTP2_HEADERS:
      case NGHTTP2_CONTINUATION:
        if (type == NGHTTP2_HEADERS) ends_with_head_ = (flags & h2_end_stream) != 0;
        block_ += payload;
        if ((flags & h2_end_headers) == 0) return;
        inflate(streams[id]);
        streams[id].has_end = streams[id].has_end || ends_with_head_;
        return;
      case NGHTTP2_RST_STREAM:
        streams[id].code = static_cast<int>(number_in(payload, 0, 4));
        return;
      case NGHTTP2_SETTINGS:
        if ((flags & h2_ack) != 0) ++settings_acked;
        for (std::size_t at = 0; at + 6 <= payload.size(); at += 6) {
          settings[static_cast<unsigned>(number_in(payload, at, 2))] =
              static_cast<unsigned>(number_in(payload, at + 2, 4));
        }
        return;
      case NGHTTP2_PING:
        ++((flags & h2_ack) != 0 ? pings_acked : pings);
        return;
      case NGHTTP2_GOAWAY:
        last_stream = static_cast<std::uint32_t>(number_in(payload, 0, 4));
        goaways.push_back(static_cast<int>(number_in(payload, 4, 4)));
        return;
      case NGHTTP2_WINDOW_UPDATE:
        windows[id] += number_in(payload, 0, 4);
        return;
      default:
        std::abort();
    }
  }

  void inflate(Stream& stream) {
    std::string block;
    block.swap(block_);
    const auto* at = reinterpret_cast<const std::uint8_t*>(block.data());
    std::size_t left = block.size();
    const bool is_trailers =
        !stream.status.empty() && stream.status.substr(stream.status.size() - 3)[0] != '1';
    while (true) {
      nghttp2_nv field;
      int flags = 0;
      const ssize_t taken = nghttp2_hd_inflate_hd2(inflater_, &field, &flags, at, left, 1);
      if (taken < 0) std::abort();
      at += taken;
      left -= static_cast<std::size_t>(taken);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        const std::string name(reinterpret_cast<const char*>(field.name), field.namelen);
        const std::string value(reinterpret_cast<const char*>(field.value), field.valuelen);
        if (name == ":status") {
          stream.status += (stream.status.empty() ? "" : " ") + value;
        } else if (is_trailers) {
          stream.trailers += name + "=" + value + ";";
        } else {
          stream.fields += name + "=" + value + ";";
        }
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    }
    nghttp2_hd_inflate_end_headers(inflater_);
  }

  nghttp2_hd_inflater* inflater_ = nullptr;
  std::string rest_;
  std::string block_;
  bool ends_with_head_ = false;
};

}  // namespace portunus::test
