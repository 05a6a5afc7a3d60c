// Real children for the supervisor's tests: what they print, how they end, and what is left open
// here.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "supervisor/process.h"

namespace portunus::test {

struct TestPipe {
  TestPipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) std::abort();
    reading = ends[0];
    writing = ends[1];
  }
  ~TestPipe() {
    close_writing();
    ::close(reading);
  }
  TestPipe(const TestPipe&) = delete;
  TestPipe& operator=(const TestPipe&) = delete;
  void close_writing() {
    if (writing >= 0) ::close(writing);
    writing = -1;
  }
  // Until the last writer has closed; what is there after ten seconds otherwise.
  std::string read_all() {
    close_writing();
    std::string text;
    pollfd wanted{reading, POLLIN, 0};
    while (::poll(&wanted, 1, 10'000) > 0) {
      std::array<char, 4096> bytes{};
      const ssize_t count = ::read(reading, bytes.data(), bytes.size());
      if (count == 0) return text;
      if (count > 0) text.append(bytes.data(), static_cast<std::size_t>(count));
      if (count < 0 && errno != EINTR) break;
    }
    return text + "(not closed)";
  }
  int reading = -1;
  int writing = -1;
};

struct Ended {
  int status = -1;
  int signal = 0;
  std::string output;
  std::string error;  // of spawn()
};

inline Ended wait_for(pid_t pid) {
  Ended ended;
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) ended.status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) ended.signal = WTERMSIG(status);
  return ended;
}

// Runs it to its end.
inline Ended run(supervisor::Launch launch) {
  TestPipe pipe;
  launch.output = pipe.writing;
  const auto pid = supervisor::spawn(launch);
  if (!pid) return {-1, 0, "", pid.error()};
  std::string output = pipe.read_all();
  Ended ended = wait_for(*pid);
  ended.output = std::move(output);
  return ended;
}

inline supervisor::Launch shell(const std::string& script) {
  supervisor::Launch launch;
  launch.command = {"/bin/sh", "-c", script};
  launch.environment = {"PATH=/usr/bin:/bin"};
  return launch;
}

inline std::size_t open_descriptors() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    static_cast<void>(entry);
    ++count;
  }
  return count;
}

// A folder of this test, gone at its end.
class TestFolder {
 public:
  TestFolder() {
    std::string name = std::filesystem::temp_directory_path() / "portunus-test-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path = name;
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  std::filesystem::path path;
};

}  // namespace portunus::test
