// A check that a member accepts connections: connects and closes. Ends itself once its socket is
// closed; the loop outlives it. Control thread.
#pragma once

#include <cstdint>

#include "health/check.h"
#include "net/address.h"
#include "net/loop.h"
#include "net/stream.h"

namespace portunus::health {

class TcpCheck final : private net::StreamOwner, private net::Mortal {
 public:
  // on_check_done() follows in a later turn. The object is valid until then or until cancel().
  static TcpCheck* start(net::Loop& loop,
                         const net::Address& address,
                         std::uint64_t timeout_ms,
                         CheckHandler& handler);
  // No result will come; the object must not be used any more.
  void cancel();

 private:
  TcpCheck(net::Loop& loop, CheckHandler& handler);
  ~TcpCheck() = default;

  // net::StreamOwner
  void on_bytes(std::span<const char> bytes) override;
  void on_end(base::Error why) override;
  void on_drained() override {}
  void on_closed() override;
  void on_connected(base::Error failure) override;
  // net::Mortal
  void bury() override;

  void on_deadline();
  void finish(const CheckResult& result);

  CheckHandler* handler_;
  std::uint64_t due_ms_ = 0;
  net::Deadline deadline_;
  net::Stream tcp_;
};

}  // namespace portunus::health
