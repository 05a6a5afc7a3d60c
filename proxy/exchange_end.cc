// How an exchange ends, and what is told of it.
#include "net/client_identity.h"
#include "net/tls_session.h"
#include "proxy/exchange.h"

namespace portunus::proxy {

using base::EndReason;
using base::Retry;
using base::Side;

void Exchange::on_total_deadline() {
  if (phase_ == Phase::checking) {
    reply_error({EndReason::auth_busy, Side::client, Retry::no,
                 "its password has not been looked at in time"});
    return;
  }
  if (phase_ == Phase::asking) {
    auth_call_->note_time_over();
    on_auth_failed({EndReason::upstream_timeout, Side::upstream, Retry::no,
                    "the service that is asked gave no answer in time"});
    return;
  }
  if (phase_ != Phase::proxying) return;
  attempt_.note_time_over();
  fail({EndReason::upstream_timeout, Side::upstream, Retry::no, "the request took too long"});
}

// The rest happens at the end of the turn, before the client's stream turns to its next request:
// hence called before the command that ends the answer.
void Exchange::finish(EndReason reason) {
  if (phase_ == Phase::finished) return;
  if (phase_ == Phase::checking) context_->credentials->leave(*this);
  phase_ = Phase::finished;
  end_reason_ = reason;
  total_deadline_.disarm();
  loop().defer(*this);
}

void Exchange::on_turn_end() {
  if (phase_ != Phase::finished && encoder_ != nullptr) {
    flush_compressed();
    return;
  }
  if (phase_ != Phase::finished) {
    try_other_answer();
    return;
  }
  if (encoder_ != nullptr) end_compression();
  if (is_upgraded_) {
    metrics().upgraded_ended(pool_id_, is_websocket_ ? UpgradeKind::websocket : UpgradeKind::other);
  }
  end_auth_call();
  if (attempt_.is_active()) attempt_.finish(upstream_status_);
  give_retry();
  let_go_of_body();
  if (is_counted_) pool_->request_ended();
  if (counted_ != nullptr) base::CountTable::give(*counted_);
  write_record();
  --context_->running;
  context_->metrics.exchange_ended(listener_id_);
  context_->exchanges.destroy(this);
}

std::string_view Exchange::user() const {
  if (is_user_right_) return user_;
  if (route_ == nullptr || route_->client_rule == nullptr || !has_client_shown_enough()) return {};
  const net::ClientIdentity* const client = who_.tls->client_identity();
  return client == nullptr ? std::string_view{} : client->subject;
}

void Exchange::write_record() {
  ExchangeRecord record;
  record.listener = listener_id_;
  record.route = route_;
  if (pool_ != nullptr) {
    record.pool = pool_->name();
    record.pool_id = pool_id_;
  }
  const Attempt::Times& times = attempt_.times();
  record.member = attempt_.member();
  request_->path = original_path_;
  record.request = request_;
  record.request_id = request_id_;
  record.peer = who_.peer;
  record.source = who_.source;
  record.client_ip = client_ip_;
  record.scheme = scheme_;
  record.tls = who_.tls;
  record.user = user();
  record.status = status_;
  record.upstream_status = upstream_status_;
  record.attempts = attempt_.tries();
  record.upgraded = is_upgraded_;
  record.end_reason = end_reason_;
  record.retry_reason = retry_reason_;
  record.reported_reason = reported_reason_;
  record.sticky = sticky_;
  record.bytes_in = bytes_in_;
  record.bytes_out = bytes_out_;
  record.started_ns = started_ns_;
  record.queued_ns = times.queued_ns;
  record.connect_ns = times.connect_ns;
  record.tls_ns = times.tls_ns;
  record.sent_ns = times.sent_ns;
  record.upstream_head_ns = times.head_ns;
  record.first_byte_ns = first_byte_ns_;
  record.ended_ns = loop().now_ns();
  record.generation = generation_->shared->number;
  context_->metrics.record(record);
  if (sticky_ != StickyResult::none) context_->metrics.sticky(pool_id_, sticky_);
  if (context_->access_log.is_on()) {
    context_->access_log.write(record, generation_->shared->log_names);
  }
}

}  // namespace portunus::proxy
