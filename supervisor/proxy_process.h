// One proxy: the child process, the channel to it, and whether it lives. Started by the supervisor,
// which decides what comes after its end. A proxy whose threads do not answer for kSilentMs hangs: it
// is made to print where (SIGABRT) and then killed. Supervisor's thread; events come from the loop.
//
//   state     event                     next
//   -         start()                   starting
//   starting  `ready`                   ready
//   any       exit                      gone: on_proxy_exit()
#pragma once

#include <sys/types.h>
#include <uv.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "conf/sealed_files.h"
#include "supervisor/channel.h"
#include "supervisor/listeners.h"
#include "supervisor/message.h"
#include "supervisor/process.h"
#include "supervisor/reaper.h"
#include "supervisor/timer.h"

namespace portunus::supervisor {

class ProxyProcess;

class ProxyEvents {
 public:
  virtual void on_proxy_message(ProxyProcess& proxy, const Message& message) = 0;
  // What its configuration was read from; as it says, in Kind::good.
  virtual void on_proxy_files(ProxyProcess& proxy,
                              conf::SealedFiles files,
                              const Message& message) = 0;
  // Each of its threads has answered.
  virtual void on_proxy_alive(ProxyProcess& proxy) = 0;
  // What it knows of members; the descriptor is the handler's from now on.
  virtual void on_proxy_memory(ProxyProcess& proxy, int descriptor) = 0;
  // The handler may end the object, in a later turn.
  virtual void on_proxy_exit(ProxyProcess& proxy, Exit exit) = 0;

 protected:
  ~ProxyEvents() = default;
};

struct ProxyLaunch {
  std::string program;
  std::string config_file;
  std::uint32_t threads = 1;
  std::vector<OpenSocket> sockets;
  std::optional<Identity> identity;
  int files = -1;   // of a SealedFiles: to be read instead of the configuration's files; -1 = none
  int memory = -1;  // what is known of members (member_keeper.h); stays the caller's
  std::uint64_t tried_us =
      0;                   // files that have not changed since are let be (good_files.h); 0 = no
  std::string state = {};  // its folder for what outlives a restart
};

class ProxyProcess final : public ChildHandler, public ChannelHandler {
 public:
  static constexpr std::uint64_t kSilentMs = 10'000;
  static constexpr std::uint64_t kStartMs =
      120'000;  // to the first sign of life: names are looked up
  static constexpr std::uint64_t kAbortMs = 1'000;  // to print a backtrace
  // A supervisor that has not run for a while itself has to read first what has come.
  static constexpr std::uint64_t kDoubtMs = 500;

  ProxyProcess(uv_loop_t& loop, Reaper& reaper, ProxyEvents& events);
  ~ProxyProcess();
  ProxyProcess(const ProxyProcess&) = delete;
  ProxyProcess& operator=(const ProxyProcess&) = delete;

  // Once. `members` is the first thing that it hears. The error is one line.
  [[nodiscard]] bool start(const ProxyLaunch& launch, const Message& members, std::string& why);
  // Instead of start(): the child of the supervisor that this process was before. It is ready.
  void adopt(pid_t pid, int channel, std::uint64_t started_ns);
  [[nodiscard]] int channel() const { return channel_ ? channel_->descriptor() : -1; }
  void send(const Message& message, std::span<const int> descriptors = {});
  // The replicas as they are now, and what it has said about others is forgotten.
  void send_members(const Message& members);
  // Of a replica of the last send_members() (or start()) that drains; else nothing comes of it.
  void note_drained(const Message& drained);
  [[nodiscard]] bool has_drained(std::string_view service,
                                 std::uint16_t port,
                                 std::uint32_t life) const;
  void kill();
  [[nodiscard]] bool is_running() const { return pid_ > 0; }
  [[nodiscard]] bool is_ready() const { return is_ready_; }
  [[nodiscard]] bool has_been_ready() const { return has_been_ready_; }  // after its end, too
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::uint64_t started_ns() const { return started_ns_; }
  [[nodiscard]] std::uint64_t started_us() const { return started_us_; }  // wall clock

 private:
  struct Draining {
    std::string service;
    std::uint16_t port = 0;
    std::uint32_t life = 0;
    bool is_drained = false;  // no request is left there
  };

  void note_members(const Message& members);
  void on_exit(pid_t pid, Exit exit) override;
  void on_packet(std::string_view text, std::vector<int> descriptors) override;
  void on_channel_closed() override;
  void on_silent();

  uv_loop_t& loop_;
  Reaper& reaper_;
  ProxyEvents& events_;
  pid_t pid_ = 0;
  bool is_ready_ = false;
  bool has_been_ready_ = false;
  bool is_doubted_ = false;
  bool is_aborted_ = false;
  std::uint64_t started_ns_ = 0;
  std::uint64_t started_us_ = 0;
  std::vector<Draining> draining_;
  std::unique_ptr<Channel> channel_;
  Timer silence_;
};

}  // namespace portunus::supervisor
