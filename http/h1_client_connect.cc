// H1Client: how a connection comes to stand, and whether it still does.
#include "http/h1_client.h"
#include "net/tls_client.h"

namespace portunus::http {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

void H1Client::connect(const net::Address& address, std::uint64_t timeout_ms) {
  context_->loop.timers().arm(deadline_, timeout_ms);
  tcp_.connect(address);
}

void H1Client::connect_tls(const net::Address& address,
                           const net::TlsTarget& tls,
                           net::TlsResumption* resumption,
                           DialTimes times) {
  tls_timeout_ms_ = times.tls_ms;
  if (!tls.client->start(tcp_, tls.host, resumption)) {
    fail({EndReason::upstream_tls, Side::internal, Retry::unsent, "out of memory for TLS"});
    return;
  }
  connect(address, times.connect_ms);
}

void H1Client::on_reached() {
  if (phase_ != Phase::connecting) return;
  reached_ns_ = context_->loop.now_ns();
  context_->loop.timers().arm(deadline_, tls_timeout_ms_);
}

void H1Client::on_connected(Error failure) {
  if (phase_ != Phase::connecting) return;
  deadline_.disarm();
  if (!failure.is_error()) {
    phase_ = Phase::idle;
    tcp_.set_reading(true);
  }
  owner_->on_client_connected(*this, failure);
}

void H1Client::on_connect_deadline() {
  owner_->on_client_connected(*this, reached_ns_ != 0 ? kTlsTimeout : kConnectTimeout);
}

bool H1Client::was_made_by(const net::TlsClient* tls) const {
  const net::TlsSession* const session = tcp_.tls();
  if (session == nullptr) return tls == nullptr;
  return tls != nullptr && session->context() == tls->context();
}

bool H1Client::looks_stale() const {
  return tcp_.has_input();
}

}  // namespace portunus::http
