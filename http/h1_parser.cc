#include "http/h1_parser.h"

#include <algorithm>
#include <cstring>

#include "http/framing.h"
#include "http/grammar.h"
#include "http/target.h"

namespace portunus::http {

using base::EndReason;

// What llhttp calls; noexcept, because C lies between these and us.
struct H1Parser::Callbacks {
  static H1Parser& self(llhttp_t* parser) { return *static_cast<H1Parser*>(parser->data); }
  static int on_url(llhttp_t* p, const char* at, std::size_t size) noexcept {
    return self(p).take_target(at, size);
  }
  static int on_version(llhttp_t* p, const char* at, std::size_t) noexcept {
    return self(p).take_version(at);
  }
  static int on_status(llhttp_t* p, const char* at, std::size_t size) noexcept {
    return self(p).take_text(Part::reason, at, size);
  }
  static int on_header_field(llhttp_t* p, const char* at, std::size_t size) noexcept {
    return self(p).take_name(at, size);
  }
  static int on_header_value(llhttp_t* p, const char* at, std::size_t size) noexcept {
    return self(p).take_value(at, size);
  }
  static int on_header_value_complete(llhttp_t* p) noexcept { return self(p).end_value(); }
  static int on_end(llhttp_t*) noexcept { return HPE_PAUSED; }

