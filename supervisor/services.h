// The set of all services: takes a new configuration over in place, finds a service by its name,
// and stops them all at the end. Owned by the supervisor, whose thread it lives on.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "conf/model.h"
#include "supervisor/replica.h"
#include "supervisor/service.h"
#include "supervisor/timer.h"

namespace portunus::supervisor {

class ServicesHost {
 public:
  // As ServiceHost::on_members_changed().
  virtual void on_members_changed(const Service& service) = 0;
  // As ServiceHost::on_requests_wanted().
  virtual void on_requests_wanted(const Service& /*service*/) {}
  // Something that is shown of the services may have changed.
  virtual void on_services_changed() {}
  // After stop() or kill_all(): no process is left. From the loop, once.
  virtual void on_all_stopped() = 0;

 protected:
  ~ServicesHost() = default;
};

class Services final : private ServiceHost {
 public:
  Services(Surroundings& surroundings, ServicesHost& host);
  ~Services();
  Services(const Services&) = delete;
  Services& operator=(const Services&) = delete;

  // Each that is new starts, each that is gone stops, each that has changed takes it over; the
  // others are not touched. Without effect after stop().
  void apply(const std::vector<conf::Service>& definitions);
  // Null when there is none; one that is being removed is none.
  [[nodiscard]] Service* find(std::string_view name) const;
  // In the order of the configuration; then those that are being removed.
  [[nodiscard]] std::vector<Service*> all() const;

  void stop();
  void kill_all();

  [[nodiscard]] std::vector<SavedService> save() const;
  // Instead of the first apply().
  void restore(std::vector<SavedService> saved);

 private:
  void on_members_changed(const Service& service) override { host_.on_members_changed(service); }
  void on_requests_wanted(const Service& service) override { host_.on_requests_wanted(service); }
  void on_changed(const Service& /*service*/) override { host_.on_services_changed(); }
  void on_stopped(const Service& service) override;
  void settle();
  [[nodiscard]] Service* find_any(std::string_view name) const;

  Surroundings& surroundings_;
  ServicesHost& host_;
  std::vector<std::unique_ptr<Service>> services_;
  Timer turn_;
  bool is_stopping_ = false;
  bool is_end_told_ = false;
};

}  // namespace portunus::supervisor
