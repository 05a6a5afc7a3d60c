// The whole program in a thread of the test, with data-plane threads of its own, real members and
// clients: replicas that come, drain and go, as the supervisor would say it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net/listener.h"
#include "proxy/control.h"
#include "tests/loop/admin_fixture.h"
#include "tests/support/scripted_member.h"

namespace portunus::proxy {
namespace {

using test::Connection;
using test::ScriptedMember;
using testing::Contains;
using testing::IsEmpty;

constexpr const char* kMemberOk = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
constexpr std::chrono::seconds kPatience{20};

// What Control tells, on its thread.
class Events final : public MemberEvents {
 public:
  void on_member_drained(const std::string& service, std::uint16_t port) override {
    if (at_drained) at_drained(port);
    const std::lock_guard lock(mutex_);
    drained_.push_back(service + ":" + std::to_string(port));
    changed_.notify_all();
  }
  void on_member_health(const MemberHealth& health) override {
    const std::lock_guard lock(mutex_);
    up_[std::string(health.service) + ":" + std::to_string(health.port)] = health.is_up;
    changed_.notify_all();
  }
  [[nodiscard]] bool wait_drained(const std::string& which, std::size_t times = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] {
      return std::ranges::count(drained_, which) >= static_cast<std::ptrdiff_t>(times);
    });
  }
  [[nodiscard]] bool wait_health(const std::string& which, bool is_up) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] {
      const auto known = up_.find(which);
      return known != up_.end() && known->second == is_up;
    });
  }
  [[nodiscard]] std::vector<std::string> drained() {
    const std::lock_guard lock(mutex_);
    return drained_;
  }
  std::function<void(std::uint16_t port)> at_drained;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> drained_;
  std::map<std::string, bool> up_;
};

// Answers each request of a kept connection, when the gate is open.
class Replica {
 public:
  Replica()
      : member([this](Connection& connection) {
          while (!connection.read_head().empty()) {
            ++begun;
            while (!is_open && connection.wait(1)) {
            }
            ++ended;  // before the answer: whoever has seen it sees this
            if (!connection.send(kMemberOk)) return;
          }
        }) {}

  [[nodiscard]] std::uint16_t port() const { return member.port(); }
  [[nodiscard]] std::string name() const { return "127.0.0.1:" + std::to_string(port()); }

  std::atomic<int> begun{0};
  std::atomic<int> ended{0};
  std::atomic<bool> is_open{true};
  ScriptedMember member;
};

struct Outcome final : ReloadWaiter {
  void on_reload_done(const ReloadOutcome& outcome) override { done.set_value(outcome.ok); }
  std::promise<bool> done;
};

supervisor::ReplicaMember at(std::uint16_t port, bool is_draining = false) {
  return {.port = port, .is_draining = is_draining};
}

