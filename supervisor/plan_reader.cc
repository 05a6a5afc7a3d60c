#include "supervisor/plan_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>
#include <vector>

#include "supervisor/process.h"

extern char** environ;  // NOLINT: as environ(7) has it

namespace portunus::supervisor {
namespace {

// The exit status of one that has said itself what is wrong.
constexpr int kRefused = 1;

}  // namespace

PlanReader::PlanReader(uv_loop_t& loop, Reaper& reaper, PlanHandler& handler)
    : loop_(loop), reaper_(reaper), handler_(handler), patience_(loop, this, [](void* owner) {
        auto* self = static_cast<PlanReader*>(owner);
        if (self->pid_ > 0) {
          self->why_ = "reading the configuration took too long";
          signal_group(self->pid_, SIGKILL);
        } else {
          self->handler_.on_plan_failed(std::exchange(self->why_, {}));
        }
      }) {}

PlanReader::~PlanReader() {
  cancel();
}

void PlanReader::start(const std::string& program, const std::string& config_file, bool is_loud) {
  cancel();
  text_.clear();
  why_.clear();
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    fail("out of file descriptors");
    return;
  }
  ::fcntl(ends[1], F_SETFL, 0);  // the writer may wait
  Launch launch;
  launch.command = {program, "plan", "-c", config_file, "--output", "3"};
  for (char** each = environ; *each != nullptr; ++each)
    launch.environment.emplace_back(*each);
  launch.descriptors = {ends[1]};
  if (!is_loud) launch.output = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  const auto pid = spawn(launch);
  if (launch.output >= 0) ::close(launch.output);
  ::close(ends[1]);
  pipe_ = ends[0];
  if (!pid) {
    close_pipe();
    fail(pid.error());
    return;
  }
  pid_ = *pid;
  reaper_.watch(pid_, *this);
  patience_.arm(kPatienceMs);
  poll_ = new uv_poll_t;
  uv_poll_init(&loop_, poll_, pipe_);
  poll_->data = this;
  uv_poll_start(poll_, UV_READABLE | UV_DISCONNECT, [](uv_poll_t* poll, int, int) {
    static_cast<PlanReader*>(poll->data)->read_all();
  });
}

void PlanReader::fail(const std::string& why) {
  why_ = why;
  patience_.arm(0);
}

void PlanReader::cancel() {
  patience_.disarm();
  if (pid_ > 0) {
    reaper_.forget(pid_);
    signal_group(pid_, SIGKILL);
    pid_ = 0;
  }
  close_pipe();
}

void PlanReader::close_pipe() {
  if (poll_ != nullptr) {
    uv_close(reinterpret_cast<uv_handle_t*>(std::exchange(poll_, nullptr)),
             [](uv_handle_t* handle) { delete reinterpret_cast<uv_poll_t*>(handle); });
  }
  if (pipe_ >= 0) ::close(std::exchange(pipe_, -1));
}

void PlanReader::read_all() {
  std::array<char, std::size_t{16} * 1024> buffer;
  while (pipe_ >= 0) {
    const ssize_t size = ::read(pipe_, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
      close_pipe();
      return;
    }
    if (text_.size() + static_cast<std::size_t>(size) > kPlanMax) {
      why_ = "the configuration is too large";
      close_pipe();
      return;
    }
    text_.append(buffer.data(), static_cast<std::size_t>(size));
  }
}

void PlanReader::on_exit(pid_t /*pid*/, Exit exit) {
  read_all();  // it may have written more since the last event
  close_pipe();
  pid_ = 0;
  patience_.disarm();
  std::string why = std::exchange(why_, {});
  if (why.empty() && exit.signal != 0) {
    why = "reading the configuration was ended by signal " + std::to_string(exit.signal);
  }
  if (why.empty() && exit.status > kRefused) {
    why = "reading the configuration ended with status " + std::to_string(exit.status);
  }
  if (!why.empty() || exit.status != 0) {
    handler_.on_plan_failed(why);
    return;
  }
  auto plan = decode_plan(std::exchange(text_, {}));
  if (plan) {
    handler_.on_plan(std::move(*plan));
  } else {
    handler_.on_plan_failed(plan.error());
  }
}

}  // namespace portunus::supervisor
