#include "http/h2_fields.h"

#include <llhttp.h>

#include <charconv>

#include "http/framing.h"
#include "http/grammar.h"
#include "http/h2_connect.h"
#include "http/target.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

constexpr std::string_view kPseudoNames[] = {":method", ":scheme",   ":authority",
                                             ":path",   ":protocol", ":status"};
// What a field counts beside its bytes, as its line in HTTP/1.1 would.
constexpr std::uint32_t kFieldCost = 4;
// A few bytes unfold to much: beyond so many times the limits nothing is decoded.
constexpr std::uint32_t kBombFactor = 4;

// RFC 9113 section 8.2.1: neither end of a value is white space.
bool has_bare_ends(std::string_view value) {
  const auto is_space = [](char c) {
    return c == ' ' || c == '\t';
  };
  return value.empty() || (!is_space(value.front()) && !is_space(value.back()));
}

bool is_lower_token(std::string_view name) {
  std::uint8_t all = name.empty() ? 0 : kTokenChar;
  std::uint8_t any = 0;
  for (const char c : name) {
    all &= class_of(c);
    any |= class_of(c);
  }
  return all != 0 && (any & kUpperChar) == 0;
}

// The methods that HTTP/1 clients may use too: one set for both.
bool is_known_method(std::string_view text) {
  for (unsigned i = 0; i <= HTTP_SOURCE; ++i) {
    if (text == llhttp_method_name(static_cast<llhttp_method_t>(i))) return true;
  }
  return text == "QUERY";
}

}  // namespace

void H2FieldReader::start_head(Head& head, const MessageLimits& limits) {
  *this = {};
  head_ = &head;
  fields_ = &head.fields;
  arena_ = head.arena;
  limits_ = &limits;
}

void H2FieldReader::start_answer(Head& head, const MessageLimits& limits, Method asked) {
  start_head(head, limits);
  side_ = Side::upstream;
  asked_ = asked;
}

void H2FieldReader::start_trailers(HeaderBlock& trailers,
                                   base::Arena& arena,
                                   const MessageLimits& limits,
                                   Side side) {
  *this = {};
  side_ = side;
  fields_ = &trailers;
  arena_ = &arena;
  limits_ = &limits;
}

// The first fault counts.
void H2FieldReader::fail(EndReason reason, const char* detail) {
  if (error_.is_error()) return;
  error_ = {is_of_answer() ? EndReason::upstream_protocol : reason, side_, Retry::no, detail};
}

bool H2FieldReader::add(std::string_view name, std::string_view value) {
  const std::uint64_t size = name.size() + value.size() + kFieldCost;
  const std::uint64_t most = std::uint64_t{kBombFactor} * limits_->header_bytes;
  if (bytes_ + size > most || count_ >= kBombFactor * HeaderBlock::kCapacity) {
    fail(EndReason::rejected_header_size, "header section much too large");
    return false;
  }
  bytes_ += static_cast<std::uint32_t>(size);
  ++count_;
  if (!name.empty() && name.front() == ':') {
    add_pseudo(name, value);
  } else {
    add_regular(name, value);
  }
  return true;
}

// RFC 9113 section 8.3
void H2FieldReader::add_pseudo(std::string_view name, std::string_view value) {
  if (head_ == nullptr) return fail(EndReason::rejected_header, "pseudo-field in trailers");
  if (has_regular_) return fail(EndReason::rejected_header, "pseudo-field behind other fields");
  std::uint8_t which = 0;
  while (which < kPseudos && kPseudoNames[which] != name)
    ++which;
  if (which == kPseudos || (which == status) != is_of_answer()) {
    return fail(EndReason::rejected_header, "unknown pseudo-field");
  }
  if (has(static_cast<Pseudo>(which))) {
    return fail(EndReason::rejected_header, "the same pseudo-field twice");
  }
  seen_ |= static_cast<std::uint8_t>(1U << which);
  if (which == path && value.size() > limits_->uri_bytes) {
    return fail(EndReason::rejected_uri_length, "request-target too long");
  }
  if (bytes_ > limits_->header_bytes) {
    return fail(EndReason::rejected_header_size, "header section too large");
  }
  if (!is_field_value(value) || !has_bare_ends(value)) {
    return fail(EndReason::rejected_header, "character not allowed in a pseudo-field");
  }
  pseudo_[which] = arena_->copy(value);
}

void H2FieldReader::add_regular(std::string_view name, std::string_view value) {
  has_regular_ = true;
  if (error_.is_error()) return;
  const HeaderId id = header_id_of(name);
  // Crumbs count with their bytes only: they are one field (RFC 9113 section 8.2.3).
  const bool is_crumb = id == HeaderId::cookie && fields_->has(HeaderId::cookie);
  if (bytes_ > limits_->header_bytes || (!is_crumb && fields_->size() >= limits_->header_count)) {
    return fail(EndReason::rejected_header_size, "header section too large");
  }
  if (!is_lower_token(name)) {
    return fail(EndReason::rejected_header, "field name is not a token in lower case");
  }
  if (!is_field_value(value) || !has_bare_ends(value)) {
    return fail(EndReason::rejected_header, "character not allowed in a field value");
  }
  if (id == HeaderId::other) {
    static_cast<void>(fields_->add(id, arena_->copy(name), arena_->copy(value)));
    return;
  }
  if (!is_allowed(id, value)) return;
  if (is_crumb) {
    join_cookie(value);
  } else {
    static_cast<void>(fields_->add(id, arena_->copy(value)));
  }
}

