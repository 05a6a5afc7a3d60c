#include "health/check_tcp.h"

#include <utility>

#include "health/check_http.h"

namespace portunus::health {
namespace {

constexpr std::uint64_t kLateMs = 3 * net::TimerWheel::kSlotMs;  // then the loop stood still

}  // namespace

TcpCheck* TcpCheck::start(net::Loop& loop,
                          const net::Address& address,
                          std::uint64_t timeout_ms,
                          CheckHandler& handler) {
  auto* check = new TcpCheck(loop, handler);  // ends itself in bury()
  check->due_ms_ = loop.now_ms() + timeout_ms;
  loop.timers().arm(check->deadline_, timeout_ms);
  check->tcp_.connect(address);
  return check;
}

TcpCheck::TcpCheck(net::Loop& loop, CheckHandler& handler)
    : handler_(&handler),
      deadline_(this, [](void* self) { static_cast<TcpCheck*>(self)->on_deadline(); }),
      tcp_(loop, *this) {}

void TcpCheck::cancel() {
  handler_ = nullptr;
  deadline_.disarm();
  tcp_.close();
}

void TcpCheck::on_connected(base::Error failure) {
  if (tcp_.is_closing()) return;
  if (failure.is_error()) {
    finish(judge_failure(failure, false));
  } else {
    finish({.verdict = Verdict::good, .detail = "connected"});
  }
}

void TcpCheck::on_deadline() {
  const bool is_late = tcp_.loop().now_ms() > due_ms_ + kLateMs;
  finish(judge_failure({base::EndReason::upstream_connect, base::Side::upstream,
                        base::Retry::unsent, "connect timed out"},
                       is_late));
}

void TcpCheck::finish(const CheckResult& result) {
  CheckHandler* handler = std::exchange(handler_, nullptr);
  deadline_.disarm();
  tcp_.close();
  if (handler != nullptr) handler->on_check_done(result);
}

// Never: reading is not begun.
void TcpCheck::on_bytes(std::span<const char> /*bytes*/) {}

void TcpCheck::on_end(base::Error /*why*/) {}

void TcpCheck::on_closed() {
  tcp_.loop().bury(*this);
}

void TcpCheck::bury() {
  delete this;
}

}  // namespace portunus::health
