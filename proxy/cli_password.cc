#include "proxy/cli_password.h"

#include <openssl/crypto.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "conf/password_hash.h"

namespace portunus::proxy {
namespace {

constexpr std::size_t kLineMax = 1024;

// A terminal shows nothing of what is typed while it lives.
class HiddenTyping {
 public:
  HiddenTyping() : is_terminal_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!is_terminal_) return;
    termios hidden = before_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    say("Password: ");
  }
  ~HiddenTyping() {
    if (!is_terminal_) return;
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    say("\n");
  }
  HiddenTyping(const HiddenTyping&) = delete;
  HiddenTyping& operator=(const HiddenTyping&) = delete;

 private:
  // Nobody reads it when it fails.
  static void say(std::string_view text) {
    static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
  }

  termios before_{};
  bool is_terminal_;
};

// Without its end; longer ones are cut.
std::string read_line() {
  const HiddenTyping hidden;
  std::array<char, kLineMax> room;
  std::size_t size = 0;
  while (size < room.size()) {
    const ssize_t got = ::read(STDIN_FILENO, room.data() + size, room.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
    if (std::memchr(room.data(), '\n', size) != nullptr) break;
  }
  std::string line(room.data(), size);
  OPENSSL_cleanse(room.data(), room.size());
  line.resize(std::min(line.find_first_of("\r\n"), line.size()));
  return line;
}

}  // namespace

int print_password_hash(CliOutput& output) {
  std::string password = read_line();
  const auto hash = conf::hash_password(password);
  OPENSSL_cleanse(password.data(), password.size());
  if (!hash) {
    output.err += "portunus: " + hash.error() + '\n';
    return exit_refused;
  }
  output.out += *hash + '\n';
  return exit_ok;
}

}  // namespace portunus::proxy
