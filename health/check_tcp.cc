#include "health/check_tcp.h"

#include <utility>

#include "health/check_http.h"

namespace portunus::health {
namespace {

constexpr std::uint64_t kLateMs = 3 * net::TimerWheel::kSlotMs;  // then the loop stood still

}  // namespace

TcpCheck* TcpCheck::start(net::Loop& loop,
                          const net::Address& address,
                          const ProbeSettings& settings,
                          CheckHandler& handler) {
  const auto timeout_ms = static_cast<std::uint64_t>(settings.timeout.count());
  auto* check = new TcpCheck(loop, handler);  // ends itself in bury()
  check->tcp_.put_first(probe_introduction(settings));
  check->due_ms_ = loop.now_ms() + timeout_ms;
  loop.timers().arm(check->deadline_, timeout_ms);
  // Without a session of an earlier check: each one looks at the certificate.
  if (settings.tls.client != nullptr)
    check->is_lost_ = !settings.tls.client->start(check->tcp_, settings.tls.host, nullptr);
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
  if (is_lost_) {
    finish(judge_failure({base::EndReason::upstream_tls, base::Side::internal, base::Retry::unsent,
                          "out of memory for TLS"},
                         false));
  } else if (failure.is_error()) {
    finish(judge_failure(failure, false));
  } else {
    finish({.verdict = Verdict::good, .detail = is_reached_ ? "connected with TLS" : "connected"});
  }
}

void TcpCheck::on_deadline() {
  const bool is_late = tcp_.loop().now_ms() > due_ms_ + kLateMs;
  const base::Error timeout{base::EndReason::upstream_connect, base::Side::upstream,
                            base::Retry::unsent, "connect timed out"};
  finish(judge_failure(is_reached_ ? http::kTlsTimeout : timeout, is_late));
}

void TcpCheck::finish(const CheckResult& result) {
  CheckHandler* handler = std::exchange(handler_, nullptr);
  deadline_.disarm();
  if (result.verdict == Verdict::good) {
    tcp_.finish();  // what it says is to leave
  } else {
    tcp_.close();
  }
  if (handler != nullptr) handler->on_check_done(result);
}

// Never in the clear: reading is not begun. With TLS the check is over by then.
void TcpCheck::on_bytes(std::span<const char> /*bytes*/) {}

void TcpCheck::on_end(base::Error /*why*/) {}

void TcpCheck::on_closed() {
  tcp_.loop().bury(*this);
}

void TcpCheck::bury() {
  delete this;
}

}  // namespace portunus::health
