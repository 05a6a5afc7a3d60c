#include "supervisor/service_commands.h"

#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "supervisor/paths.h"
#include "supervisor/service_view.h"

namespace portunus::supervisor {
namespace {

using Json = nlohmann::json;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string last_line(const Service::Outcome& outcome) {
  Json last{{"done", true}, {"ok", outcome.has_value()}};
  if (!outcome) last["error"] = outcome.error();
  return dump(last);
}

std::string progress_line(std::string_view text) {
  return dump({{"progress", text}});
}

void end(ControlClient& client, const Service::Outcome& outcome) {
  client.send(last_line(outcome));
  client.finish();
}

void refuse(ControlClient& client, std::string why) {
  end(client, std::unexpected(std::move(why)));
}

}  // namespace

struct ServiceCommands::Request {
  ServiceOrder order;
  bool waits = false;

  static std::expected<Request, std::string> parse(std::string_view line) {
    const Json object = Json::parse(line, nullptr, false);
    if (!object.is_object()) return std::unexpected("not a JSON object");
    try {
      return Request{{object.value("verb", ""), object.value("service", ""),
                      object.value("replicas", std::int64_t{-1})},
                     object.value("wait", false)};
    } catch (const Json::exception&) {
      return std::unexpected("a value has the wrong type");
    }
  }
};

// Tells one client how a roll goes.
class ServiceCommands::RollWatch final : public RollListener {
 public:
  RollWatch(ControlClient& client, std::string service)
      : client_(&client), service_(std::move(service)) {}

  void on_roll(std::string_view line, RollState state) override {
    is_over_ = state != RollState::going;
    if (client_ == nullptr) return;
    client_->send(progress_line(line));
    if (state == RollState::done) end(*client_, {});
    if (state == RollState::failed) refuse(*client_, std::string(line));
  }

  [[nodiscard]] bool is_of(const ControlClient& client) const { return client_ == &client; }
  // The service's own pointer to this has to go.
  void leave(const Services& services) {
    client_ = nullptr;
    if (is_over_) return;
    for (Service* service : services.all()) {
      if (service->name() == service_) service->forget_listener(*this);
    }
  }

 private:
  ControlClient* client_;
  std::string service_;
  bool is_over_ = false;
};

ServiceCommands::ServiceCommands(uv_loop_t& loop, Services& services, UpgradeHost& host)
    : loop_(loop), services_(services), upgrade_host_(host) {}

ServiceCommands::~ServiceCommands() {
  for (const auto& watch : watches_)
    watch->leave(services_);
}

void ServiceCommands::open(const std::string& folder) {
  const std::string path = control_socket_path(folder);
  auto socket = std::make_unique<ControlSocket>(loop_, static_cast<ControlHandler&>(*this));
  auto opened = make_folder(folder);
  if (opened) opened = socket->open(path);
  if (opened) {
    socket_ = std::move(socket);
  } else {
    base::log(base::LogLevel::warn, "supervisor",
              "no control socket, so commands about services do not work: {}", opened.error());
  }
}

void ServiceCommands::on_request(ControlClient& client, std::string_view line) {
  const auto request = Request::parse(line);
  if (!request) {
    refuse(client, "the request is not understood: " + request.error());
    return;
  }
  const std::string& verb = request->order.verb;
  if (verb == "services") {
    show(client, request->order.service);
  } else if (verb == "upgrade") {
    upgrade(client);
  } else if (verb == "roll") {
    roll(client, request->order);
  } else {
    change(client, *request);
  }
}

void ServiceCommands::show(ControlClient& client, const std::string& name) const {
  std::vector<ServiceView> views;
  for (const Service* service : services_.all()) {
    if (name.empty() || service->name() == name) views.push_back(view_of(*service, true));
  }
  if (!name.empty() && views.empty()) {
    refuse(client, "no service is named " + name);
    return;
  }
  client.send(R"({"services":)" + encode_views(views) + '}');
  end(client, {});
}

// ---- orders

OrderAnswer ServiceCommands::order(const ServiceOrder& order, RollListener* listener) {
  if (is_closed_) return {OrderResult::refused, "the supervisor is stopping"};
  return carry_out(services_, order, listener);
}

void ServiceCommands::roll(ControlClient& client, const ServiceOrder& wanted) {
  auto watch = std::make_unique<RollWatch>(client, wanted.service);
  const OrderAnswer answer = order(wanted, watch.get());
  if (answer.result == OrderResult::taken) {
    watches_.push_back(std::move(watch));
  } else {
    refuse(client, answer.why);
  }
}

void ServiceCommands::change(ControlClient& client, const Request& request) {
  const std::string& verb = request.order.verb;
  const Service* const service = services_.find(request.order.service);
  std::optional<ServiceWait> wait;
  if (service != nullptr && request.waits) {
    wait.emplace(*service, verb == "stop"      ? WaitFor::stopped
                           : verb == "restart" ? WaitFor::renewed
                                               : WaitFor::ready);
    if (verb == "scale") wait->want(request.order.replicas);
  }
  const OrderAnswer answer = order(request.order);
  if (answer.result != OrderResult::taken) {
    refuse(client, answer.why);
  } else if (!wait) {
    end(client, {});
  } else {
    waiters_.push_back({&client, std::move(*wait), {}});
    if (tell(waiters_.back())) waiters_.pop_back();
  }
}

// ---- who waits

bool ServiceCommands::tell(Waiter& waiter) const {
  const ServiceWait::Look look = waiter.wait.look(services_.find(waiter.wait.service()));
  if (!look.line.empty() && look.line != waiter.told) {
    waiter.told = look.line;
    waiter.client->send(progress_line(look.line));
  }
  if (look.is_over) end(*waiter.client, look.outcome);
  return look.is_over;
}

void ServiceCommands::on_changed() {
  std::erase_if(waiters_, [this](Waiter& waiter) { return tell(waiter); });
}

void ServiceCommands::refuse_changes() {
  is_closed_ = true;
  for (const Waiter& waiter : std::exchange(waiters_, {}))
    refuse(*waiter.client, "the supervisor is stopping");
}

// ---- upgrade

void ServiceCommands::upgrade(ControlClient& client) {
  if (auto begun = upgrade_host_.upgrade(); !begun) {
    refuse(client, std::move(begun).error());
  } else {
    upgrader_ = &client;
  }
}

void ServiceCommands::tell_upgrade(std::string_view line) {
  if (upgrader_ != nullptr) upgrader_->send(progress_line(line));
}

void ServiceCommands::end_upgrade(const Service::Outcome& outcome) {
  if (ControlClient* const client = std::exchange(upgrader_, nullptr)) end(*client, outcome);
}

int ServiceCommands::upgrade_client() const {
  return upgrader_ == nullptr ? -1 : upgrader_->descriptor();
}

void ServiceCommands::answer_upgrade(int descriptor, std::string_view line) {
  const std::string text = progress_line(line) + '\n' + last_line({}) + '\n';
  // To one that reads it fits into the socket's buffer.
  static_cast<void>(::send(descriptor, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
  ::close(descriptor);
}

void ServiceCommands::on_client_gone(ControlClient& client) {
  if (upgrader_ == &client) upgrader_ = nullptr;
  const auto waited =
      std::erase_if(waiters_, [&](const Waiter& waiter) { return waiter.client == &client; });
  if (waited > 0) upgrade_host_.on_waiter_gone();
  watches_.remove_if([&](const auto& watch) {
    if (!watch->is_of(client)) return false;
    watch->leave(services_);
    return true;
  });
}

}  // namespace portunus::supervisor
