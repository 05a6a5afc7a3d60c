// A real loop with real children: SIGCHLD by a signalfd, and a stand-in for the proxy that connects
// to each member's port, says what it found, and drains members at once (or when told).
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/reaper.h"
#include "supervisor/replica_launch.h"
#include "supervisor/service.h"
#include "supervisor/services.h"

namespace portunus::test {

using supervisor::HealthReport;
using supervisor::ReplicaRecord;
using supervisor::ReplicaState;
using supervisor::ReplicaWait;
using supervisor::RestartReason;
using supervisor::Service;
using supervisor::ServiceMember;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

inline bool is_alive(pid_t pid) {
  return ::kill(pid, 0) == 0;
}

inline bool can_connect(std::uint16_t port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(port);
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool is_good =
      ::connect(descriptor, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0;
  ::close(descriptor);
  return is_good;
}

// A program of someone else at a port.
class Squatter {
 public:
  explicit Squatter(std::uint16_t port, std::uint32_t host = INADDR_LOOPBACK)
      : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    ::setsockopt(descriptor_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    where.sin_addr.s_addr = htonl(host);
    if (::bind(descriptor_, reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0 ||
        ::listen(descriptor_, 8) != 0)
      std::abort();
  }
  ~Squatter() { ::close(descriptor_); }
  Squatter(const Squatter&) = delete;
  Squatter& operator=(const Squatter&) = delete;

 private:
  int descriptor_;
};

// So many ports in a row that are free, below those that the system gives to connections.
inline conf::PortRange free_ports(std::uint16_t count) {
  std::mt19937 random(std::random_device{}());
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const auto first =
        static_cast<std::uint16_t>(std::uniform_int_distribution<int>(12'000, 31'000)(random));
    const auto last = static_cast<std::uint16_t>(first + count - 1);
    bool is_free = true;
    for (std::uint16_t port = first; port <= last && is_free; ++port)
      is_free = supervisor::is_port_free(port);
    if (is_free) return {first, last};
  }
  std::abort();
}

class ServiceFixture : public testing::Test,
                       public supervisor::ServiceHost,
                       public supervisor::ServicesHost {
 protected:
  ServiceFixture() {
    if (std::getenv("SERVICE_TEST_LOG") == nullptr)
      base::set_log_level(base::LogLevel::off);  // NOLINT(concurrency-mt-unsafe)
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGCHLD);
    ::pthread_sigmask(SIG_BLOCK, &signals, &signals_before_);
    signals_ = ::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    uv_loop_init(&loop_);
    uv_poll_init(&loop_, &poll_, signals_);
    poll_.data = this;
    uv_poll_start(&poll_, UV_READABLE, [](uv_poll_t* handle, int, int) {
      auto& self = *static_cast<ServiceFixture*>(handle->data);
      std::array<signalfd_siginfo, 16> infos{};
      [[maybe_unused]] const auto count = ::read(self.signals_, infos.data(), sizeof infos);
      self.reaper_.reap();
    });
    uv_timer_init(&loop_, &tick_);
    tick_.data = this;
    uv_timer_start(
        &tick_, [](uv_timer_t* handle) { static_cast<ServiceFixture*>(handle->data)->probe_all(); },
        5, 5);
    std::string name = (std::filesystem::temp_directory_path() / "service_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }

  // Not in the destructor: what a test has of its own hears of it.
  void TearDown() override {
    if (service_ == nullptr) return;
    service_->kill_all();
    until([&] { return !service_->has_process(); });
    service_.reset();
  }

  ~ServiceFixture() override {
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), nullptr);
    uv_close(reinterpret_cast<uv_handle_t*>(&tick_), nullptr);
    uv_run(&loop_, UV_RUN_DEFAULT);
    EXPECT_EQ(uv_loop_close(&loop_), 0);
    ::close(signals_);
    // As it was: the next test's orphans are not ours.
    ::prctl(PR_SET_CHILD_SUBREAPER, 0);
    ::pthread_sigmask(SIG_SETMASK, &signals_before_, nullptr);
    std::filesystem::remove_all(folder_);
  }

  // As the proxy: told at once, in this order.
  void on_members_changed(const Service& service) override {
    std::string line = "members";
    for (const ServiceMember& member : service.members()) {
      line += ' ' + std::to_string(member.port - service.definition().ports.first);
      if (member.is_draining) line += 'd';
    }
    if (on_members) on_members(service);
    events_.push_back(line);
  }
  void on_stopped(const Service&) override { events_.emplace_back("stopped"); }
  void on_all_stopped() override { events_.emplace_back("all stopped"); }

  // Waits for it, in the loop; the test fails when it does not come.
  bool until(const std::function<bool()>& is_met, std::chrono::milliseconds most = 10s) {
    const std::uint64_t end =
        base::monotonic_ns() + static_cast<std::uint64_t>(most.count()) * 1'000'000;
    while (!is_met()) {
      if (base::monotonic_ns() > end) {
        ADD_FAILURE() << "did not come";
        return false;
      }
      uv_run(&loop_, UV_RUN_ONCE);
    }
    return true;
  }
  void turn_for(std::chrono::milliseconds duration) {
    const std::uint64_t end =
        base::monotonic_ns() + static_cast<std::uint64_t>(duration.count()) * 1'000'000;
    while (base::monotonic_ns() < end)
      uv_run(&loop_, UV_RUN_ONCE);
  }

  // Without a probe: good after 10 ms. Its script has $FOLDER.
  [[nodiscard]] conf::Service scripted(const std::string& script) const {
    conf::Service service;
    service.name = "web";
    service.command = {"/bin/sh", "-c", script};
    service.health.kind = conf::ProbeKind::off;
    service.start_period = 10ms;
    service.restart = {conf::RestartPolicy::always, 20ms, 100ms, 1000, 60s};
    service.stop.grace = 5s;
    service.environment = {{"FOLDER", folder_.string()}};
    return service;
  }
  // A server at its port, with a probe, in a pool.
  [[nodiscard]] conf::Service server(std::uint32_t replicas, std::uint16_t ports) const {
    conf::Service service = scripted("");
    service.command = {"/usr/bin/python3", "-Ic", R"(
import socket, time
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", {port}))
listener.listen(64)
while True:
    listener.accept()[0].close()
)"};
    service.replicas_min = replicas;
    service.replicas_max = ports;
    service.ports = free_ports(ports);
    service.pool = 0;
    service.health.kind = conf::ProbeKind::tcp;
    service.health.interval = 20ms;
    service.health.timeout = 2s;
    service.health.fall = 3;
    service.start_period = 8s;
    return service;
  }
  Service& begin(const conf::Service& definition) {
    service_ = std::make_unique<Service>(surroundings_,
                                         static_cast<supervisor::ServiceHost&>(*this), definition);
    until([&] { return service_->replicas().size() == definition.replicas_min; });
    return *service_;
  }

  [[nodiscard]] const ReplicaRecord& replica(std::size_t place = 0) const {
    return *service_->replicas().at(place);
  }
  [[nodiscard]] std::vector<pid_t> pids() const {
    std::vector<pid_t> pids;
    for (const ReplicaRecord* const record : service_->replicas())
      pids.push_back(record->pid);
    return pids;
  }
  [[nodiscard]] std::size_t count_of(ReplicaState state) const {
    const auto records = service_->replicas();
    return static_cast<std::size_t>(std::ranges::count(records, state, &ReplicaRecord::state));
  }
  bool until_running(std::size_t count) {
    return until([&] {
      return count_of(ReplicaState::running) == count && service_->replicas().size() == count &&
             !service_->is_rolling();
    });
  }
  [[nodiscard]] std::uint64_t restarts(RestartReason reason) const {
    return service_->restarts()[static_cast<std::size_t>(reason)];
  }
  [[nodiscard]] std::string text_of(const std::string& file) const {
    std::ifstream in(folder_ / file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  [[nodiscard]] std::size_t lines_of(const std::string& file) const {
    const std::string text = text_of(file);
    return static_cast<std::size_t>(std::ranges::count(text, '\n'));
  }
  [[nodiscard]] bool has_file(const std::string& file) const {
    return std::filesystem::exists(folder_ / file);
  }
  [[nodiscard]] bool is_last_event(const std::string& event) const {
    return !events_.empty() && events_.back() == event;
  }
  void report(const ReplicaRecord& record, std::uint32_t failures) {
    service_->on_health({record.port, record.life, failures, "refused"});
  }

  void probe_all() {
    if (service_ == nullptr || !is_probing) return;
    for (const ServiceMember& member : service_->members()) {
      if (member.is_draining) {
        if (is_drained) service_->on_drained(member.port, member.life);
        continue;
      }
      std::uint32_t& failures = failures_[member.life];
      failures = can_connect(member.port) ? 0 : failures + 1;
      service_->on_health({member.port, member.life, failures, "connection refused"});
    }
  }

  std::filesystem::path folder_;
  bool is_probing = true;
  bool is_drained = true;  // whatever drains has no request left
  std::function<void(const Service&)> on_members;
  std::vector<std::string> events_;
  uv_loop_t loop_{};
  supervisor::Reaper reaper_;
  supervisor::Surroundings surroundings_{loop_, reaper_};
  std::unique_ptr<Service> service_;

 private:
  uv_poll_t poll_{};
  uv_timer_t tick_{};
  int signals_ = -1;
  sigset_t signals_before_{};
  std::map<std::uint32_t, std::uint32_t> failures_;
};

}  // namespace portunus::test
