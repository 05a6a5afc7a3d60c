#include "proxy/credentials.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace portunus::proxy {
namespace {

// Of name, colon and password. Hashes look at less.
constexpr std::size_t kPlainMax = 384;
constexpr std::size_t kEncodedMax = kPlainMax / 3 * 4;
// What the code of a password is of: a mark, the hash, a line's end, name and password.
constexpr std::size_t kMessageMax = 1024;

// Name, colon and password of a field; empty: there is none. Views `room`.
std::string_view plain_of(std::string_view field, std::span<char, kPlainMax + 3> room) {
  constexpr std::string_view kScheme = "basic ";
  const bool is_basic =
      field.size() > kScheme.size() &&
      std::ranges::equal(field.substr(0, kScheme.size()), kScheme,
                         [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a | 0x20 : a) == b; });
  if (!is_basic) return {};
  std::string_view encoded = field.substr(kScheme.size());
  encoded.remove_prefix(std::min(encoded.find_first_not_of(' '), encoded.size()));
  if (encoded.empty() || encoded.size() > kEncodedMax || encoded.size() % 4 != 0) return {};
  const int size = ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(room.data()),
                                     reinterpret_cast<const unsigned char*>(encoded.data()),
                                     static_cast<int>(encoded.size()));
  if (size < 0) return {};
  std::size_t padding = 0;
  while (padding < 2 && encoded[encoded.size() - 1 - padding] == '=')
    ++padding;
  return {room.data(), static_cast<std::size_t>(size) - padding};
}

}  // namespace

Credentials::Credentials(net::Loop& loop, PasswordChecker& checker)
    : loop_(&loop), checker_(&checker), hmac_(checker.key()) {}

Credentials::Verdict Credentials::check(const conf::BasicAuth& rules,
                                        std::string_view field,
                                        base::Arena& arena,
                                        CredentialWaiter& waiter,
                                        std::string_view& user) {
  std::array<char, kPlainMax + 3> room;
  const std::string_view plain = plain_of(field, room);
  const std::size_t colon = plain.find(':');
  if (colon == std::string_view::npos) return Verdict::wrong;
  const std::string_view name = plain.substr(0, colon);
  const conf::BasicAuth::User* found = rules.find(name);
  // Nobody is told by the time that it takes which names there are.
  const bool is_known = found != nullptr;
  if (!is_known) found = &rules.users.front();
  std::array<char, kMessageMax> message;
  if (1 + found->hash.size() + 1 + plain.size() > message.size()) return Verdict::wrong;
  char* out = message.data();
  *out++ = is_known ? '=' : '?';
  out = std::ranges::copy(found->hash, out).out;
  *out++ = '\n';
  out = std::ranges::copy(plain, out).out;
  const net::Hmac::Code code = hmac_.of({message.data(), out});
  Verdict verdict = Verdict::pending;
  if (right_.has(code)) {
    verdict = Verdict::right;
  } else if (wrong_.has(code)) {
    verdict = Verdict::wrong;
  } else {
    verdict = begin(code, *found, is_known, plain.substr(colon + 1), waiter);
  }
  if (verdict == Verdict::right || verdict == Verdict::pending) user = arena.copy(name);
  OPENSSL_cleanse(message.data(), message.size());
  OPENSSL_cleanse(room.data(), room.size());
  return verdict;
}

Credentials::Verdict Credentials::begin(const net::Hmac::Code& code,
                                        const conf::BasicAuth::User& user,
                                        bool is_known_user,
                                        std::string_view password,
                                        CredentialWaiter& waiter) {
  const auto same = std::ranges::find_if(
      pending_, [&](const std::unique_ptr<Pending>& each) { return each->code == code; });
  if (same != pending_.end()) {
    (*same)->waiters.push_back(waiter);
    return Verdict::pending;
  }
  using Answer = PasswordChecker::Answer;
  switch (checker_->submit({code, is_known_user, user.hash, password, this})) {
    case Answer::right:  // another thread has asked
      right_.add(code);
      return Verdict::right;
    case Answer::wrong:
      wrong_.add(code);
      return Verdict::wrong;
    case Answer::refused:
      return Verdict::busy;
    case Answer::queued:
      break;
  }
  pending_.push_back(std::make_unique<Pending>(code));
  pending_.back()->waiters.push_back(waiter);
  return Verdict::pending;
}

void Credentials::leave(CredentialWaiter& waiter) {
  waiter.unlink();
  std::erase_if(pending_, [this](const std::unique_ptr<Pending>& each) {
    return each->waiters.empty() && checker_->withdraw(each->code, *this);
  });
}

void Credentials::on_compared(const net::Hmac::Code& code, bool is_right) {
  loop_->post([this, code, is_right] { on_told(code, is_right); });
}

void Credentials::on_told(const net::Hmac::Code& code, bool is_right) {
  const auto at = std::ranges::find_if(
      pending_, [&](const std::unique_ptr<Pending>& each) { return each->code == code; });
  if (at == pending_.end()) return;
  const std::unique_ptr<Pending> pending = std::move(*at);
  pending_.erase(at);
  (is_right ? right_ : wrong_).add(code);
  while (CredentialWaiter* waiter = pending->waiters.pop_front())
    waiter->on_checked(is_right);
}

}  // namespace portunus::proxy
