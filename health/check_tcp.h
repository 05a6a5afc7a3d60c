// A check that a member accepts connections: connects, says with `proxy_protocol` that it is only us,
// shakes hands where there is TLS, and closes. Ends itself once its socket is closed; the loop outlives
// it. Control thread.
#pragma once

#include <cstdint>

#include "conf/model_pools.h"
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
                         const ProbeSettings& settings,
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
  void on_reached() override { is_reached_ = true; }
  // net::Mortal
  void bury() override;

  void on_deadline();
  void finish(const CheckResult& result);

  CheckHandler* handler_;
  std::uint64_t due_ms_ = 0;
  bool is_reached_ = false;  // TLS has begun
  bool is_lost_ = false;     // TLS could not be prepared
  net::Deadline deadline_;
  net::Stream tcp_;
};

}  // namespace portunus::health
