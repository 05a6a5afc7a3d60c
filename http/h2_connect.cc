#include "http/h2_connect.h"

#include <array>

#include "base/arena.h"
#include "http/grammar.h"
#include "http/request_id.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

constexpr std::size_t kKeyBytes = 16;  // RFC 6455 section 4.1
constexpr std::size_t kKeySize = 24;   // in base64

// A nonce, by which the member shows that it has read the request: 64 random bits, as hex digits.
std::string_view make_key(base::Arena& arena) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static_assert(kRequestIdSize >= kKeyBytes);
  std::array<char, kRequestIdSize + 2> bytes{};
  write_request_id(bytes.data());
  for (std::size_t i = kKeyBytes; i < bytes.size(); ++i)
    bytes[i] = '\0';
  char* const text = arena.take(kKeySize);
  for (std::size_t i = 0; i < kKeySize; i += 4) {
    const std::size_t at = i / 4 * 3;
    const auto byte = [&](std::size_t k) {
      return static_cast<unsigned>(static_cast<unsigned char>(bytes[at + k]));
    };
    const unsigned group = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (std::size_t k = 0; k < 4; ++k)
      text[i + k] = kDigits[group >> (18 - 6 * k) & 63];
  }
  text[kKeySize - 2] = text[kKeySize - 1] = '=';  // of the last three bytes one is there
  return {text, kKeySize};
}

}  // namespace

void read_connect(Head& head) {
  head.method = Method::get;
  head.method_text = "GET";
}

Error begin_connect(Head& head, std::string_view protocol) {
  if (protocol != "websocket") {
    return {EndReason::rejected_method, Side::client, Retry::no,
            "CONNECT for another protocol than websocket"};
  }
  HeaderBlock& fields = head.fields;
  // What the stream carries is of the other protocol, and has no length.
  fields.remove(HeaderId::content_length);
  fields.remove(HeaderId::expect);
  head.expects_continue = false;
  head.body = BodyKind::none;
  head.content_length = 0;
  head.upgrade = head.insists_on_upgrade = true;
  head.upgrade_token = "websocket";
  bool fits = fields.set(HeaderId::upgrade, head.upgrade_token) &&
              fields.set(HeaderId::sec_websocket_key, make_key(*head.arena));
  if (!fields.has(HeaderId::sec_websocket_version)) {
    fits = fits && fields.add(HeaderId::sec_websocket_version, "13");
  }
  if (fits) return {};
  return {EndReason::rejected_header_size, Side::client, Retry::no, "too many fields"};
}

bool is_of_upgrade(HeaderId id) {
  return id == HeaderId::sec_websocket_accept || id == HeaderId::upgrade ||
         id == HeaderId::connection;
}

}  // namespace portunus::http
