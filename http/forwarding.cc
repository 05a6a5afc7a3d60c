#include "http/forwarding.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "http/framing.h"
#include "http/grammar.h"

namespace portunus::http {
namespace {

// Unknown names that Connection nominates. The names are tokens of any case.
void remove_nominated(HeaderBlock& fields) {
  for (std::size_t at = fields.find(HeaderId::connection); at != HeaderBlock::kNone;
       at = fields.find(HeaderId::connection, at + 1)) {
    std::string_view rest = fields.field(at).value();
    for (auto name = next_element(rest); !name.empty(); name = next_element(rest)) {
      if (header_id_of(name) != HeaderId::other) continue;
      for (std::size_t i = fields.find(HeaderId::other); i != HeaderBlock::kNone;
           i = fields.find(HeaderId::other, i + 1)) {
        if (is_same_ignoring_case(name, fields.field(i).name())) fields.remove_at(i);
      }
    }
  }
}

// RFC 9110 section 10.1.4: of TE only "trailers" means anything to a member behind a proxy.
void keep_te_trailers(HeaderBlock& fields) {
  const std::size_t at = fields.find(HeaderId::te);
  if (at == HeaderBlock::kNone) return;
  const bool has_trailers = has_token(fields, HeaderId::te, "trailers");
  fields.remove(HeaderId::te);
  if (has_trailers) static_cast<void>(fields.add(HeaderId::te, "trailers"));
}

// "a, b" from the last field of that id and `added`; a new field when there is none.
bool append(HeaderBlock& fields, HeaderId id, std::string_view added, base::Arena& arena) {
  std::size_t last = HeaderBlock::kNone;
  for (std::size_t i = fields.find(id); i != HeaderBlock::kNone; i = fields.find(id, i + 1)) {
    last = i;
  }
  if (last == HeaderBlock::kNone) return fields.add(id, added);
  const std::string_view before = fields.field(last).value();
  if (before.empty()) {
    fields.set_value(last, added);
    return true;
  }
  char* const text = arena.take(before.size() + 2 + added.size());
  char* at = std::copy(before.begin(), before.end(), text);
  *at++ = ',';
  *at++ = ' ';
  std::copy(added.begin(), added.end(), at);
  fields.set_value(last, {text, before.size() + 2 + added.size()});
  return true;
}

// Replaces in place where there is one, so that the block does not grow.
bool replace(HeaderBlock& fields, HeaderId id, std::string_view value) {
  const std::size_t at = fields.find(id);
  if (at == HeaderBlock::kNone) return fields.add(id, value);
  fields.set_value(at, value);
  for (std::size_t i = fields.find(id, at + 1); i != HeaderBlock::kNone;
       i = fields.find(id, i + 1)) {
    fields.remove_at(i);
  }
  return true;
}

// Adds, or does as told when there is one already. `present`: the known fields of the block.
struct Change {
  HeaderBlock& fields;
  std::uint64_t present;
  base::Arena& arena;

