#include "discovery/consul_watch.h"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "base/clock.h"

namespace portunus::discovery {
namespace {

constexpr std::uint64_t kSoonMs = 100;
constexpr std::uint64_t kDoublingsMax = 16;

// What an agent says of its trouble, in one short line.
std::string_view first_line(std::string_view body) {
  constexpr std::size_t kLineMax = 120;
  return body.substr(0, std::min(body.find_first_of("\r\n"), kLineMax));
}

}  // namespace

ConsulWatch::ConsulWatch(ConsulClient& client, ServiceQuery query, WatchHandler& handler)
    : client_(&client),
      query_(std::move(query)),
      handler_(&handler),
      next_(this, [](void* self) { static_cast<ConsulWatch*>(self)->ask(); }),
      confirm_(this, [](void* self) { static_cast<ConsulWatch*>(self)->on_confirm(); }) {}

ConsulWatch::~ConsulWatch() {
  cancel();
}

void ConsulWatch::start() {
  refilled_ms_ = client_->loop().now_ms();
  ask();
}

std::string ConsulWatch::agent() const {
  const auto& endpoints = client_->agent().endpoints;
  return endpoint_ < endpoints.size() ? endpoints[endpoint_].address.text() : std::string();
}

void ConsulWatch::change(bool has_other_agents) {
  if (has_other_agents) {
    cancel();
    go_to(0);
    failures_ = 0;
    ask();
  } else if (failures_ > 0 && fetch_ == nullptr) {
    failures_ = 0;
    ask();
  }
}

void ConsulWatch::confirm_in(std::uint64_t after_ms) {
  if (after_ms == 0) {
    confirm_.disarm();
    is_confirming_ = false;
  } else {
    client_->loop().timers().arm(confirm_, after_ms);
  }
}

void ConsulWatch::on_confirm() {
  is_confirming_ = true;
  if (fetch_ == nullptr) return;  // the next one
  cancel();
  ask();
}

// ---- asking ----

void ConsulWatch::ask_later(std::uint64_t after_ms) {
  client_->loop().timers().arm(next_, after_ms);
}

void ConsulWatch::ask() {
  next_.disarm();
  unlink();
  if (client_->agent().endpoints.empty()) return;
  if (client_->take_slot(*this)) send();
}

void ConsulWatch::on_slot() {
  send();
}

void ConsulWatch::cancel() {
  next_.disarm();
  unlink();
  if (fetch_ == nullptr) return;
  std::exchange(fetch_, nullptr)->cancel();
  client_->give_slot();
}

void ConsulWatch::send() {
  const ConsulAgent& agent = client_->agent();
  if (endpoint_ >= agent.endpoints.size()) go_to(0);
  if (!client_->has_token()) {
    client_->give_slot();
    fail({KeptReason::refused, "no token can be read from its file"});
    return;
  }
  const ConsulEndpoint& endpoint = agent.endpoints[endpoint_];
  const std::uint64_t wait_ms = client_->wait_ms();
  Consistency consistency = Consistency::usual;
  if (query_.may_be_stale && !avoids_stale_) consistency = Consistency::stale;
  if (is_confirming_) consistency = Consistency::consistent;
  asked_index_ = is_confirming_ ? 0 : index_;
  asked_ms_ = client_->loop().now_ms();

  http::FetchRequest request;
  request.address = endpoint.address;
  request.host = endpoint.host.empty() ? endpoint.address.text() : endpoint.host;
  if (agent.tls != nullptr) {
    request.tls = {agent.tls, agent.tls_host.empty() ? endpoint.address.ip_text() : agent.tls_host};
  }
  request.target = health_target(query_, asked_index_, wait_ms, consistency);
  request.user_agent = "portunus";
  if (!client_->token().empty()) request.fields.push_back({"x-consul-token", client_->token()});
  request.timeout_ms = answer_limit_ms(asked_index_, wait_ms, agent.answer_ms);
  request.body_max = agent.answer_max;
  fetch_ = &client_->fetcher().start(std::move(request), *this);
}

// ---- answers ----

void ConsulWatch::on_fetch_done(const http::FetchResult& result) {
  fetch_ = nullptr;
  take(result);
  client_->give_slot();
}

void ConsulWatch::take(const http::FetchResult& result) {
  if (result.is_late) {  // our own fault: says nothing of the agent
    ask_later(kSoonMs);
    return;
  }
  if (result.error.is_error()) {
    fail({KeptReason::unreachable, agent() + ": " + result.error.detail});
    return;
  }
  const std::uint16_t status = result.head->status;
  if (status == 200) {
    take_answer(result);
    return;
  }
  Failure failure;
  if (status == 401 || status == 403) failure.why = KeptReason::refused;
  // In words only, and the same ones since the first versions.
  if (result.body.contains("No cluster leader")) failure.why = KeptReason::no_leader;
  failure.detail = fmt::format("{}: status {}: {}", agent(), status, first_line(result.body));
  fail(std::move(failure));
}

void ConsulWatch::take_answer(const http::FetchResult& result) {
  const auto head = read_answer_head(result.head->fields);
  if (!head) {
    fail({KeptReason::bad_answer, agent() + ": " + head.error()});
    return;
  }
  if (result.is_truncated) {
    fail({KeptReason::bad_answer, agent() + ": the answer is larger than is allowed"});
    return;
  }
  if (!head->knows_leader) {
    fail({KeptReason::no_leader, agent() + ": its servers know no leader"});
    return;
  }
  if (head->is_filtered) {
    fail({KeptReason::refused, agent() + ": the token may not read all of the service"});
    return;
  }
  if (query_.may_be_stale && head->last_contact_ms > query_.stale_max_ms) {
    avoids_stale_ = true;
    index_ = 0;
    handler_->on_failure(KeptReason::stale,
                         fmt::format("{}: its server heard of the leader {} ms ago", agent(),
                                     head->last_contact_ms));
    ask_on();
    return;
  }
  if (asked_index_ != 0 && head->index == asked_index_) {
    failures_ = 0;
    avoids_stale_ = false;
    handler_->on_unchanged();
    ask_on();
    return;
  }
  auto parsed = parse_health(result.body, query_.warning, client_->agent().instances_max);
  if (!parsed) {
    fail({KeptReason::bad_answer, agent() + ": " + parsed.error()});
    return;
  }
  WatchAnswer answer{.parsed = std::move(*parsed), .facts = {}};
  answer.facts.has_index_gone_back = head->index < last_index_;
  answer.facts.confirms_at_ms = is_confirming_ ? asked_ms_ : 0;
  index_ = answer.facts.has_index_gone_back ? 0 : head->index;
  last_index_ = head->index;
  failures_ = 0;
  is_confirming_ = avoids_stale_ = false;
  handler_->on_answer(std::move(answer));
  ask_on();
}

// After a good answer.
void ConsulWatch::ask_on() {
  const std::uint64_t now_ms = client_->loop().now_ms();
  if (endpoint_ != 0 && now_ms - switched_ms_ > kReturnMs) go_to(0);
  const std::uint64_t refill = base::between(refilled_ms_, now_ms) / kFloorMs;
  if (refill > 0) {
    burst_ = static_cast<unsigned>(std::min<std::uint64_t>(kBurst, burst_ + refill));
    refilled_ms_ = now_ms;
  }
  if (burst_ == 0) {
    refilled_ms_ = now_ms + kFloorMs;  // what comes until then is for that question
    ask_later(kFloorMs);
    return;
  }
  --burst_;
  ask();
}

void ConsulWatch::go_to(std::size_t endpoint) {
  endpoint_ = endpoint;
  switched_ms_ = client_->loop().now_ms();
  index_ = last_index_ = 0;  // another agent may be behind
}

void ConsulWatch::fail(Failure failure) {
  const std::size_t agents = std::max<std::size_t>(1, client_->agent().endpoints.size());
  index_ = 0;
  ++failures_;
  // Who is refused here is refused everywhere.
  const bool is_round_over = failure.why == KeptReason::refused || failures_ % agents == 0;
  if (failure.why != KeptReason::refused && agents > 1) go_to((endpoint_ + 1) % agents);
  ask_later(is_round_over ? back_off_ms() : kSoonMs);
  handler_->on_failure(failure.why, std::move(failure.detail));
}

std::uint64_t ConsulWatch::back_off_ms() {
  const ConsulAgent& agent = client_->agent();
  const std::uint64_t rounds = (failures_ - 1) / std::max<std::size_t>(1, agent.endpoints.size());
  const std::uint64_t longest =
      std::min(agent.retry_max_ms, agent.retry_min_ms << std::min(rounds, kDoublingsMax));
  return static_cast<std::uint64_t>(static_cast<double>(longest) * (0.5 + client_->chance() / 2));
}

}  // namespace portunus::discovery
