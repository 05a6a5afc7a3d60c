#include "http/fetch.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

// The wheel is one slot late at most; what is later than this is a loop that stood still.
constexpr std::uint64_t kLateMs = 3 * net::TimerWheel::kSlotMs;
constexpr std::uint64_t kFetchLingerMs = 1'000;
constexpr std::size_t kFetchLingerBytes = std::size_t{64} * 1024;

}  // namespace

// ---- Fetch ----

Fetch::Fetch(Fetcher& fetcher, ClientContext& context, FetchRequest request, FetchHandler& handler)
    : fetcher_(&fetcher),
      handler_(&handler),
      request_(std::move(request)),
      deadline_(this, [](void* self) { static_cast<Fetch*>(self)->on_deadline(); }) {
  if (request_.speaks_h2) {
    h2_.emplace(context, static_cast<H2ClientOwner&>(*this));
  } else {
    h1_.emplace(context, static_cast<H1ClientOwner&>(*this));
  }
}

void Fetch::begin() {
  net::Loop& loop = *fetcher_->loop_;
  begun_ns_ = base::monotonic_ns();
  due_ms_ = loop.now_ms() + request_.timeout_ms;
  loop.timers().arm(deadline_, request_.timeout_ms);
  // Its own time-out comes later than ours: one deadline decides.
  const std::uint64_t later_ms = request_.timeout_ms + kLateMs;
  const auto connect = [&](auto& client) {
    if (request_.tls.client == nullptr) {
      client.connect(request_.address, later_ms);
    } else {
      client.connect_tls(request_.address, request_.tls, nullptr, {later_ms, later_ms});
    }
  };
  if (h1_) {
    h1_->put_first(request_.first);
    connect(*h1_);
  } else if (h2_) {
    stream_ = &h2_->lend();
    connect(*h2_);
  }
}

void Fetch::cancel() {
  handler_ = nullptr;
  close();
}

void Fetch::close() {
  const bool stands = phase_ != Phase::connecting;
  phase_ = Phase::done;
  deadline_.disarm();
  if (h1_) {
    h1_->close();
    return;
  }
  if (!h2_) return;
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->release();
  if (stands) {
    h2_->leave();
  } else {
    h2_->close();
  }
}

void Fetch::on_client_connected(H1Client& /*client*/, Error failure) {
  on_connected(failure);
}

void Fetch::on_client_connected(H2Client& client, Error failure) {
  static_cast<void>(client.pop_waiting());  // the one that is lent
  on_connected(failure);
}

void Fetch::on_connected(Error failure) {
  if (phase_ != Phase::connecting) return;
  if (failure.is_error()) {
    finish(failure);
    return;
  }
  phase_ = Phase::waiting;
  if (h1_) {
    h1_->announce_close();
    send_request(*h1_);
  } else {
    send_request(*stream_);
  }
}

void Fetch::send_request(ClientStream& stream) {
  Head head;
  head.method = request_.method;
  head.method_text = name_of(request_.method);
  head.path = request_.target;
  head.fields.add(HeaderId::host, request_.host);
  if (!request_.user_agent.empty()) head.fields.add(HeaderId::user_agent, request_.user_agent);
  for (const FetchField& field : request_.fields)
    head.fields.add(field.name, field.value);
  const bool has_body = !request_.body.empty();
  if (has_body) {
    head.body = BodyKind::length;
    head.content_length = request_.body.size();
  }
  stream.begin(*this);
  stream.send_head(head, !has_body);
  if (has_body) stream.send_body(std::span<const char>(request_.body), true);
}

void Fetch::on_client_stale(H1Client& /*client*/) {
  if (phase_ != Phase::done) {
    finish({EndReason::upstream_reset, Side::upstream, Retry::unsent,
            "the member closed the connection"});
  }
}

void Fetch::on_client_gone(H1Client& /*client*/) {
  fetcher_->loop_->bury(*this);
}

void Fetch::on_client_gone(H2Client& /*client*/) {
  fetcher_->loop_->bury(*this);
}

void Fetch::bury() {
  fetcher_->fetches_.destroy(this);
}

void Fetch::on_head(Head& head, bool end) {
  if (phase_ != Phase::waiting || head.is_interim()) return;
  head_ = &head;
  if (end) {
    finish({});
  } else if (request_.body_max == 0) {
    finish_early();
  }
}

void Fetch::on_body(std::span<const char> bytes, bool end) {
  if (phase_ == Phase::waiting) keep(bytes);
  if (phase_ == Phase::lingering) {
    dropped_ += bytes.size();
    if (end || dropped_ > kFetchLingerBytes) close();
  } else if (phase_ == Phase::waiting && end) {
    finish({});
  }
}

void Fetch::keep(std::span<const char> bytes) {
  const std::size_t room = request_.body_max - body_.size();
  const std::span<const char> kept = bytes.first(std::min(room, bytes.size()));
  body_.append(kept.data(), kept.size());
  if (bytes.size() > room) finish_early();
}

void Fetch::on_trailers(const HeaderBlock& trailers) {
  trailers_ = &trailers;
  on_body({}, true);
}

void Fetch::on_reset(Error why) {
  if (phase_ == Phase::lingering) {
    close();
  } else if (phase_ == Phase::waiting) {
    finish(why);
  }
}

void Fetch::on_deadline() {
  if (phase_ == Phase::lingering) {
    close();
    return;
  }
  const bool is_late = fetcher_->loop_->now_ms() > due_ms_ + kLateMs;
  const bool is_reached = h1_ ? h1_->reached_ns() != 0 : h2_.has_value() && h2_->reached_ns() != 0;
  if (phase_ == Phase::connecting && is_reached) {
    finish(kTlsTimeout, is_late);
  } else if (phase_ == Phase::connecting) {
    finish(kConnectTimeout, is_late);
  } else if (head_ == nullptr) {
    finish({EndReason::upstream_timeout, Side::upstream, Retry::idempotent, "no answer in time"},
           is_late);
  } else {
    finish(
        {EndReason::upstream_timeout, Side::upstream, Retry::no, "the answer did not end in time"},
        is_late);
  }
}

void Fetch::report(Error error, bool is_late) {
  FetchHandler* handler = std::exchange(handler_, nullptr);
  if (handler == nullptr) return;
  handler->on_fetch_done({.error = error,
                          .head = head_,
                          .trailers = trailers_,
                          .body = body_,
                          .is_truncated = is_truncated_,
                          .is_late = is_late,
                          .duration_ns = base::monotonic_ns() - begun_ns_});
}

void Fetch::finish(Error error, bool is_late) {
  close();
  report(error, is_late);
}

void Fetch::finish_early() {
  is_truncated_ = true;
  phase_ = Phase::lingering;
  fetcher_->loop_->timers().arm(deadline_, kFetchLingerMs);
  report({}, false);
}

// ---- Fetcher ----

Fetcher::Fetcher(net::Loop& loop, MessageLimits limits)
    : loop_(&loop), context_{loop, inbounds_, limits, &h2_} {}

Fetch& Fetcher::start(FetchRequest request, FetchHandler& handler) {
  Fetch* fetch = fetches_.make(*this, context_, std::move(request), handler);
  running_.push_back(*fetch);
  fetch->begin();
  return *fetch;
}

void Fetcher::close_all() {
  while (Fetch* fetch = running_.pop_front())
    fetch->cancel();
}

}  // namespace portunus::http