// RFC 9113 section 8.2.2: what an HTTP/1 member could take for framing never comes from here.
bool H2FieldReader::is_allowed(HeaderId id, std::string_view value) {
  switch (id) {
    case HeaderId::connection:
    case HeaderId::proxy_connection:
    case HeaderId::keep_alive:
    case HeaderId::transfer_encoding:
    case HeaderId::upgrade:
      fail(EndReason::rejected_header, "field of an HTTP/1 connection");
      return false;
    case HeaderId::te:
      if (!is_same_ignoring_case(value, "trailers")) {
        fail(EndReason::rejected_header, "TE other than trailers");
        return false;
      }
      return true;
    default:
      return true;
  }
}

void H2FieldReader::join_cookie(std::string_view crumb) {
  const std::size_t at = fields_->find(HeaderId::cookie);
  const std::string_view before = fields_->field(at).value();
  fields_->set_value(at, arena_->extend(arena_->extend(before, "; "), crumb));
}

Error H2FieldReader::finish(bool end) {
  if (head_ != nullptr) return is_of_answer() ? finish_answer(end) : finish_head(end);
  if (!end) fail(EndReason::rejected_header, "trailers do not end");
  return error_.is_error() ? error_ : judge_trailers(*fields_, side_);
}

// RFC 9113 section 8.3.2
Error H2FieldReader::finish_answer(bool end) {
  Head& head = *head_;
  head.protocol = Protocol::http2;
  const std::string_view code = pseudo_[status];
  std::uint16_t number = 0;
  const auto parsed = std::from_chars(code.data(), code.data() + code.size(), number);
  if (code.size() != 3 || parsed.ec != std::errc{} || parsed.ptr != code.data() + code.size()) {
    fail(EndReason::upstream_protocol, "malformed or no :status");
  } else if (number == 101) {
    fail(EndReason::upstream_protocol, "101 over HTTP/2");  // RFC 9113 section 8.6
  }
  if (error_.is_error()) return error_;
  head.status = number;
  const Error error = judge_response(head, asked_, false);
  if (error.is_error()) return error;
  if (end && head.is_interim()) fail(EndReason::upstream_protocol, "ended by an interim response");
  if (end && head.body == BodyKind::length && head.content_length > 0) {
    fail(EndReason::upstream_protocol, "Content-Length without a body");
  }
  if (end) head.body = BodyKind::none;
  return error_;
}

Error H2FieldReader::finish_head(bool end) {
  Head& head = *head_;
  head.protocol = Protocol::http2;
  head.body = end ? BodyKind::none : BodyKind::unknown;
  // What can be said of it is said, for the log, even if it is refused.
  head.method_text = pseudo_[method];
  head.method = method_of(pseudo_[method]);
  if (error_.is_error()) return error_;
  Error error = fill_in();
  if (!error.is_error()) error = judge_request(head, *arena_);
  if (error.is_error()) return error;
  if (has(protocol)) return begin_connect(head, pseudo_[protocol]);
  if (end && head.body == BodyKind::length) {
    return {EndReason::rejected_framing, Side::client, Retry::no, "Content-Length without a body"};
  }
  // "Content-Length: 0", and the end of the stream is still to come.
  if (!end && head.body == BodyKind::none) head.body = BodyKind::length;
  return {};
}

// RFC 9113 section 8.3.1
Error H2FieldReader::fill_in() {
  Head& head = *head_;
  const auto wrong = [](EndReason reason, const char* detail) {
    return Error{reason, Side::client, Retry::no, detail};
  };
  if (!is_token(pseudo_[method])) {
    return wrong(EndReason::rejected_request_line, "malformed method");
  }
  if (head.method == Method::connect) {
    if (!has(protocol)) return {};  // framing.h refuses it
    read_connect(head);
  } else if (has(protocol)) {
    return wrong(EndReason::rejected_header, ":protocol without CONNECT");
  }
  if (head.method == Method::other && !is_known_method(head.method_text)) {
    return wrong(EndReason::rejected_method, "unknown method");
  }
  if (!has(scheme) || !has(path)) {
    return wrong(EndReason::rejected_request_line, "no :scheme or no :path");
  }
  if (is_same_ignoring_case(pseudo_[scheme], "https")) {
    head.scheme = "https";
  } else if (is_same_ignoring_case(pseudo_[scheme], "http")) {
    head.scheme = "http";
  } else {
    return wrong(EndReason::rejected_target, "scheme is neither http nor https");
  }
  const bool is_origin_form = !pseudo_[path].empty() && pseudo_[path].front() == '/';
  if (!is_origin_form && pseudo_[path] != "*") {
    return wrong(EndReason::rejected_target, "path without a slash");
  }
  // An empty one would have to be the member's name, which it cannot know.
  if (has(authority) && pseudo_[authority].empty()) {
    return wrong(EndReason::rejected_host, "empty :authority");
  }
  if (pseudo_[path].size() > limits_->uri_bytes) {
    return wrong(EndReason::rejected_uri_length, "request-target too long");
  }
  const Error error = parse_target(pseudo_[path], head, *arena_);
  if (error.is_error()) return error;
  head.authority = pseudo_[authority];
  return {};
}

}  // namespace portunus::http
