// Compares passwords with their hashes, which is slow on purpose, on a thread of its own that gives way to
// others: a flood of wrong passwords takes less than a share of one processor.
// The thread starts with the first password. Remembers what it has found, for all data-plane threads.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>

#include "net/hmac.h"
#include "proxy/recent_codes.h"

namespace portunus::proxy {

// Who wants to know.
class PasswordAsker {
 public:
  // On the checker's thread.
  virtual void on_compared(const net::Hmac::Code& code, bool is_right) = 0;

 protected:
  ~PasswordAsker() = default;
};

class PasswordChecker {
 public:
  // Passwords that wait; a second or a few with the usual hashes.
  static constexpr std::size_t kWaitingMax = 64;

  enum class Answer : std::uint8_t {
    queued,  // `tell` follows
    right,   // as it has been before
    wrong,
    refused,  // too many wait, or stop() has been called; nobody is told
  };
  struct Question {
    net::Hmac::Code code;     // under key(): of the hash and the password
    bool is_user = true;      // false: it is wrong whatever it is, and takes as long
    std::string_view hash{};  // a good one (conf/password_hash.h)
    std::string_view password{};
    PasswordAsker* asker = nullptr;  // until stop()
  };

  PasswordChecker();
  ~PasswordChecker() { stop(); }
  PasswordChecker(const PasswordChecker&) = delete;
  PasswordChecker& operator=(const PasswordChecker&) = delete;

  // Any thread.
  [[nodiscard]] Answer submit(const Question& question);
  // Nobody wants to know any more. True: it was not begun, and nobody is told. Any thread.
  [[nodiscard]] bool withdraw(const net::Hmac::Code& code, const PasswordAsker& asker);
  // Waits for the one that is being looked at; the others are told nothing.
  void stop();
  // Of this process. Any thread.
  [[nodiscard]] std::span<const unsigned char> key() const { return key_; }

 private:
  struct Order {
    net::Hmac::Code code;
    bool is_user;
    std::string hash;
    std::string password;
    PasswordAsker* asker;
  };

  void run();

  std::array<unsigned char, net::Hmac::kSize> key_{};

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Order> orders_;
  RecentCodes right_;
  RecentCodes wrong_;
  std::thread thread_;
  bool is_stopped_ = false;
};

}  // namespace portunus::proxy