  static constexpr llhttp_settings_t make() {
    llhttp_settings_t settings{};
    settings.on_url = on_url;
    settings.on_version = on_version;
    settings.on_status = on_status;
    settings.on_header_field = on_header_field;
    settings.on_header_value = on_header_value;
    settings.on_header_value_complete = on_header_value_complete;
    settings.on_headers_complete = on_end;
    settings.on_message_complete = on_end;
    return settings;
  }
  static const llhttp_settings_t kSettings;
};
constinit const llhttp_settings_t H1Parser::Callbacks::kSettings = H1Parser::Callbacks::make();

void H1Parser::start(base::Arena& arena,
                     Head& head,
                     H1ParserSink& sink,
                     const MessageLimits& limits) {
  llhttp_init(&llhttp_, is_request_ ? HTTP_REQUEST : HTTP_RESPONSE, &Callbacks::kSettings);
  llhttp_.data = this;
  arena_ = &arena;
  head_ = &head;
  sink_ = &sink;
  limits_ = &limits;
  fields_ = &head.fields;
  trailers_ = nullptr;
  error_ = {};
  target_ = {};
  drop_text();
  offset_ = line_at_ = 0;
  empty_line_ = 0;
  phase_ = Phase::head;
  part_ = Part::none;
  has_version_ = has_head_ = keeps_alive_ = is_stopped_ = false;
  head.clear();
}

void H1Parser::start_request(base::Arena& arena,
                             Head& head,
                             H1ParserSink& sink,
                             const MessageLimits& limits) {
  is_request_ = true;
  upgrade_asked_ = false;
  start(arena, head, sink, limits);
}

void H1Parser::start_response(
    base::Arena& arena, Head& head, H1ParserSink& sink, const MessageLimits& limits, Asked asked) {
  is_request_ = false;
  request_method_ = asked.method;
  upgrade_asked_ = asked.upgrade;
  start(arena, head, sink, limits);
}

H1Parser::Progress H1Parser::feed(std::span<const char> bytes) {
  if (bytes.empty() && phase_ != Phase::done && phase_ != Phase::failed) {
    return {Result::need_more, 0};
  }
  switch (phase_) {
    case Phase::head:
      return feed_head(bytes);
    case Phase::length:
    case Phase::chunks:
    case Phase::until_close:
      return feed_body(bytes, 0);
    case Phase::trailers:
      return feed_trailers(bytes, 0);
    case Phase::done:
      return {Result::complete, 0};
    case Phase::failed:
      return {Result::failed, 0};
  }
  return {Result::failed, 0};
}

H1Parser::Result H1Parser::finish() {
  if (phase_ == Phase::failed) return Result::failed;
  if (phase_ == Phase::until_close) phase_ = Phase::done;
  if (phase_ == Phase::done) return Result::complete;
  const char* const detail = !has_head_ ? "closed within the head" : "closed within the body";
  phase_ = Phase::failed;
  if (is_request_) {
    error_ = {EndReason::client_closed, base::Side::client, base::Retry::no, detail};
  } else {
    error_ = {EndReason::upstream_reset, base::Side::upstream, base::Retry::no, detail};
  }
  return Result::failed;
}

H1Parser::Result H1Parser::fail(EndReason reason, const char* detail) {
  phase_ = Phase::failed;
  if (is_request_) {
    error_ = {reason, base::Side::client, base::Retry::no, detail};
  } else {
    error_ = {EndReason::upstream_protocol, base::Side::upstream, base::Retry::no, detail};
  }
  return Result::failed;
}

// RFC 9112 section 2.2: a server ignores an empty line before a request. One, and CRLF.
std::size_t H1Parser::skip_empty_line(std::span<const char> bytes) {
  std::size_t taken = 0;
  while (empty_line_ < 2 && taken < bytes.size() && bytes[taken] == "\r\n"[empty_line_]) {
    ++empty_line_;
    ++taken;
  }
  return taken;
}

H1Parser::Progress H1Parser::feed_head(std::span<const char> bytes) {
  std::size_t skipped = 0;
  if (offset_ == 0 && !bytes.empty()) {
    if (is_request_) skipped = skip_empty_line(bytes);
    if (skipped == bytes.size()) return {Result::need_more, skipped};
    const char first = bytes[skipped];
    if (empty_line_ == 1 || first == '\r' || first == '\n') {
      return {fail(EndReason::rejected_request_line, "empty line before the message"), skipped};
    }
  }
  Progress progress = run(bytes.subspan(skipped));
  progress.consumed += skipped;
  if (progress.result != Result::complete) return progress;
  if (!take_head()) return {Result::failed, progress.consumed};
  has_head_ = true;
  offset_ = 0;
  sink_->on_message_head();
  if (is_stopped_) return {Result::stopped, progress.consumed};
  return feed_body(bytes, progress.consumed);
}

H1Parser::Progress H1Parser::run(std::span<const char> bytes) {
  // No byte beyond the limit is looked at, so the outcome does not depend on how the bytes arrive.
  const std::size_t allowed = limits_->header_bytes - offset_;
  const std::span<const char> taken = bytes.first(std::min(allowed, bytes.size()));
  feed_begin_ = taken.data();
  feed_end_ = taken.data() + taken.size();
  const llhttp_errno_t code = llhttp_execute(&llhttp_, taken.data(), taken.size());
  if (code == HPE_PAUSED) {
    const auto used = static_cast<std::size_t>(llhttp_.error_pos - taken.data());
    offset_ += static_cast<std::uint32_t>(used);
    return {Result::complete, used};
  }
  if (code != HPE_OK) {
    return {error_.is_error() ? fail(error_.reason, error_.detail)
                              : fail_as_llhttp(code, llhttp_.error_pos),
            0};
  }
  if (taken.size() == allowed) {
    return {fail(EndReason::rejected_header_size, "header section too long"), taken.size()};
  }
  keep_text();
  if (part_ != Part::value) {
    const std::size_t size = std::min(taken.size(), sizeof(tail_));
    std::memmove(tail_, tail_ + size, sizeof(tail_) - size);
    std::memcpy(tail_ + sizeof(tail_) - size, taken.data() + taken.size() - size, size);
  }
  offset_ += static_cast<std::uint32_t>(taken.size());
  return {Result::need_more, taken.size()};
}

bool H1Parser::take_head() {
  if (part_ == Part::reason) head_->reason = trim_ows(settle_text());
  if (!has_version_) {
    fail(EndReason::rejected_request_line, "request line without a version");
    return false;
  }
  if (!is_known_version()) {
    fail(EndReason::rejected_version, "neither HTTP/1.0 nor HTTP/1.1");
    return false;
  }
  head_->protocol = llhttp_.http_minor == 0 ? Protocol::http10 : Protocol::http11;
  if (is_request_) {
    error_ = parse_target(target_, *head_, *arena_);
    if (!error_.is_error()) error_ = judge_request(*head_, *arena_);
  } else {
    head_->status = llhttp_.status_code;
    error_ = judge_response(*head_, request_method_, upgrade_asked_);
  }
  if (error_.is_error()) {
    phase_ = Phase::failed;
    return false;
  }
  keeps_alive_ = http::keeps_alive(*head_);
  switch (head_->body) {
    case BodyKind::none:
      phase_ = Phase::done;
      break;
    case BodyKind::length:
      phase_ = Phase::length;
      left_ = head_->content_length;
      break;
    case BodyKind::unknown:
      if (is_chunked(*head_)) {
        phase_ = Phase::chunks;
        chunks_.start();
      } else {
        phase_ = Phase::until_close;
        keeps_alive_ = false;
      }
      break;
  }
  return true;
}

H1Parser::Result H1Parser::end_message() {
  phase_ = Phase::done;
  return head_->upgrade ? Result::upgraded : Result::complete;
}

// `consumed`: how many of `bytes` are the head's.
H1Parser::Progress H1Parser::feed_body(std::span<const char> bytes, std::size_t consumed) {
  if (phase_ == Phase::done) return {end_message(), consumed};
  std::span<const char> rest = bytes.subspan(consumed);
  while (!rest.empty()) {
    std::span<const char> data;
    if (phase_ == Phase::chunks) {
      const ChunkDecoder::Step step = chunks_.next(rest, data);
      if (step == ChunkDecoder::Step::need_more) break;
      if (step == ChunkDecoder::Step::failed) {
        return {fail(EndReason::rejected_chunk, chunks_.failure()), bytes.size() - rest.size()};
      }
      if (step == ChunkDecoder::Step::last_chunk) {
        if (!start_trailers()) return {Result::failed, bytes.size() - rest.size()};
        return feed_trailers(bytes, bytes.size() - rest.size());
      }
    } else if (phase_ == Phase::length) {
      data = rest.first(static_cast<std::size_t>(std::min<std::uint64_t>(left_, rest.size())));
      left_ -= data.size();
      rest = rest.subspan(data.size());
    } else {
      data = rest;
      rest = {};
    }
    sink_->on_message_body(data);
    if (is_stopped_) return {Result::stopped, bytes.size() - rest.size()};
    if (phase_ == Phase::length && left_ == 0) return {end_message(), bytes.size() - rest.size()};
  }
  return {Result::need_more, bytes.size()};
}

// llhttp stands behind the head of a chunked message. Given a last chunk's line of our own, it goes
// on to the trailer section.
bool H1Parser::start_trailers() {
  llhttp_resume(&llhttp_);
  // As framing.h has judged it, whatever llhttp thinks of white space around "chunked".
  llhttp_.flags |= F_CHUNKED;
  llhttp_.upgrade = 0;
  constexpr std::string_view kLine = "0\r\n";
  if (llhttp_execute(&llhttp_, kLine.data(), kLine.size()) != HPE_OK) {
    fail(EndReason::internal, "no trailer section after the last chunk");
    return false;
  }
  phase_ = Phase::trailers;
  offset_ = 0;
  fields_ = nullptr;
  drop_text();
  return true;
}

H1Parser::Progress H1Parser::feed_trailers(std::span<const char> bytes, std::size_t consumed) {
  Progress progress = run(bytes.subspan(consumed));
  progress.consumed += consumed;
  if (progress.result != Result::complete) return progress;
  if (trailers_ != nullptr) {
    error_ = judge_trailers(*trailers_, is_request_ ? base::Side::client : base::Side::upstream);
    if (error_.is_error()) {
      phase_ = Phase::failed;
      return {Result::failed, progress.consumed};
    }
  }
  return {end_message(), progress.consumed};
}

// A target in which llhttp stopped has not come to take_target(), or only in part: its rules apply
// first, so that the reason is the same however the bytes came.
H1Parser::Result H1Parser::fail_in_target(const char* at) {
  const std::string_view method = llhttp_method_name(static_cast<llhttp_method_t>(llhttp_.method));
  if (!is_http_method(llhttp_.method)) return fail(EndReason::rejected_method, "unknown method");
  const std::size_t begin = method.size() + 1;
  const bool has_spaces =
      part_ != Part::target && (begin < offset_ || feed_begin_[begin - offset_] == ' ');
  if (has_spaces) {
    return fail(EndReason::rejected_request_line, "more than one space after the method");
  }
  if (offset_of(at) - begin > limits_->uri_bytes) {
    return fail(EndReason::rejected_uri_length, "request-target too long");
  }
  return fail(EndReason::rejected_target, "character not allowed in the target");
}

// What llhttp found wrong, as one of our reasons. `at`: the byte that it did not like.
H1Parser::Result H1Parser::fail_as_llhttp(llhttp_errno_t code, const char* at) {
  const char byte = at < feed_end_ ? *at : '\0';
  switch (code) {
    case HPE_INVALID_METHOD:
      // All bytes before `at` are the beginning of a known method.
      if (is_in(byte, kTokenChar) || (byte == ' ' && offset_of(at) > 0)) {
        return fail(EndReason::rejected_method, "unknown method");
      }
      return fail(EndReason::rejected_request_line, "malformed method");
    case HPE_INVALID_URL:
      return fail_in_target(at);
    case HPE_INVALID_VERSION:
      // llhttp says the same of what stands behind a good version, and is past it when that is LF.
      if (is_request_ && is_known_version() &&
          (offset_of(at) == line_at_ + 10 || (offset_of(at) == line_at_ + 9 && !is_digit(byte)))) {
        return fail(EndReason::rejected_request_line, "no CRLF after the version");
      }
      [[fallthrough]];
    case HPE_PAUSED_H2_UPGRADE:
      return fail(EndReason::rejected_version, "neither HTTP/1.0 nor HTTP/1.1");
    case HPE_INVALID_STATUS:
      return fail(EndReason::upstream_protocol, "malformed status line");
    case HPE_INVALID_CONTENT_LENGTH:
      return fail(EndReason::rejected_framing, "malformed Content-Length");
    case HPE_UNEXPECTED_CONTENT_LENGTH:
      return fail(EndReason::rejected_framing, "Content-Length more than once or beside a coding");
    case HPE_INVALID_TRANSFER_ENCODING:
      return fail(EndReason::rejected_framing, "malformed or conflicting Transfer-Encoding");
    case HPE_UNEXPECTED_SPACE:
      return fail(EndReason::rejected_header, "white space before the first field");
    default:  // llhttp's enumeration, not ours
      break;
  }
  // A name in which llhttp stopped has not come to take_name(), where one too many is refused.
  const std::size_t count = fields_ == nullptr ? 0 : fields_->size();
  if (code == HPE_INVALID_HEADER_TOKEN && count >= limits_->header_count && at > feed_begin_ &&
      is_in(at[-1], kTokenChar)) {
    return fail(EndReason::rejected_header_size, "too many fields");
  }
  if (phase_ == Phase::trailers)
    return fail(EndReason::rejected_chunk, "malformed trailer section");
  if (count > 0 || part_ == Part::name || part_ == Part::value ||
      code == HPE_INVALID_HEADER_TOKEN) {
    return fail(EndReason::rejected_header, "malformed field line");
  }
  return fail(EndReason::rejected_request_line, "malformed start line");
}

}  // namespace portunus::http
