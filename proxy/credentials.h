// Names and passwords that requests bring (HTTP's basic scheme, RFC 7617): compared once on the
// PasswordChecker's thread, known from then on by a code that nobody can make a password of. Right ones
// are remembered, and wrong ones, so that neither a page with a hundred pictures nor a client that goes
// on with a wrong password costs more than one comparison. Bounded: the oldest is forgotten. One thread;
// each has its own, and the checker knows those of all.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/intrusive_list.h"
#include "conf/model_basic_auth.h"
#include "net/hmac.h"
#include "net/loop.h"
#include "proxy/password_checker.h"
#include "proxy/recent_codes.h"

namespace portunus::proxy {

// Of a request. When it is over while it waits: Credentials::leave(), or to be destroyed.
class CredentialWaiter : public base::ListHook<CredentialWaiter> {
 public:
  virtual void on_checked(bool is_right) = 0;

 protected:
  ~CredentialWaiter() = default;
};

class Credentials final : private PasswordAsker {
 public:
  enum class Verdict : std::uint8_t {
    right,
    wrong,    // or none at all
    pending,  // on_checked() follows, never at once
    busy,     // too many passwords wait
  };

  // The checker outlives it, but is stopped before it is destroyed.
  Credentials(net::Loop& loop, PasswordChecker& checker);

  // `field`: the value of Authorization; empty = none. With `right` and `pending` `user` is the name, in
  // the arena.
  [[nodiscard]] Verdict check(const conf::BasicAuth& rules,
                              std::string_view field,
                              base::Arena& arena,
                              CredentialWaiter& waiter,
                              std::string_view& user);

  // The request is over: a comparison that nobody waits for, and that is not begun, makes room.
  void leave(CredentialWaiter& waiter);

 private:
  // A comparison on its way; several requests may wait for it.
  struct Pending {
    net::Hmac::Code code;
    base::IntrusiveList<CredentialWaiter, CredentialWaiter> waiters{};
  };

  [[nodiscard]] Verdict begin(const net::Hmac::Code& code,
                              const conf::BasicAuth::User& user,
                              bool is_known_user,
                              std::string_view password,
                              CredentialWaiter& waiter);
  void on_compared(const net::Hmac::Code& code, bool is_right) override;
  void on_told(const net::Hmac::Code& code, bool is_right);

  net::Loop* loop_;
  PasswordChecker* checker_;
  net::Hmac hmac_;  // under the checker's key
  RecentCodes right_;
  RecentCodes wrong_;
  std::vector<std::unique_ptr<Pending>> pending_;  // at most PasswordChecker::kWaitingMax and one
};

}  // namespace portunus::proxy
