#include "base/crash.h"

#include <execinfo.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace portunus::base {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kIsSanitized = true;
#else
constexpr bool kIsSanitized = false;
#endif

constexpr int kFramesMax = 64;
constexpr std::size_t kStackBytes = std::size_t{64} * 1024;

std::string_view g_version;

// Everything below runs in the handler: no memory, no locks, no errno that anybody needs.
void put(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void put_number(std::uint64_t number, unsigned base) {
  std::array<char, 20> digits;
  std::size_t at = digits.size();
  do {
    digits[--at] = "0123456789abcdef"[number % base];
    number /= base;
  } while (number > 0);
  put({digits.data() + at, digits.size() - at});
}

void on_crash(int number, siginfo_t* info, void* /*context*/) {
  std::array<char, 17> thread{};
  ::prctl(PR_GET_NAME, thread.data());
  put("\nportunus ");
  put(g_version);
  put(" crashed: SIG");
  const char* const name = sigabbrev_np(number);
  put(name == nullptr ? "?" : name);
  if (number != SIGABRT) {
    put(" at 0x");
    put_number(reinterpret_cast<std::uintptr_t>(info->si_addr), 16);
  }
  put(" in thread ");
  put(thread.data());
  put("\n");
  std::array<void*, kFramesMax> frames;
  ::backtrace_symbols_fd(frames.data(), ::backtrace(frames.data(), kFramesMax), STDERR_FILENO);
  put("(addr2line -Cfpe PROGRAM +0xOFFSET tells the source lines)\n");
  ::raise(number);  // SA_RESETHAND: now by default
}

}  // namespace

void report_crashes(std::string_view version) {
  if (kIsSanitized) return;
  g_version = version;
  std::array<void*, 1> frame;
  static_cast<void>(::backtrace(frame.data(), 1));  // the first call loads a library
  struct sigaction action{};
  action.sa_sigaction = &on_crash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | static_cast<int>(SA_RESETHAND);
  for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT})
    ::sigaction(number, &action, nullptr);
  use_crash_stack();
}

void forbid_dumps() {
  if (!kIsSanitized) ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void use_crash_stack() {
  if (kIsSanitized) return;
  thread_local std::array<char, kStackBytes> stack;
  stack_t given{};
  given.ss_sp = stack.data();
  given.ss_size = stack.size();
  ::sigaltstack(&given, nullptr);
}

}  // namespace portunus::base
