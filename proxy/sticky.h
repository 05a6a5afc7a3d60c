// The cookie that keeps a client with its member, for one pool on one thread: whom a request's cookie
// names, what names a member in the next answer, and the cookie taken out of what members see.
//
// The value is 36 characters of base64url (RFC 4648 section 5) for 27 bytes: the member's id (8), when it
// expires (4, seconds since 1970) and a code over both (15, of HMAC-SHA-256). An id is a code over the
// member's name, so it tells nobody its address, and outlives restarts; both are made with a key that is
// the pool's own, so a cookie of one pool is nothing in another. What is not of that form, has another
// code, or has expired names nobody; codes are compared in a time that does not depend on them.
//
// The cookie is taken out of requests: a member has no use for it, an application that logs or repeats
// cookies would spread it, and one that happens to use the name would take ours for its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/arena.h"
#include "conf/model_pools.h"
#include "http/header_block.h"
#include "net/hmac.h"
#include "proxy/member_list.h"

namespace portunus::proxy {

class Sticky {
 public:
  static constexpr std::size_t kBytes = 27;
  static constexpr std::size_t kText = 36;
  // Cookies of the name that are looked at in one request: another path or domain may have brought some.
  static constexpr std::size_t kLooksMax = 4;
  static constexpr std::size_t kNobody = static_cast<std::size_t>(-1);

  // `secret` is the program's or the pool's; `pool` its name.
  Sticky(conf::Sticky rule, std::string_view secret, std::string_view pool);

  void set_members(const MemberList& members);

  // Whom the cookies of a request name; an id of 0 is nobody.
  struct Named {
    std::uint64_t id = 0;
    bool is_due = false;  // less than half of its time is left
  };
  [[nodiscard]] Named read(const http::HeaderBlock& request, std::uint64_t now_s);
  // The member's place in the list; kNobody when it is not there.
  [[nodiscard]] std::size_t find(std::uint64_t id) const;
  // Of the list's member at that place; never 0.
  [[nodiscard]] std::uint64_t id_at(std::size_t place) const { return ids_[place]; }
  // Takes all cookies of the name out of a request.
  void strip(http::HeaderBlock& request, base::Arena& arena) const;
  // A Set-Cookie field for that member. An answer without room for it goes without.
  void add(std::uint64_t id,
           bool is_https,
           std::uint64_t now_s,
           base::Arena& arena,
           http::HeaderBlock& answer);

 private:
  [[nodiscard]] Named look_at(std::string_view text, std::uint64_t now_s);

  conf::Sticky rule_;
  net::Hmac key_;
  std::vector<std::uint64_t> ids_;  // as the list's entries
  std::unordered_map<std::uint64_t, std::size_t> places_;
  std::string attributes_;         // behind the value
  std::string secure_attributes_;  // of one for HTTPS
};

// Whether an answer is meant for caches that serve many clients: then it names nobody, or they would all
// be sent to one member.
[[nodiscard]] bool is_for_shared_caches(const http::HeaderBlock& answer);

}  // namespace portunus::proxy