class ControlMembersTest : public testing::Test {
 protected:
  ControlMembersTest() {
    std::string name = (std::filesystem::temp_directory_path() / "portunus-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    refused_.refuse();
    port_ = free_port();
    write("");
    control_ = std::make_unique<Control>(RunOptions{folder_ + "/portunus.yaml"});
  }
  ~ControlMembersTest() override {
    if (thread_.joinable()) {
      control_->loop().post([this] {
        supervisor::LinkHandler& control = *control_;
        control.on_message(supervisor::Message(supervisor::Kind::stop), {});
        control.on_message(supervisor::Message(supervisor::Kind::stop),
                           {});  // clients that keep their connections do not hold it up
      });
      thread_.join();
    }
    control_.reset();
    std::filesystem::remove_all(folder_);
  }
  // Below the range from which the kernel takes ports for outgoing connections, so that none is taken
  // between the choice and its use. Two runs at a time start at different places.
  static std::uint16_t free_port() {
    constexpr int kFirst = 10'100;
    constexpr int kCount = 21'900;
    static int next = static_cast<int>(::getpid()) * 7 % kCount;
    for (int i = 0; i < kCount; ++i) {
      const auto port = static_cast<std::uint16_t>(kFirst + (next++ % kCount));
      const auto here = net::Address::parse_ip("127.0.0.1", port).value();
      if (const auto socket = net::open_listening_socket(here, false)) {
        ::close(*socket);
        return port;
      }
    }
    return 0;
  }
  void write(const std::string& more) {
    std::ofstream(folder_ + "/portunus.yaml")
        << "threads: 3\nadmin: off\nlog: { output: " << folder_ << "/log }\n"
        << "listeners: { front: 127.0.0.1:" << port_ << " }\nsites: { '*': { pool: app } }\n"
        << "pools: { app: { upstreams: [127.0.0.1:" << refused_.port() << "], retry: off } }\n"
        << "services:\n"
        << "  web: { command: [never-run], ports: 1-9, pool: app, health: { tcp: true } }\n"
        << "  job: { command: [never-run], ports: 11-19, health: { tcp: true } }\n"
        << more;
  }
  void run() {
    thread_ = std::thread([this] {
      supervisor::hold_signals();
      control_->run();
      has_ended_ = true;
    });
    std::string state;
    for (int i = 0; i < 2'000 && state != "ready" && !has_ended_ && !HasFatalFailure(); ++i) {
      on_loop([&] { state = control_->status().state; });
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    std::ifstream log(folder_ + "/log");
    ASSERT_EQ(state, "ready") << std::string(std::istreambuf_iterator<char>(log), {});
    on_loop([&] { control_->set_member_events(&events_); });
  }
  template <typename Function>
  void on_loop(Function function) {
    struct Call {
      std::promise<void> done;
      std::atomic<bool> is_given_up{false};
    };
    const auto call = std::make_shared<Call>();
    control_->loop().post([call, &function] {
      if (call->is_given_up) return;
      function();
      call->done.set_value();
    });
    const std::future<void> done = call->done.get_future();
    for (int i = 0; i < 2'000 && !has_ended_; ++i) {
      if (done.wait_for(std::chrono::milliseconds(10)) == std::future_status::ready) return;
    }
    call->is_given_up = true;
    FAIL() << "no answer";
  }
  // As the supervisor says it; before run(), or on the loop.
  void say(const std::vector<supervisor::ServiceReplicas>& services) {
    supervisor::Message message(supervisor::Kind::members);
    message.services = services;
    supervisor::LinkHandler& control = *control_;
    control.on_message(message, {});
  }
  void set(const std::vector<supervisor::ServiceReplicas>& services) {
    on_loop([&] { say(services); });
  }
  // The states of the pool's members, the configured one's left out.
  std::map<std::string, std::string> states() {
    std::map<std::string, std::string> all;
    on_loop([&] {
      const std::vector<PoolView> pools = control_->pools();
      ASSERT_EQ(pools.size(), 1U);
      for (const MemberView& member : pools[0].members)
        all.emplace(member.name, member.state);
    });
    all.erase("127.0.0.1:" + std::to_string(refused_.port()));
    return all;
  }
  // The status of one request, on a connection of its own.
  std::string get() {
    Client client(port_);
    client.send("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    return client.read().substr(9, 3);
  }

  Events events_;
  ScriptedMember refused_{ScriptedMember::answer("")};
  std::string folder_;
  std::uint16_t port_ = 0;
  std::unique_ptr<Control> control_;
  std::atomic<bool> has_ended_{false};
  std::thread thread_;
};

TEST_F(ControlMembersTest, TheyAreThereFromTheStartAndGoOneByOne) {
  Replica a;
  Replica b;
  Replica alone;
  say({{"web", {at(a.port()), at(b.port())}}, {"job", {at(alone.port())}}});
  run();
  EXPECT_EQ(states(), (std::map<std::string, std::string>{{a.name(), "up"}, {b.name(), "up"}}));
  EXPECT_EQ(get(), "200");
  set({{"web", {at(b.port())}}});
  const int before = a.begun;
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(get(), "200");
  EXPECT_EQ(a.begun, before);
  std::string metrics;
  on_loop([&] { metrics = control_->metrics_text(); });
  EXPECT_THAT(metrics, HasSubstr("portunus_pool_members{pool=\"app\",state=\"up\"} 1\n"));
  EXPECT_THAT(metrics, Not(HasSubstr("service:")));
  set({});
  EXPECT_THAT(states(), IsEmpty());
  EXPECT_EQ(get(), "503");
  set({{"web", {at(a.port())}}, {"job", {at(alone.port())}}});
  EXPECT_TRUE(events_.wait_health("web:" + std::to_string(a.port()), true));
  EXPECT_TRUE(events_.wait_health("job:" + std::to_string(alone.port()), true));
  EXPECT_EQ(get(), "200");
  EXPECT_THAT(events_.drained(), IsEmpty());
}

TEST_F(ControlMembersTest, DrainsToTheEndOfTheLastRequest) {
  Replica busy;
  Replica other;
  Replica alone;
  const std::string name = "web:" + std::to_string(busy.port());
  say({{"web", {at(busy.port())}}, {"job", {at(alone.port())}}});
  run();
  busy.is_open = false;
  std::vector<std::future<std::string>> running;
  for (int i = 0; i < 6; ++i)
    running.push_back(std::async(std::launch::async, [this] { return get(); }));
  while (busy.begun < 6)
    std::this_thread::yield();
  set({{"web", {at(busy.port(), true), at(other.port())}}, {"job", {at(alone.port(), true)}}});
  EXPECT_TRUE(events_.wait_drained("job:" + std::to_string(alone.port()))) << "nothing was there";
  EXPECT_TRUE(events_.wait_health("web:" + std::to_string(other.port()), true));
  EXPECT_EQ(get(), "200");
  EXPECT_EQ(states()[busy.name()], "draining");
  EXPECT_THAT(events_.drained(), Not(Contains(name)));
  busy.is_open = true;
  EXPECT_TRUE(events_.wait_drained(name));
  for (auto& answer : running)
    EXPECT_EQ(answer.get(), "200");
  EXPECT_EQ(busy.begun, 6);
  // The same again changes nothing, and is told again: who says it may have forgotten.
  set({{"web", {at(busy.port(), true), at(other.port())}}, {"job", {at(alone.port(), true)}}});
  set({{"web", {at(busy.port())}}});
  EXPECT_EQ(states()[busy.name()], "up") << "what the probes say";
  EXPECT_EQ(get(), "200");
  EXPECT_EQ(busy.begun, 7);
  EXPECT_EQ(std::ranges::count(events_.drained(), name), 2);
}

// Draining starts in the middle of traffic, again and again: from the word that a replica has drained
// until it serves again it gets nothing, and has answered everything.
TEST_F(ControlMembersTest, DrainedMeansThatNothingComesAnyMore) {
  Replica replicas[2];
  const auto members = [&](int draining) {
    std::vector<supervisor::ServiceReplicas> all{{"web", {}}};
    for (int i = 0; i < 2; ++i)
      all[0].members.push_back(at(replicas[i].port(), i == draining));
    return all;
  };
  std::atomic<int> begun_at_drained{-1};
  std::atomic<int> unanswered{0};
  events_.at_drained = [&](std::uint16_t port) {
    const Replica& replica = replicas[port == replicas[1].port() ? 1 : 0];
    begun_at_drained = replica.begun.load();
    if (replica.begun != replica.ended) ++unanswered;
  };
  say(members(-1));
  run();
  std::atomic<bool> is_over{false};
  std::atomic<int> served{0};
  std::atomic<int> failed{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      while (!is_over) {
        Client client(port_);
        for (int k = 0; k < 20 && !is_over; ++k) {
          client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
          ++(client.read().starts_with("HTTP/1.1 200") ? served : failed);
        }
      }
    });
  }
  for (int round = 0; round < 60; ++round) {
    const int which = round % 2;
    const auto before = served.load();
    set(members(which));
    if (!events_.wait_drained("web:" + std::to_string(replicas[which].port()),
                              static_cast<std::size_t>(round / 2 + 1))) {
      ADD_FAILURE() << "round " << round;
      break;
    }
    while (served < before + 20 && failed == 0)
      std::this_thread::yield();
    EXPECT_EQ(replicas[which].begun, begun_at_drained) << "round " << round;
    set(members(-1));
  }
  is_over = true;
  for (std::thread& client : clients)
    client.join();
  EXPECT_EQ(unanswered, 0);
  EXPECT_EQ(failed, 0);
}

// The service moves to another pool by a reload, which takes a second here, because a new member does
// not answer its probe: until the new generation is there, the old one has its replica.
TEST_F(ControlMembersTest, AReloadThatMovesAServiceTakesEffectAtOnce) {
  Replica replica;
  const test::HangingPort silent;
  const auto write_pools = [&](const std::string& pool, const std::string& slow) {
    std::ofstream(folder_ + "/portunus.yaml")
        << "threads: 3\nadmin: off\nlog: { output: " << folder_ << "/log }\n"
        << "listeners: { front: 127.0.0.1:" << port_ << " }\n"
        << "sites: { '*': { routes: [ { match: { path: /a }, pool: a }, { pool: b } ] } }\n"
        << "pools:\n"
        << "  a: { upstreams: [127.0.0.1:" << refused_.port() << "], retry: off }\n"
        << "  b: { upstreams: [127.0.0.1:" << refused_.port() << slow
        << "], retry: off, health: { tcp: true, timeout: 5s } }\n"
        << "services:\n  web: { command: [never-run], ports: 1-9, pool: " << pool
        << ", health: { tcp: true } }\n";
  };
  const auto ask = [&](const std::string& path) {
    Client client(port_);
    client.send("GET " + path + " HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    return client.read().substr(9, 3);
  };
  write_pools("a", "");
  say({{"web", {at(replica.port())}}});
  run();
  EXPECT_EQ(ask("/a"), "200");
  EXPECT_EQ(ask("/b"), "503");
  write_pools("b", ", 127.0.0.1:" + std::to_string(silent.port()));
  Outcome outcome;
  on_loop([&] { control_->reload(outcome); });
  auto done = outcome.done.get_future();
  int early = 0;
  // The supervisor says something meanwhile, too.
  const auto before = [&] {
    std::uint64_t generation = 0;
    on_loop([&] { generation = control_->status().generation; });
    return generation == 1;
  };
  while (before()) {
    const std::string status = ask("/a");
    if (!before()) break;
    EXPECT_EQ(status, "200");
    if (++early == 1) {
      set({{"web", {at(replica.port()), at(refused_.port())}}});
      set({{"web", {at(replica.port())}}});
    }
  }
  EXPECT_GT(early, 10) << "there was no time to look";
  ASSERT_EQ(done.wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(done.get());
  EXPECT_EQ(ask("/b"), "200") << "at once: it has been probed";
  EXPECT_EQ(ask("/a"), "503");
  // And draining still works where it is now.
  set({{"web", {at(replica.port(), true)}}});
  EXPECT_TRUE(events_.wait_drained("web:" + std::to_string(replica.port())));
  EXPECT_EQ(ask("/b"), "503");
}

struct DrainOutcome final : DrainWaiter {
  void on_drain_done(bool is_drained) override { done.set_value(is_drained); }
  std::promise<bool> done;
};

// Of the operator, beside the supervisor's own reasons.
TEST_F(ControlMembersTest, AnOperatorDrainsDisablesAndWeighs) {
  Replica busy;
  Replica other;
  say({{"web", {at(busy.port()), at(other.port())}}});
  run();
  const auto order = [&](const Replica& replica, MemberCommand command, std::uint32_t weight = 0) {
    MemberView view;
    on_loop([&] {
      const auto done = control_->order({"app", replica.name(), command, weight});
      ASSERT_TRUE(done);
      view = *done;
    });
    return view;
  };
  order(other, MemberCommand::drain);
  busy.is_open = false;
  auto running = std::async(std::launch::async, [this] { return get(); });
  while (busy.begun < 1)
    std::this_thread::yield();
  DrainOutcome outcome;
  DrainOutcome taken_back;
  auto drained = outcome.done.get_future();
  order(other, MemberCommand::enable);
  const MemberView view = order(busy, MemberCommand::drain);
  EXPECT_EQ(view.state, "draining");
  EXPECT_EQ(view.reason, "drained by an operator");
  EXPECT_EQ(view.effective_weight, 0);
  on_loop([&] { control_->await_drained("app", busy.name(), outcome); });
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(get(), "200");
  EXPECT_EQ(busy.begun, 1);
  EXPECT_EQ(drained.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  busy.is_open = true;
  ASSERT_EQ(drained.wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(drained.get());
  EXPECT_EQ(running.get(), "200");
  // What the supervisor wants does not end what the operator wants.
  set({{"web", {at(busy.port(), true), at(other.port())}}});
  EXPECT_TRUE(events_.wait_drained("web:" + std::to_string(busy.port())));
  set({{"web", {at(busy.port()), at(other.port())}}});
  EXPECT_EQ(states()[busy.name()], "draining");
  // Nor does a reload, nor a new process of the replica.
  write("shutdown: { drain: 1s }\n");
  Outcome reloaded;
  on_loop([&] { control_->reload(reloaded); });
  EXPECT_TRUE(reloaded.done.get_future().get());
  set({{"web", {at(other.port())}}});
  set({{"web", {at(busy.port()), at(other.port())}}});
  EXPECT_EQ(states()[busy.name()], "draining");
  EXPECT_EQ(order(busy, MemberCommand::disable).state, "maintenance");
  EXPECT_EQ(order(busy, MemberCommand::weigh, 7).weight, 7U);
  std::string metrics;
  on_loop([&] { metrics = control_->metrics_text(); });
  EXPECT_THAT(metrics, HasSubstr("portunus_upstream_state{pool=\"app\",upstream=\"" + busy.name() +
                                 "\",state=\"maintenance\"} 1\n"));
  on_loop([&] { control_->await_drained("app", other.name(), taken_back); });
  EXPECT_FALSE(taken_back.done.get_future().get()) << "it does not drain at all";
  EXPECT_EQ(order(busy, MemberCommand::enable).configured_weight, 1U);
  EXPECT_TRUE(events_.wait_health("web:" + std::to_string(busy.port()), true));
  while (busy.begun < 2)
    EXPECT_EQ(get(), "200");
  on_loop([&] { metrics = control_->metrics_text(); });
  EXPECT_THAT(metrics, HasSubstr("portunus_upstream_effective_weight{pool=\"app\",upstream=\"" +
                                 busy.name() + "\"} 7\n"));
  on_loop([&] {
    EXPECT_FALSE(control_->order({"app", "127.0.0.1:1", MemberCommand::drain, 0}));
    EXPECT_FALSE(control_->order({"none", busy.name(), MemberCommand::drain, 0}));
  });
}

// A reload that runs while the members change ends with the newest ones, and touches no other.
TEST_F(ControlMembersTest, AReloadKeepsThem) {
  Replica a;
  Replica b;
  say({{"web", {at(a.port())}}});
  run();
  EXPECT_EQ(get(), "200");
  const auto view = [&](const std::string& name) {
    MemberView found;
    on_loop([&] {
      const std::vector<PoolView> pools = control_->pools();
      for (const MemberView& member : pools.at(0).members) {
        if (member.name == name) found = member;
      }
    });
    return found;
  };
  const MemberView before = view(a.name());
  for (int i = 0; i < 4; ++i) {
    write("shutdown: { announce: 0s, drain: " + std::to_string(i + 1) + "s }\n");
    Outcome outcome;
    const bool has_b = i % 2 == 0;
    on_loop([&] {
      control_->reload(outcome);
      std::vector<supervisor::ServiceReplicas> all{{"web", {at(a.port())}}};
      if (has_b) all[0].members.push_back(at(b.port()));
      say(all);
    });
    auto done = outcome.done.get_future();
    ASSERT_EQ(done.wait_for(kPatience), std::future_status::ready);
    EXPECT_TRUE(done.get());
    EXPECT_EQ(states().size(), has_b ? 2U : 1U);
    const MemberView after = view(a.name());
    EXPECT_EQ(after.state, "up");
    EXPECT_EQ(after.since_us, before.since_us) << "the same member, still up";
    EXPECT_EQ(get(), "200");
  }
}

}  // namespace
}  // namespace portunus::proxy
