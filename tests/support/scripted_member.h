// A member for tests: a real listening socket on a free port of 127.0.0.1 and a script that is run,
// in a thread of its own, for every connection. It can also refuse (bound, not listening) and hang
// (its queue is full, so that connecting never ends). Ends its threads when destroyed.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace portunus::test {

class ScriptedMember;

// One accepted connection, in its script.
class Connection {
 public:
  Connection(int descriptor, ScriptedMember& member) : descriptor_(descriptor), member_(&member) {}

  // Everything up to the end of a head; empty when the peer went away.
  std::string read_head();
  // What comes next; empty at the end.
  std::string read_some();
  // Until the peer closes; the bytes.
  std::string read_to_end();
  bool send(std::string_view bytes);
  // False when the member ends.
  bool wait(int milliseconds);
  // Closes with a RST.
  void reset();

 private:
  int descriptor_;
  ScriptedMember* member_;
};

class ScriptedMember {
 public:
  using Script = std::function<void(Connection&)>;

  explicit ScriptedMember(Script script);
  ~ScriptedMember();
  ScriptedMember(const ScriptedMember&) = delete;
  ScriptedMember& operator=(const ScriptedMember&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] int accepted() const { return accepted_; }
  // All that its connections have read so far.
  [[nodiscard]] std::string heard();
  void forget_heard();
  // The port stays ours, and refuses.
  void refuse();
  void listen_again();
  void set_script(Script script);

  // Answers every request with this and closes.
  static Script answer(std::string text);

 private:
  friend class Connection;
  void listen();
  void accept_loop(int descriptor);
  void serve(int descriptor, const Script& script);
  void stop_accepting();

  std::mutex mutex_;
  std::condition_variable all_closed_;
  Script script_;
  std::string heard_;
  int open_ = 0;
  std::uint16_t port_ = 0;
  int reserved_ = -1;   // bound and never listening: the port stays ours while nobody listens
  int listening_ = -1;  // -1: refuses
  int stop_pipe_[2] = {-1, -1};
  std::atomic<int> accepted_{0};
  std::thread acceptor_;
};

// A port where connecting never ends.
class HangingPort {
 public:
  HangingPort();
  ~HangingPort();
  HangingPort(const HangingPort&) = delete;
  HangingPort& operator=(const HangingPort&) = delete;
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  int listening_ = -1;
  std::vector<int> fillers_;
  std::uint16_t port_ = 0;
};

}  // namespace portunus::test
