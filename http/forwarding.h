// What a proxy does to the fields of a message on its way (RFC 9110 sections 7.6 and 5.6, RFC
// 7239): removes those that concern one connection, adds Via, and tells the upstream who asked.
// Once per exchange and direction, on the block, whatever the protocols. Call it before the route's
// own header changes, so that a client cannot nominate those for removal. New text goes to the
// arena or is the caller's. Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/arena.h"
#include "http/header_block.h"
#include "http/message.h"

namespace portunus::http {

// Who sent a request. All texts must live as long as the head.
struct Sender {
  std::string_view peer;         // address of the connection, IPv6 without brackets
  std::string_view client;       // the real client's, see find_client(); equal to peer when unknown
  std::string_view scheme;       // "http" or "https", of the connection
  std::string_view request_id;   // ours, or a trusted peer's
  bool is_peer_trusted = false;  // whether its X-Forwarded-* and kin are believed and extended
  bool has_forwarded = false;    // whether Forwarded is written too
};

// Room that forward_request() and forward_response() may need in the block beyond what came.
inline constexpr std::size_t kForwardingFields = 10;

// False when the block is full. head.authority and head.protocol are set; head.upgrade says whether
// Upgrade is kept.
[[nodiscard]] bool forward_request(Head& head, const Sender& sender, base::Arena& arena);
// Upgrade is kept in a 101 and in a 426, where it names what would be accepted.
[[nodiscard]] bool forward_response(Head& head, base::Arena& arena);

// Only the removal: fields of one connection, and unknown ones that Connection names. A known field
// is never removed because Connection names it: RFC 9110 section 7.6.1 forbids naming an end-to-end
// one. Returns the known fields that are left, as header_bit()s.
std::uint64_t remove_hop_by_hop(Head& head, bool keep_upgrade);

// The address in one element of X-Forwarded-For or one `for` value of Forwarded: without port,
// brackets and quotes; empty when there is none (a name, "unknown", an obfuscated identifier).
[[nodiscard]] std::string_view address_in(std::string_view element);

// Yields the addresses of X-Forwarded-For, or of Forwarded when there is none, from the last to the
// first.
class HopWalk {
 public:
  explicit HopWalk(const HeaderBlock& fields);
  // False at the end. `address` is empty for an element without one.
  [[nodiscard]] bool next(std::string_view& address);

 private:
  [[nodiscard]] bool next_field();

  const HeaderBlock& fields_;
  HeaderId id_;
  std::size_t field_;
  std::string_view rest_;
};

// The first address from the right that `is_trusted(std::string_view)` does not hold for, starting
// with the peer: what stands left of it is the client's own claim. When all are trusted, the
// leftmost; an element without an address ends the walk at its right neighbour, and the client is
// known to be somebody else.
struct FoundClient {
  std::string_view text;    // a slice
  bool is_unknown = false;  // somebody behind that address, who is not named
};
template <typename IsTrusted>
[[nodiscard]] FoundClient find_client(const HeaderBlock& fields,
                                      std::string_view peer,
                                      const IsTrusted& is_trusted) {
  constexpr int kHopsMax = 64;
  FoundClient client{.text = peer};
  HopWalk walk(fields);
  for (int hop = 0; hop < kHopsMax && is_trusted(client.text); ++hop) {
    std::string_view address;
    if (!walk.next(address)) break;
    client.is_unknown = address.empty();
    if (client.is_unknown) break;
    client.text = address;
  }
  return client;
}

}  // namespace portunus::http
