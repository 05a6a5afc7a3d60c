// Who may come in by a name and a password. The client's body waits while they are compared.
#include <algorithm>

#include "proxy/auth_fields.h"
#include "proxy/exchange.h"

namespace portunus::proxy {

using base::EndReason;
using base::Retry;
using base::Side;
using http::HeaderId;

namespace {

// For the passwords before it as well.
constexpr std::uint64_t kCheckedWithinMs = 30'000;

}  // namespace

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
      is_user_right_ = true;
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
      loop().timers().arm(total_deadline_, kCheckedWithinMs);
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
  is_user_right_ = true;
  total_deadline_.disarm();
  go_on({route_, path_rest_});
}

void Exchange::refuse_credentials() {
  user_ = {};
  reply_error({EndReason::rejected_credentials, Side::client, Retry::no,
               "no name and password, or wrong ones"});
}

// Nobody but us says it, nor what some members take for the same; false: too many fields.
bool Exchange::tell_user(http::HeaderBlock& fields) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (!fields.is_removed(i) && is_user_field(fields.field(i).name())) fields.remove_at(i);
  }
  if (route_->basic_auth == nullptr) return true;
  if (!route_->basic_auth->passes_credentials) fields.remove(HeaderId::authorization);
  return route_->user_field.empty() || fields.add(route_->user_field, user_);
}

bool Exchange::is_user_field(std::string_view name) const {
  return !route_->user_field.empty() &&
         std::ranges::equal(name, route_->user_field,
                            [](char a, char b) { return (a == '_' || a == '.' ? '-' : a) == b; });
}

bool Exchange::names_user(const http::HeaderBlock& trailers) const {
  for (std::size_t i = 0; i < trailers.size(); ++i) {
    if (trailers.is_removed(i)) continue;
    const std::string_view name = trailers.field(i).name();
    if (is_user_field(name)) return true;
    if (route_->auth_fields != nullptr && is_auth_field(*route_->auth_fields, name)) return true;
  }
  return false;
}

}  // namespace portunus::proxy
