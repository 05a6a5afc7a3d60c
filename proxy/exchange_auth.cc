// Who may come in by a name and a password. The client's body waits while they are compared.
#include "proxy/exchange.h"

namespace portunus::proxy {

using base::EndReason;
using base::Retry;
using base::Side;
using http::HeaderId;

// False when it has been answered, or on_checked() is to go on.
bool Exchange::authenticate(const RouteMatch& match) {
  const http::HeaderBlock& fields = request_->fields;
  // With two of them one might be looked at here and the other by the member.
  const std::string_view given = fields.count(HeaderId::authorization) == 1
                                     ? fields.value_of(HeaderId::authorization)
                                     : std::string_view{};
  switch (
      context_->credentials->check(*route_->basic_auth, given, *request_->arena, *this, user_)) {
    case Credentials::Verdict::right:
      return true;
    case Credentials::Verdict::wrong:
      refuse_credentials();
      return false;
    case Credentials::Verdict::busy:
      user_ = {};
      reply_error({EndReason::auth_busy, Side::client, Retry::no,
                   "too many passwords wait to be looked at"});
      return false;
    case Credentials::Verdict::pending:
      path_rest_ = match.path_rest;
      phase_ = Phase::checking;
      return false;
  }
  return false;
}

void Exchange::on_checked(bool is_right) {
  if (phase_ != Phase::checking) return;
  if (!is_right) {
    refuse_credentials();
    return;
  }
  phase_ = Phase::head;
  act({route_, path_rest_});
}

void Exchange::refuse_credentials() {
  user_ = {};
  reply_error({EndReason::rejected_credentials, Side::client, Retry::no,
               "no name and password, or wrong ones"});
}

// Nobody but us says it; false: too many fields.
bool Exchange::tell_user() {
  const conf::BasicAuth& rules = *route_->basic_auth;
  if (!rules.passes_credentials) request_->fields.remove(HeaderId::authorization);
  return rules.user_field.empty() || request_->fields.set(rules.user_field, user_);
}

}  // namespace portunus::proxy
