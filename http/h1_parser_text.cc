// The part of H1Parser that gathers texts from llhttp's callbacks: they come in pieces, at the
// bounds of what was fed, and most come whole.
#include <cstring>
#include <memory>

#include "http/framing.h"
#include "http/grammar.h"
#include "http/h1_parser.h"

namespace portunus::http {

using base::EndReason;

namespace {

Method method_from(std::uint8_t method) {
  switch (method) {
    case HTTP_GET:
      return Method::get;
    case HTTP_HEAD:
      return Method::head;
    case HTTP_POST:
      return Method::post;
    case HTTP_PUT:
      return Method::put;
    case HTTP_DELETE:
      return Method::delete_;
    case HTTP_OPTIONS:
      return Method::options;
    case HTTP_PATCH:
      return Method::patch;
    case HTTP_TRACE:
      return Method::trace;
    case HTTP_CONNECT:
      return Method::connect;
    default:  // llhttp's enumeration, not ours
      return Method::other;
  }
}

}  // namespace

// llhttp numbers the methods of RTSP behind those of HTTP, and one of HTTP behind them.
bool H1Parser::is_http_method(std::uint8_t method) {
  return method < HTTP_PRI || method == HTTP_QUERY;
}

int H1Parser::refuse(EndReason reason, const char* detail) {
  error_.reason = reason;
  error_.detail = detail;
  return HPE_USER;
}

int H1Parser::take_text(Part part, const char* at, std::size_t size) {
  part_ = part;
  if (size == 0) return 0;
  const auto added = static_cast<std::uint32_t>(size);
  if (text_size_ == 0) {
    text_ = at;
    text_size_ = added;
    return 0;
  }
  if (text_capacity_ == 0) {
    if (text_ + text_size_ == at) {
      text_size_ += added;
      return 0;
    }
    keep_text();
  }
  if (text_size_ + added > text_capacity_) {
    // Doubling keeps a value that comes byte by byte from filling the arena with its copies.
    text_capacity_ = 2 * (text_size_ + added);
    char* const place = arena_->take(text_capacity_);
    std::memcpy(place, text_, text_size_);
    text_ = place;
  }
  std::memcpy(const_cast<char*>(text_) + text_size_, at, size);  // ours, since it has a capacity
  text_size_ += added;
  return 0;
}

// Copies what was gathered out of the bytes being fed, which are about to go.
void H1Parser::keep_text() {
  if (text_size_ == 0 || text_capacity_ != 0) return;
  text_capacity_ = 2 * text_size_;
  char* const place = arena_->take(text_capacity_);
  std::memcpy(place, text_, text_size_);
  text_ = place;
}

// The gathered text, in the arena.
std::string_view H1Parser::settle_text() {
  const std::string_view gathered(text_, text_size_);
  const std::string_view kept = text_capacity_ == 0 ? arena_->copy(gathered) : gathered;
  drop_text();
  return kept;
}

int H1Parser::take_target(const char* at, std::size_t size) {
  if (part_ != Part::target) {
    if (llhttp_.method == HTTP_PRI) {
      return refuse(EndReason::rejected_version, "HTTP/2 preface on an HTTP/1.1 connection");
    }
    if (!is_http_method(llhttp_.method)) {
      return refuse(EndReason::rejected_method, "unknown method");
    }
    head_->method = method_from(llhttp_.method);
    head_->method_text = llhttp_method_name(static_cast<llhttp_method_t>(llhttp_.method));
    // llhttp lets several spaces pass here.
    if (offset_of(at) != head_->method_text.size() + 1) {
      return refuse(EndReason::rejected_request_line, "more than one space after the method");
    }
  }
  take_text(Part::target, at, size);
  if (text_size_ > limits_->uri_bytes) {
    return refuse(EndReason::rejected_uri_length, "request-target too long");
  }
  line_at_ = offset_of(at + size);
  return 0;
}

// Comes with the first digit. llhttp lets several spaces and RTSP and ICE pass before it.
int H1Parser::take_version(const char* at) {
  if (has_version_) return 0;
  if (is_request_) {
    char name[5];
    const auto here = static_cast<std::size_t>(at - feed_begin_);
    const std::size_t fresh = here < sizeof(name) ? here : sizeof(name);
    std::memcpy(name, tail_ + fresh, sizeof(name) - fresh);
    std::memcpy(name + sizeof(name) - fresh, at - fresh, fresh);
    if (std::memcmp(name, "HTTP/", sizeof(name)) != 0) {
      return refuse(EndReason::rejected_version, "a protocol other than HTTP");
    }
    if (offset_of(at) != line_at_ + 6) {
      return refuse(EndReason::rejected_request_line, "more than one space after the target");
    }
    target_ = settle_text();
  }
  has_version_ = true;
  return 0;
}

int H1Parser::take_name(const char* at, std::size_t size) {
  if (part_ != Part::name) {
    if (part_ == Part::reason) head_->reason = trim_ows(settle_text());
    if (fields_ == nullptr) {
      // The arena gives bytes without alignment.
      void* place = arena_->take(sizeof(HeaderBlock) + alignof(HeaderBlock));
      std::size_t room = sizeof(HeaderBlock) + alignof(HeaderBlock);
      std::align(alignof(HeaderBlock), sizeof(HeaderBlock), place, room);
      fields_ = trailers_ = std::construct_at(static_cast<HeaderBlock*>(place));
    }
    const std::size_t allowed = limits_->header_count;
    if (fields_->size() >= allowed || fields_->size() == HeaderBlock::kCapacity) {
      return refuse(EndReason::rejected_header_size, "too many fields");
    }
  }
  line_at_ = offset_of(at + size);
  return take_text(Part::name, at, size);
}

int H1Parser::take_value(const char* at, std::size_t size) {
  if (part_ == Part::name) {
    if (size == 0) return 0;
    end_name();
    part_ = Part::value;
    if (name_id_ == HeaderId::transfer_encoding && is_request_) {
      // Some servers take "\tchunked" for an unknown coding. At most one space is let through.
      const std::uint32_t gap = offset_of(at) - line_at_;
      const char before = at > feed_begin_ ? at[-1] : tail_[sizeof(tail_) - 1];
      if (gap > 2 || (gap == 2 && before != ' ')) {
        return refuse(EndReason::rejected_framing, "white space before a Transfer-Encoding");
      }
    }
  }
  return take_text(Part::value, at, size);
}

void H1Parser::end_name() {
  const std::string_view gathered(text_, text_size_);
  name_id_ = header_id_of(gathered);
  if (name_id_ != HeaderId::other) {
    name_ = header_name_of(name_id_);
  } else {
    char* const copy = arena_->take(gathered.size());
    for (std::size_t i = 0; i < gathered.size(); ++i)
      copy[i] = to_lower(gathered[i]);
    name_ = {copy, gathered.size()};
  }
  drop_text();
}

int H1Parser::end_value() {
  if (part_ == Part::name) {  // an empty value
    end_name();
    part_ = Part::value;
  }
  // Trimmed before it is copied; llhttp has removed what stood before it.
  const bool is_exact = name_id_ == HeaderId::transfer_encoding && is_request_;
  while (!is_exact && text_size_ > 0 &&
         (text_[text_size_ - 1] == ' ' || text_[text_size_ - 1] == '\t')) {
    --text_size_;
  }
  if (text_size_ == 0) text_capacity_ = 0;
  // The bound of take_name() leaves room.
  static_cast<void>(fields_->add(name_id_, name_, settle_text()));
  return 0;
}

}  // namespace portunus::http