  [[nodiscard]] bool has(HeaderId id) const { return (present & header_bit(id)) != 0; }
  [[nodiscard]] bool add_or_append(HeaderId id, std::string_view value) {
    return has(id) ? append(fields, id, value, arena) : fields.add(id, value);
  }
  [[nodiscard]] bool add_or_replace(HeaderId id, std::string_view value) {
    return has(id) ? replace(fields, id, value) : fields.add(id, value);
  }
  // The first value of a trusted peer stays; everything else is replaced.
  [[nodiscard]] bool add_or_keep(HeaderId id, std::string_view value, bool is_trusted) {
    if (is_trusted && has(id) && !fields.value_of(id).empty()) return true;
    return add_or_replace(id, value);
  }
  void remove(HeaderId id) {
    if (has(id)) fields.remove(id);
  }
};

bool add_via(Protocol protocol, Change& change) {
  std::string_view ours;
  switch (protocol) {
    case Protocol::http10:
      ours = "1.0 portunus";
      break;
    case Protocol::http11:
      ours = "1.1 portunus";
      break;
    case Protocol::http2:
      ours = "2.0 portunus";
      break;
  }
  return change.add_or_append(HeaderId::via, ours);
}

// X-Forwarded-Prefix, -Server and whatever else an application may believe.
void remove_other_forwarded(HeaderBlock& fields) {
  for (std::size_t i = fields.find(HeaderId::other); i != HeaderBlock::kNone;
       i = fields.find(HeaderId::other, i + 1)) {
    if (fields.field(i).name().starts_with("x-forwarded")) fields.remove_at(i);
  }
}

// One element of Forwarded (RFC 7239 section 4). Quoted where a value is no token: IPv6 and ports.
std::string_view forwarded_element(const Head& head, const Sender& sender, base::Arena& arena) {
  const std::size_t most =
      sender.peer.size() + sender.scheme.size() + 2 * head.authority.size() + 40;
  char* const begin = arena.take(most);
  char* at = begin;
  const auto put = [&at](std::string_view text) {
    std::memcpy(at, text.data(), text.size());
    at += text.size();
  };
  const bool is_v6 = sender.peer.find(':') != std::string_view::npos;
  put(is_v6 ? "for=\"[" : "for=");
  put(sender.peer);
  if (is_v6) put("]\"");
  if (!head.authority.empty()) {
    const bool is_plain = is_token(head.authority);
    put(is_plain ? ";host=" : ";host=\"");
    put(head.authority);  // its grammar has neither quotes nor backslashes
    if (!is_plain) put("\"");
  }
  put(";proto=");
  put(sender.scheme);
  return {begin, static_cast<std::size_t>(at - begin)};
}

bool add_sender(const Head& head, const Sender& sender, Change& change) {
  const bool is_trusted = sender.is_peer_trusted;
  bool fits = is_trusted ? change.add_or_append(HeaderId::x_forwarded_for, sender.peer)
                         : change.add_or_replace(HeaderId::x_forwarded_for, sender.peer);
  fits &= change.add_or_keep(HeaderId::x_forwarded_proto, sender.scheme, is_trusted);
  if (!head.authority.empty()) {
    fits &= change.add_or_keep(HeaderId::x_forwarded_host, head.authority, is_trusted);
  } else if (!is_trusted) {
    change.remove(HeaderId::x_forwarded_host);
  }
  fits &= change.add_or_keep(HeaderId::x_real_ip, sender.client, is_trusted);
  fits &= change.add_or_replace(HeaderId::x_request_id, sender.request_id);
  if (!is_trusted) {
    change.remove(HeaderId::x_forwarded_port);
    change.remove(HeaderId::forwarded);
    remove_other_forwarded(change.fields);
  }
  if (sender.has_forwarded) {
    const std::string_view element = forwarded_element(head, sender, change.arena);
    fits &= is_trusted ? change.add_or_append(HeaderId::forwarded, element)
                       : change.fields.add(HeaderId::forwarded, element);
  }
  return fits;
}

bool is_address(std::string_view text) {
  // Only the alphabet: whoever asks parses it.
  bool has_mark = false;
  for (const char c : text) {
    const bool is_mark = c == '.' || c == ':';
    if (!is_mark && hex_value(c) < 0) return false;
    has_mark |= is_mark;
  }
  return has_mark;
}

// Cuts the last element off a list, trimmed. Commas within quotes do not separate; a quote that is
// never closed makes one element of everything.
std::string_view cut_last(std::string_view& rest) {
  bool is_quoted = false;
  std::size_t at = rest.size();
  while (at > 0) {
    const char c = rest[at - 1];
    if (c == '"') is_quoted = !is_quoted;
    if (c == ',' && !is_quoted) break;
    --at;
  }
  const std::string_view element = trim_ows(rest.substr(at));
  rest = at == 0 ? std::string_view{} : rest.substr(0, at - 1);
  return element;
}

// The value of `for` in one element of Forwarded.
std::string_view for_value(std::string_view element) {
  while (!element.empty()) {
    const std::size_t end = std::min(element.find(';'), element.size());
    const std::string_view pair = trim_ows(element.substr(0, end));
    element.remove_prefix(std::min(end + 1, element.size()));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    if (is_same_ignoring_case(pair.substr(0, equals), "for")) return pair.substr(equals + 1);
  }
  return {};
}

}  // namespace

std::uint64_t remove_hop_by_hop(Head& head, bool keep_upgrade) {
  HeaderBlock& fields = head.fields;
  if (fields.has(HeaderId::connection)) remove_nominated(fields);
  std::uint64_t present = 0;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const HeaderId id = fields.id(i);
    const bool stays =
        !is_hop_by_hop(id) || id == HeaderId::te || (id == HeaderId::upgrade && keep_upgrade);
    if (!stays) fields.remove_at(i);
    present |= header_bit(fields.id(i));
  }
  if ((present & header_bit(HeaderId::te)) != 0) keep_te_trailers(fields);
  return present;
}

bool forward_request(Head& head, const Sender& sender, base::Arena& arena) {
  Change change{head.fields, remove_hop_by_hop(head, head.upgrade), arena};
  // Meant for the next proxy (RFC 9110 section 11.7), which is us, and we ask for none.
  change.remove(HeaderId::proxy_authorization);
  change.remove(HeaderId::proxy_authenticate);
  return add_via(head.protocol, change) && add_sender(head, sender, change);
}

bool forward_response(Head& head, base::Arena& arena) {
  const bool keep_upgrade = head.status == 101 || head.status == 426;
  Change change{head.fields, remove_hop_by_hop(head, keep_upgrade), arena};
  change.remove(HeaderId::te);
  change.remove(HeaderId::proxy_authenticate);
  return add_via(head.protocol, change);
}

std::string_view address_in(std::string_view element) {
  element = trim_ows(element);
  if (element.size() >= 2 && element.front() == '"' && element.back() == '"') {
    element = element.substr(1, element.size() - 2);
  }
  if (!element.empty() && element.front() == '[') {
    const std::size_t close = element.find(']');
    if (close == std::string_view::npos) return {};
    element = element.substr(1, close - 1);
  } else if (element.find(':') != std::string_view::npos &&
             element.find(':') == element.rfind(':')) {
    element = element.substr(0, element.find(':'));  // IPv4 with a port
  }
  return is_address(element) ? element : std::string_view{};
}

HopWalk::HopWalk(const HeaderBlock& fields)
    : fields_(fields),
      id_(fields.has(HeaderId::x_forwarded_for) ? HeaderId::x_forwarded_for : HeaderId::forwarded),
      field_(fields.size()) {}

bool HopWalk::next_field() {
  while (field_ > 0) {
    --field_;
    if (fields_.id(field_) != id_) continue;
    rest_ = fields_.field(field_).value();
    return true;
  }
  return false;
}

bool HopWalk::next(std::string_view& address) {
  while (true) {
    while (rest_.empty()) {
      if (!next_field()) return false;
    }
    const std::string_view element = cut_last(rest_);
    if (element.empty()) continue;  // RFC 9110 section 5.6.1.2
    address = address_in(id_ == HeaderId::forwarded ? for_value(element) : element);
    return true;
  }
}

}  // namespace portunus::http
