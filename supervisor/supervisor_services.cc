// The supervisor between services and proxy: which replicas are members, how they are, whether they
// have drained.
#include "supervisor/supervisor.h"

#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "supervisor/paths.h"

namespace portunus::supervisor {

using base::LogLevel;

namespace {

// What has been run for services is let go of so long after the first change, and after the last.
constexpr std::uint64_t kCalmMs = 3'000;

}  // namespace

// Before there are children. Only where it is wanted, or where it has been given to us to divide:
// otherwise we stay where we have been put.
void Supervisor::enter_cgroup() {
  const std::string own = find_own_cgroup();
  const bool is_wanted = std::ranges::any_of(plan_.services, [](const conf::Service& service) {
    return service.limits != conf::ServiceLimits{};
  });
  if (!is_wanted && !is_delegated_cgroup(own)) return;
  cgroups_ = std::make_unique<CgroupTree>(own);
  base::log(LogLevel::info, "supervisor", "services {} cgroups{}{}",
            cgroups_->is_available() ? "have" : "go without",
            cgroups_->problem().empty() ? "" : ": ", cgroups_->problem());
  surroundings_.cgroups = cgroups_->is_available() ? cgroups_.get() : nullptr;
}

// Once there are services; before they are applied.
void Supervisor::make_logs_folder() {
  if (plan_.services.empty() || !surroundings_.logs_folder.empty()) return;
  const std::string folder = logs_folder(state_folder(plan_.state, options_.config_file));
  if (const auto made = make_folder(folder); !made) {
    base::log(LogLevel::warn, "supervisor", "services have no files of their lines: {}",
              made.error());
    return;
  }
  surroundings_.logs_folder = folder;
}

std::string Supervisor::state() const {
  return state_folder(plan_.state, options_.config_file);
}

Message Supervisor::members() const {
  Message message(Kind::members, plan_.hash);
  for (const Service* service : services_->all()) {
    ServiceReplicas entry{service->name(), {}};
    for (const ServiceMember& member : service->members())
      entry.members.push_back({member.port, member.life, member.is_draining});
    message.services.push_back(std::move(entry));
  }
  return message;
}

// At once: the proxy is to hear of it before a process gets its signal.
void Supervisor::on_members_changed(const Service& /*service*/) {
  tell_members();
  settle_drains();  // there may be no proxy
}

// Only while it probes.
void Supervisor::on_proxy_alive(ProxyProcess& proxy) {
  if (state_ == State::running && &proxy == proxy_.get()) keeper_->renew();
}

void Supervisor::on_proxy_memory(ProxyProcess& proxy, int descriptor) {
  if (&proxy != proxy_.get()) {
    ::close(descriptor);
    return;
  }
  if (!keeper_->take(descriptor)) {
    base::log(LogLevel::error, "supervisor", "what the proxy knows of members cannot be kept");
    return;
  }
  // One that is about to take over has begun with what was known before.
  if (next_) {
    const int kept = keeper_->descriptor();
    next_->send(members(), {&kept, 1});
  }
}

void Supervisor::on_services_changed() {
  if (news_) news_->on_changed();
  if (commands_) commands_->on_changed();
  if (calm_ && !calm_->is_armed()) calm_->arm(kCalmMs);
  if (is_execution_due_) execution_->arm(0);
}

void Supervisor::on_waiter_gone() {
  if (is_execution_due_) execution_->arm(0);
}

void Supervisor::on_news(const Message& message) {
  if (proxy_) proxy_->send(message);
}

void Supervisor::on_requests_wanted(const Service& service) {
  Message message(Kind::count_requests);
  message.service = service.name();
  if (proxy_) proxy_->send(message);
}

void Supervisor::on_requests(const Message& message) {
  Service* const service = services_->find(message.service);
  if (service == nullptr || message.numbers.size() < 3) return;
  service->on_requests({message.numbers[0], message.numbers[1], message.numbers[2]});
}

// The one that serves, one that is about to take over, those that drain.
std::vector<ProxyProcess*> Supervisor::running_proxies() const {
  std::vector<ProxyProcess*> running;
  const auto add = [&](const std::unique_ptr<ProxyProcess>& proxy) {
    if (proxy && proxy->is_running()) running.push_back(proxy.get());
  };
  add(proxy_);
  add(next_);
  std::ranges::for_each(retiring_, add);
  return running;
}

// Those that drain have requests yet, which may wait for a member.
void Supervisor::tell_members() {
  if (!services_) return;
  const Message message = members();
  for (ProxyProcess* const proxy : running_proxies())
    proxy->send_members(message);
}

void Supervisor::on_health(const Message& message) {
  Service* const service = services_->find(message.service);
  if (service == nullptr) return;
  service->on_health(
      {message.port, message.life, message.is_good ? 0 : message.count, message.text});
}

// From the admin interface.
void Supervisor::on_order(ProxyProcess& proxy, const Message& message) {
  OrderAnswer answer;
  if (is_execution_due_ && message.text == "roll") {  // which would put it off
    answer = {OrderResult::refused, "an upgrade is under way"};
  } else {
    answer = commands_->order({message.text, message.service, message.count});
  }
  Message reply(Kind::ordered, answer.why);
  reply.id = message.id;
  reply.count = static_cast<std::uint32_t>(answer.result);
  proxy.send(reply);
}

void Supervisor::on_drained(ProxyProcess& proxy, const Message& message) {
  proxy.note_drained(message);
  settle_drains();
}

// A replica has drained when every proxy has said so.
void Supervisor::settle_drains() {
  const std::vector<ProxyProcess*> proxies = running_proxies();
  for (Service* const service : services_->all()) {
    for (const ServiceMember& member : service->members()) {
      const bool is_drained =
          member.is_draining && std::ranges::all_of(proxies, [&](const ProxyProcess* proxy) {
            return proxy->has_drained(service->name(), member.port, member.life);
          });
      if (is_drained) service->on_drained(member.port, member.life);
    }
  }
}

}  // namespace portunus::supervisor
