#include "supervisor/proxy_process.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "base/clock.h"
#include "base/log.h"

extern char** environ;  // NOLINT: as environ(7) has it

namespace portunus::supervisor {
namespace {

using base::LogLevel;

constexpr int kFirstDescriptor = 3;  // SD_LISTEN_FDS_START

std::vector<std::string> environment_of(std::size_t sockets) {
  std::vector<std::string> variables;
  for (char** each = environ; *each != nullptr; ++each)
    variables.emplace_back(*each);
  if (sockets > 0) {
    variables.push_back("LISTEN_FDS=" + std::to_string(sockets));
    variables.emplace_back("LISTEN_PID=");  // spawn() fills it in
  }
  return variables;
}

// What a proxy that has ended has told of others; it does not become ready any more, and prepares
// nothing.
bool is_last_word(Kind kind) {
  return kind == Kind::good || kind == Kind::remember || kind == Kind::health ||
         kind == Kind::drained;
}

}  // namespace

ProxyProcess::ProxyProcess(uv_loop_t& loop, Reaper& reaper, ProxyEvents& events)
    : loop_(loop),
      reaper_(reaper),
      events_(events),
      silence_(loop, this, [](void* self) { static_cast<ProxyProcess*>(self)->on_silent(); }) {}

ProxyProcess::~ProxyProcess() {
  if (pid_ > 0) reaper_.forget(pid_);
}

bool ProxyProcess::start(const ProxyLaunch& launch, const Message& members, std::string& why) {
  const auto [ours, theirs] = Channel::make_pair();
  if (ours < 0) {
    why = "out of file descriptors";
    return false;
  }
  Launch child;
  child.environment = environment_of(launch.sockets.size());
  for (const OpenSocket& socket : launch.sockets)
    child.descriptors.push_back(socket.descriptor);
  const std::size_t channel = kFirstDescriptor + child.descriptors.size();
  child.descriptors.push_back(theirs);
  child.command = {launch.program, "proxy",
                   "-c",           launch.config_file,
                   "--threads",    std::to_string(launch.threads),
                   "--channel",    std::to_string(channel)};
  if (!launch.state.empty()) {
    child.command.emplace_back("--state");
    child.command.push_back(launch.state);
  }
  if (launch.files >= 0) {
    child.command.emplace_back("--files");
    child.command.push_back(std::to_string(channel + 1));
    child.descriptors.push_back(launch.files);
  }
  if (launch.tried_us > 0) {
    child.command.emplace_back("--tried");
    child.command.push_back(std::to_string(launch.tried_us));
  }
  child.identity = launch.identity;
  child.death_signal = SIGVTALRM;  // proxy/orphan_alarm.h
  const auto pid = spawn(child);
  ::close(theirs);
  if (!pid) {
    ::close(ours);
    why = pid.error();
    return false;
  }
  pid_ = *pid;
  started_ns_ = base::monotonic_ns();
  started_us_ = base::wall_us();
  reaper_.watch(pid_, *this);
  channel_ = std::make_unique<Channel>(loop_, ours, *this);
  note_members(members);
  if (launch.memory >= 0) {
    send(members, {&launch.memory, 1});
  } else {
    send(members);
  }
  silence_.arm(kStartMs);
  return true;
}

void ProxyProcess::adopt(pid_t pid, int channel, std::uint64_t started_ns) {
  pid_ = pid;
  is_ready_ = has_been_ready_ = true;
  started_ns_ = started_ns;
  reaper_.watch(pid_, *this);
  channel_ = std::make_unique<Channel>(loop_, channel, *this);
  silence_.arm(kSilentMs);
}

void ProxyProcess::send(const Message& message, std::span<const int> descriptors) {
  if (channel_) channel_->send(encode(message), descriptors);
}

void ProxyProcess::send_members(const Message& members) {
  note_members(members);
  send(members);
}

void ProxyProcess::note_members(const Message& members) {
  std::vector<Draining> draining;
  for (const ServiceReplicas& service : members.services) {
    for (const ReplicaMember& member : service.members) {
      if (!member.is_draining) continue;
      draining.push_back({service.service, member.port, member.life,
                          has_drained(service.service, member.port, member.life)});
    }
  }
  draining_ = std::move(draining);
}

void ProxyProcess::note_drained(const Message& drained) {
  for (Draining& known : draining_) {
    const bool is_life = drained.life == 0 || drained.life == known.life;
    if (known.service == drained.service && known.port == drained.port && is_life)
      known.is_drained = true;
  }
}

bool ProxyProcess::has_drained(std::string_view service,
                               std::uint16_t port,
                               std::uint32_t life) const {
  return std::ranges::any_of(draining_, [&](const Draining& known) {
    return known.is_drained && known.service == service && known.port == port && known.life == life;
  });
}

void ProxyProcess::kill() {
  if (pid_ > 0) signal_group(pid_, SIGKILL);
}

void ProxyProcess::on_exit(pid_t /*pid*/, Exit exit) {
  pid_ = 0;
  is_ready_ = false;
  // The end of a child is often heard of before what it wrote last.
  if (channel_ && channel_->is_open()) channel_->wait(0);
  silence_.disarm();
  if (channel_) channel_->close();
  events_.on_proxy_exit(*this, exit);
}

void ProxyProcess::on_packet(std::string_view text, std::vector<int> descriptors) {
  const auto message = decode(text);
  conf::SealedFiles files;
  int memory = -1;
  for (const int each : descriptors) {  // it has no others to give
    if (message && message->kind == Kind::good && !files.is_set()) {
      files = conf::SealedFiles(each);
    } else if (message && message->kind == Kind::remember && memory < 0) {
      memory = each;
    } else {
      ::close(each);
    }
  }
  if (!message || (pid_ <= 0 && !is_last_word(message->kind))) return;
  is_doubted_ = false;
  if (pid_ > 0 && !is_aborted_) silence_.arm(kSilentMs);
  if (message->kind == Kind::ready) is_ready_ = has_been_ready_ = true;
  if (files.is_set()) events_.on_proxy_files(*this, std::move(files), *message);
  if (memory >= 0) events_.on_proxy_memory(*this, memory);
  if (message->kind == Kind::alive) {
    events_.on_proxy_alive(*this);
  } else {
    events_.on_proxy_message(*this, *message);
  }
}

// It has died, and its exit will be heard of; or it does not read what it is told.
void ProxyProcess::on_channel_closed() {
  if (pid_ > 0 && !is_aborted_) silence_.arm(kAbortMs);
}

void ProxyProcess::on_silent() {
  if (pid_ <= 0) return;
  if (is_aborted_) {
    kill();
    return;
  }
  if (!std::exchange(is_doubted_, true)) {
    silence_.arm(kDoubtMs);
    return;
  }
  base::log(LogLevel::error, "supervisor", "the proxy (process {}) does not answer: it is ended",
            pid_);
  is_aborted_ = true;
  ::kill(pid_, SIGABRT);
  silence_.arm(kAbortMs);
}

}  // namespace portunus::supervisor
