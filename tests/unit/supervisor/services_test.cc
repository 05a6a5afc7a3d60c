#include "supervisor/services.h"

#include "tests/unit/supervisor/service_fixture.h"

namespace portunus::test {
namespace {

class AllServices : public ServiceFixture {
 protected:
  void TearDown() override {
    if (services_ == nullptr) return;
    services_->kill_all();
    until([&] { return !has_process(); });
    services_.reset();
  }
  void begin_all(const std::vector<conf::Service>& definitions) {
    services_ = std::make_unique<supervisor::Services>(
        surroundings_, static_cast<supervisor::ServicesHost&>(*this));
    services_->apply(definitions);
  }
  [[nodiscard]] conf::Service sleeper(const std::string& name) const {
    conf::Service service = scripted("exec sleep 1000");
    service.name = name;
    return service;
  }
  [[nodiscard]] bool has_process() const {
    return std::ranges::any_of(services_->all(), [](auto* it) { return it->has_process(); });
  }
  [[nodiscard]] pid_t pid_of(const std::string& name) const {
    const Service* const service = services_->find(name);
    if (service == nullptr || service->replicas().empty()) return 0;
    const ReplicaRecord& record = *service->replicas().front();
    return record.state == ReplicaState::running ? record.pid : 0;
  }

  std::unique_ptr<supervisor::Services> services_;
};

TEST_F(AllServices, ReloadTouchesOnlyWhatHasChanged) {
  begin_all({sleeper("a"), sleeper("b"), sleeper("c")});
  until([&] { return pid_of("a") != 0 && pid_of("b") != 0 && pid_of("c") != 0; });
  const pid_t a = pid_of("a");
  const pid_t b = pid_of("b");
  const pid_t c = pid_of("c");
  conf::Service changed = sleeper("b");
  changed.environment.emplace_back("NEW", "1");
  services_->apply({sleeper("d"), changed, sleeper("a")});
  EXPECT_EQ(services_->find("c"), nullptr);
  until([&] { return pid_of("d") != 0 && pid_of("b") != 0 && pid_of("b") != b; });
  until([&] { return services_->all().size() == 3; });
  EXPECT_EQ(pid_of("a"), a);
  EXPECT_FALSE(is_alive(b));
  EXPECT_FALSE(is_alive(c));
  EXPECT_EQ(services_->all()[0]->name(), "d");
}

TEST_F(AllServices, OneThatComesBackWhileItStops) {
  conf::Service slow =
      scripted("trap 'sleep 0.2; exit 0' TERM; touch $FOLDER/up; while :; do sleep 0.01; done");
  slow.name = "slow";
  begin_all({slow});
  until([&] { return pid_of("slow") != 0 && has_file("up"); });
  const pid_t before = pid_of("slow");
  services_->apply({});
  EXPECT_EQ(services_->find("slow"), nullptr);
  turn_for(20ms);
  services_->apply({slow});
  until([&] { return pid_of("slow") != 0 && pid_of("slow") != before; });
  EXPECT_FALSE(is_alive(before));
  EXPECT_EQ(services_->find("slow")->replicas().size(), 1U);
}

TEST_F(AllServices, StopEndsThemAllAndSaysSo) {
  begin_all({sleeper("a"), sleeper("b")});
  until([&] { return pid_of("a") != 0 && pid_of("b") != 0; });
  services_->stop();
  until([&] { return is_last_event("all stopped"); });
  EXPECT_FALSE(has_process());
  services_->apply({sleeper("a")});
  turn_for(30ms);
  EXPECT_FALSE(has_process());
  EXPECT_EQ(std::ranges::count(events_, "all stopped"), 1);
}

TEST_F(AllServices, StopOfNoneIsOverToo) {
  begin_all({});
  services_->stop();
  until([&] { return is_last_event("all stopped"); });
}

TEST_F(AllServices, SavedOnesAreRestored) {
  begin_all({sleeper("a"), sleeper("b")});
  until([&] { return pid_of("a") != 0 && pid_of("b") != 0; });
  const pid_t a = pid_of("a");
  auto saved = services_->save();
  services_ = std::make_unique<supervisor::Services>(surroundings_,
                                                     static_cast<supervisor::ServicesHost&>(*this));
  services_->restore(std::move(saved));
  EXPECT_EQ(pid_of("a"), a);
  services_->apply({sleeper("a"), sleeper("b")});
  turn_for(30ms);
  EXPECT_EQ(pid_of("a"), a);
}

}  // namespace
}  // namespace portunus::test
