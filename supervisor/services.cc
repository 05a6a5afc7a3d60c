#include "supervisor/services.h"

#include <algorithm>
#include <utility>

namespace portunus::supervisor {

Services::Services(Surroundings& surroundings, ServicesHost& host)
    : surroundings_(surroundings),
      host_(host),
      turn_(surroundings.loop, this, [](void* self) { static_cast<Services*>(self)->settle(); }) {}

Services::~Services() = default;

Service* Services::find_any(std::string_view name) const {
  const auto at = std::ranges::find(services_, name, [](const auto& it) { return it->name(); });
  return at == services_.end() ? nullptr : at->get();
}

Service* Services::find(std::string_view name) const {
  Service* const service = find_any(name);
  return service == nullptr || service->is_removed() ? nullptr : service;
}

std::vector<Service*> Services::all() const {
  std::vector<Service*> all;
  all.reserve(services_.size());
  for (const auto& service : services_)
    all.push_back(service.get());
  return all;
}

void Services::apply(const std::vector<conf::Service>& definitions) {
  if (is_stopping_) return;
  for (const auto& service : services_) {
    const bool is_named =
        std::ranges::find(definitions, service->name(), &conf::Service::name) != definitions.end();
    if (!is_named && !service->is_removed()) service->remove();
  }
  // The list is whole again before a service is told: what it does may have us asked for all of them.
  std::vector<std::unique_ptr<Service>> ordered;
  std::vector<std::pair<Service*, const conf::Service*>> known;
  for (const conf::Service& definition : definitions) {
    const auto at = std::ranges::find_if(
        services_, [&](const auto& it) { return it != nullptr && it->name() == definition.name; });
    if (at == services_.end()) {
      ordered.push_back(
          std::make_unique<Service>(surroundings_, static_cast<ServiceHost&>(*this), definition));
    } else {
      ordered.push_back(std::move(*at));
      known.emplace_back(ordered.back().get(), &definition);
    }
  }
  for (auto& service : services_) {
    if (service != nullptr) ordered.push_back(std::move(service));
  }
  services_ = std::move(ordered);
  for (const auto& [service, definition] : known)
    service->apply(*definition);
  host_.on_services_changed();
}

void Services::stop() {
  is_stopping_ = true;
  turn_.arm(0);
  for (const auto& service : services_)
    service->stop();
}

void Services::kill_all() {
  is_stopping_ = true;
  turn_.arm(0);
  for (const auto& service : services_)
    service->kill_all();
}

void Services::on_stopped(const Service& /*service*/) {
  turn_.arm(0);
}

// Not in on_stopped(): that one is called by the service itself.
void Services::settle() {
  std::erase_if(services_, [](const auto& it) { return it->is_removed() && !it->has_process(); });
  host_.on_services_changed();
  const bool has_process =
      std::ranges::any_of(services_, [](const auto& it) { return it->has_process(); });
  if (is_stopping_ && !has_process && !std::exchange(is_end_told_, true)) host_.on_all_stopped();
}

std::vector<SavedService> Services::save() const {
  std::vector<SavedService> saved;
  saved.reserve(services_.size());
  for (const auto& service : services_)
    saved.push_back(service->save());
  return saved;
}

void Services::restore(std::vector<SavedService> saved) {
  for (SavedService& one : saved) {
    services_.push_back(
        std::make_unique<Service>(surroundings_, static_cast<ServiceHost&>(*this), std::move(one)));
  }
}

}  // namespace portunus::supervisor
