#include "http/h1_writer.h"

#include <charconv>
#include <cstring>
#include <system_error>

#include "http/status.h"

namespace portunus::http {
namespace {

// Appends to memory of the caller; once something did not fit, nothing more is written.
class Output {
 public:
  explicit Output(std::span<char> out) : begin_(out.data()), at_(begin_), end_(at_ + out.size()) {}

  void put(std::string_view text) {
    if (text.size() > room()) {
      overflow();
      return;
    }
    copy(text);
  }
  void put_field(std::string_view name, std::string_view value) {
    if (name.size() + value.size() + 4 > room()) {
      overflow();
      return;
    }
    copy(name);
    copy(": ");
    copy(value);
    copy("\r\n");
  }
  void put_number(std::uint64_t number) {
    const auto [end, error] = std::to_chars(at_, end_, number);
    if (error != std::errc{}) {
      overflow();
      return;
    }
    at_ = end;
  }
  [[nodiscard]] std::size_t size() const {
    return has_overflowed_ ? 0 : static_cast<std::size_t>(at_ - begin_);
  }

 private:
  [[nodiscard]] std::size_t room() const { return static_cast<std::size_t>(end_ - at_); }
  void overflow() {
    has_overflowed_ = true;
    end_ = at_;
  }
  // Most texts are short; two overlapping words cost less than a call of memcpy.
  void copy(std::string_view text) {
    const char* from = text.data();
    const std::size_t size = text.size();
    if (size > 32) {
      std::memcpy(at_, from, size);
    } else if (size >= 16) {
      copy_ends<16>(from, size);
    } else if (size >= 8) {
      copy_ends<8>(from, size);
    } else if (size >= 4) {
      copy_ends<4>(from, size);
    } else if (size >= 2) {
      copy_ends<2>(from, size);
    } else if (size == 1) {
      *at_ = *from;
    }
    at_ += size;
  }
  template <std::size_t kBytes>
  void copy_ends(const char* from, std::size_t size) {
    std::memcpy(at_, from, kBytes);
    std::memcpy(at_ + size - kBytes, from + size - kBytes, kBytes);
  }

  char* begin_;
  char* at_;
  char* end_;
  bool has_overflowed_ = false;
};

// Fields whose place is taken by what WireHead says.
constexpr std::uint64_t kNotCopied =
    header_bit(HeaderId::removed) | header_bit(HeaderId::connection) |
    header_bit(HeaderId::keep_alive) | header_bit(HeaderId::proxy_connection) |
    header_bit(HeaderId::transfer_encoding) | header_bit(HeaderId::content_length);

// `present`: the known fields of the block.
void put_connection(std::uint64_t present, WireConnection connection, Output& out) {
  const bool has_upgrade = (present & header_bit(HeaderId::upgrade)) != 0;
  const bool has_te = (present & header_bit(HeaderId::te)) != 0;
  if (!has_upgrade && !has_te) {
    switch (connection) {
      case WireConnection::unsaid:
        return;
      case WireConnection::close:
        return out.put("connection: close\r\n");
      case WireConnection::keep_alive:
        return out.put("connection: keep-alive\r\n");
    }
  }
  out.put("connection: ");
  if (connection == WireConnection::close) out.put("close, ");
  if (connection == WireConnection::keep_alive) out.put("keep-alive, ");
  out.put(has_upgrade ? "upgrade" : "te");
  if (has_upgrade && has_te) out.put(", te");
  out.put("\r\n");
}

void put_fields(const Head& head, const WireHead& wire, Output& out) {
  const HeaderBlock& fields = head.fields;
  std::uint64_t present = 0;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::uint64_t bit = header_bit(fields.id(i));
    present |= bit;
    if ((kNotCopied & bit) != 0) continue;
    out.put_field(fields.field(i).name(), fields.field(i).value());
  }
  put_connection(present, wire.connection, out);
  switch (wire.framing) {
    case WireFraming::none:
      break;
    case WireFraming::content_length:
      out.put("content-length: ");
      out.put_number(wire.content_length);
      out.put("\r\n");
      break;
    case WireFraming::chunked:
      out.put("transfer-encoding: chunked\r\n");
      break;
  }
  out.put("\r\n");
}

}  // namespace

std::size_t write_request_head(const Head& head, const WireHead& wire, std::span<char> memory) {
  Output out(memory);
  out.put(head.method_text);
  out.put(" ");
  out.put(head.path);
  if (head.has_query) {
    out.put("?");
    out.put(head.query);
  }
  out.put(" HTTP/1.1\r\n");
  put_fields(head, wire, out);
  return out.size();
}

std::size_t write_response_head(const Head& head, const WireHead& wire, std::span<char> memory) {
  Output out(memory);
  const std::string_view line = status_line_of(head.status);
  if (!line.empty()) {
    out.put(line);
  } else {
    out.put("HTTP/1.1 ");
    out.put_number(head.status);
    out.put(" ");
    out.put(head.reason);
    out.put("\r\n");
  }
  if (!wire.date.empty() && !head.fields.has(HeaderId::date)) {
    out.put("date: ");
    out.put(wire.date);
    out.put("\r\n");
  }
  put_fields(head, wire, out);
  return out.size();
}

std::size_t head_size_bound(const Head& head) {
  // The start line's fixed parts and the framing and connection fields and Date take less than 256.
  std::size_t size =
      160 + head.method_text.size() + head.path.size() + head.query.size() + head.reason.size();
  for (std::size_t i = 0; i < head.fields.size(); ++i) {
    size += head.fields.field(i).name_size + head.fields.field(i).value_size + 4;
  }
  return size;
}

std::size_t write_chunk_header(std::uint64_t size, char* out) {
  char* const end = std::to_chars(out, out + 16, size, 16).ptr;
  end[0] = '\r';
  end[1] = '\n';
  return static_cast<std::size_t>(end - out) + 2;
}

std::size_t write_trailers(const HeaderBlock& trailers, std::span<char> memory) {
  Output out(memory);
  out.put("0\r\n");
  for (std::size_t i = 0; i < trailers.size(); ++i) {
    if (trailers.is_removed(i)) continue;
    out.put_field(trailers.field(i).name(), trailers.field(i).value());
  }
  out.put("\r\n");
  return out.size();
}

}  // namespace portunus::http
