#include "proxy/password_checker.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "base/check.h"

namespace portunus::proxy {
namespace {

// Less than others, and enough to get on beside threads that are always busy.
constexpr int kNiceness = 5;

bool is_right(const std::string& password, const std::string& hash, crypt_data& room) {
  // A zero would hide what follows it.
  if (password.find('\0') != std::string::npos) return false;
  const char* const made = ::crypt_rn(password.c_str(), hash.c_str(), &room, sizeof(room));
  return made != nullptr && std::strlen(made) == hash.size() &&
         CRYPTO_memcmp(made, hash.data(), hash.size()) == 0;
}

}  // namespace

PasswordChecker::PasswordChecker() {
  CHECK(RAND_bytes(key_.data(), static_cast<int>(key_.size())) == 1);
}

PasswordChecker::Answer PasswordChecker::submit(const Question& question) {
  const std::lock_guard lock(mutex_);
  if (right_.has(question.code)) return Answer::right;
  if (wrong_.has(question.code)) return Answer::wrong;
  if (is_stopped_ || orders_.size() >= kWaitingMax) return Answer::refused;
  orders_.push_back({question.code, question.is_user, std::string(question.hash),
                     std::string(question.password), question.asker});
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  changed_.notify_one();
  return Answer::queued;
}

bool PasswordChecker::withdraw(const net::Hmac::Code& code, const PasswordAsker& asker) {
  const std::lock_guard lock(mutex_);
  const auto at = std::ranges::find_if(
      orders_, [&](const Order& order) { return order.asker == &asker && order.code == code; });
  if (at == orders_.end()) return false;
  OPENSSL_cleanse(at->password.data(), at->password.size());
  orders_.erase(at);
  return true;
}

void PasswordChecker::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
    for (Order& order : orders_)
      OPENSSL_cleanse(order.password.data(), order.password.size());
    orders_.clear();
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void PasswordChecker::run() {
  // Of this thread alone, as Linux has it.
  static_cast<void>(::setpriority(PRIO_PROCESS, 0, kNiceness));
  const auto room = std::make_unique<crypt_data>();
  for (;;) {
    Order order;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return is_stopped_ || !orders_.empty(); });
      if (is_stopped_) return;
      order = std::move(orders_.front());
      orders_.pop_front();
    }
    const bool result = is_right(order.password, order.hash, *room) && order.is_user;
    OPENSSL_cleanse(order.password.data(), order.password.size());
    OPENSSL_cleanse(room.get(), sizeof(crypt_data));
    {
      const std::lock_guard lock(mutex_);
      (result ? right_ : wrong_).add(order.code);
    }
    order.asker->on_compared(order.code, result);
  }
}

}  // namespace portunus::proxy
