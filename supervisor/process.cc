#include "supervisor/process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <string_view>

#include "supervisor/child.h"

namespace portunus::supervisor {
namespace {

constexpr std::string_view kOwnPid = "LISTEN_PID=";
constexpr std::string_view kUsualPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
// A child that has not come to execve() by then hangs on a file system; we must not.
constexpr int kPatienceMs = 10'000;

std::string text_of(int error) {
  const char* const text = ::strerrordesc_np(error);
  return text == nullptr ? "error " + std::to_string(error) : text;
}

// ---- which file is run

bool is_program(const std::string& path) {
  struct stat about{};
  return ::stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode) &&
         (about.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) != 0;
}

std::string_view path_of(const std::vector<std::string>& environment) {
  for (const std::string& entry : environment) {
    if (entry.starts_with("PATH=")) return std::string_view(entry).substr(5);
  }
  return kUsualPath;
}

std::expected<std::string, std::string> find_program(const Launch& launch) {
  if (launch.command.empty() || launch.command.front().empty()) {
    return std::unexpected("execve: the command is empty");
  }
  const std::string& name = launch.command.front();
  if (name.find('/') != std::string::npos) return name;
  const std::string_view path = path_of(launch.environment);
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find(':', at), path.size());
    const std::string_view folder = path.substr(at, end - at);
    at = end + 1;
    if (!folder.starts_with('/')) continue;  // where we stand says nothing about where it will
    std::string candidate = std::string(folder) + '/' + name;
    if (is_program(candidate)) return candidate;
  }
  return std::unexpected("execve " + name + ": not found in PATH (" + std::string(path) + ")");
}

// ---- what the child needs, made before fork()

// With room for the child's own id behind `LISTEN_PID=`.
struct Words {
  std::vector<std::string> texts;
  std::vector<char*> pointers;  // NULL at the end
  char* own_pid = nullptr;

  explicit Words(const std::vector<std::string>& from) : texts(from) {
    for (std::string& text : texts) {
      const bool is_own_pid = text == kOwnPid;
      if (is_own_pid) text.append(kPidDigits, '\0');
      pointers.push_back(text.data());
      if (is_own_pid) own_pid = text.data() + kOwnPid.size();
    }
    pointers.push_back(nullptr);
  }
  ~Words() = default;
  Words(const Words&) = delete;
  Words& operator=(const Words&) = delete;
};

// ---- what is said when it fails

struct StepText {
  const char* name;
  std::string subject;
};

std::string text_of(const Cpus& cpus) {
  std::string text;
  for (const std::uint32_t cpu : cpus)
    text += (text.empty() ? "" : ",") + std::to_string(cpu);
  return text;
}

StepText text_of(ChildStep step, const Launch& launch, const std::string& program) {
  const std::string who = launch.identity ? launch.identity->name : "";
  switch (step) {
    case ChildStep::process_group:
      return {"setpgid", ""};
    case ChildStep::null_device:
      return {"open", "/dev/null"};
    case ChildStep::descriptors:
      return {"dup2", ""};
    case ChildStep::cgroup:
      return {"enter cgroup", launch.cgroup};
    case ChildStep::cpus:
      return {"sched_setaffinity", text_of(launch.cpus)};
    case ChildStep::descriptor_limit:
      return {"setrlimit RLIMIT_NOFILE", std::to_string(launch.descriptors_max)};
    case ChildStep::core_limit:
      return {"setrlimit RLIMIT_CORE", "0"};
    case ChildStep::groups:
      return {"setgroups", who};
    case ChildStep::group:
      return {"setresgid", who};
    case ChildStep::user:
      return {"setresuid", who};
    case ChildStep::identity:
      return {"verify identity", who};
    case ChildStep::capabilities:
      return {"capset", ""};
    case ChildStep::privileges:
      return {"prctl PR_SET_NO_NEW_PRIVS", ""};
    case ChildStep::death_signal:
      return {"prctl PR_SET_PDEATHSIG", ""};
    case ChildStep::working_directory:
      return {"chdir", launch.working_directory};
    case ChildStep::address_space_limit:
      return {"setrlimit RLIMIT_AS", ""};
    case ChildStep::execute:
      return {"execve", program};
  }
  return {"start", ""};
}

std::string describe(const ChildFailure& failure,
                     const Launch& launch,
                     const std::string& program) {
  const StepText step = text_of(failure.step, launch, program);
  std::string text = step.name;
  if (!step.subject.empty()) text += ' ' + step.subject;
  text += ": " + text_of(failure.error);
  // The kernel has one word for two things.
  if (failure.step == ChildStep::execute && failure.error == ENOENT && program.starts_with('/') &&
      is_program(program)) {
    text += " (the file is there, its interpreter is not)";
  }
  return text;
}

// ---- fork, and what the child reports

struct Pipe {
  int reading = -1;
  int writing = -1;

  Pipe() = default;
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_writing();
    if (reading >= 0) ::close(reading);
  }
  bool open() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return false;
    reading = ends[0];
    writing = ends[1];
    return true;
  }
  void close_writing() {
    if (writing >= 0) ::close(writing);
    writing = -1;
  }
};

// A program opens /dev/stdout anew, as some do, only when the pipe is its own.
void give_output(const Launch& launch) {
  struct stat about{};
  if (!launch.identity || launch.output < 0 || ::fstat(launch.output, &about) != 0) return;
  if (!S_ISFIFO(about.st_mode)) return;
  static_cast<void>(!::fchown(launch.output, launch.identity->uid, launch.identity->gid));
}

// No handler of ours runs in the child before it has the default actions. Nor do those of
// pthread_atfork: libuv's opens a pipe there, on numbers that may have been given to the child.
pid_t fork_quietly(const ChildPlan& plan) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::_Fork();
  if (pid == 0) run_child(plan);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

enum class Report : std::uint8_t { started, failed, hangs };

Report read_report(int pipe, ChildFailure& failure) {
  pollfd wanted{pipe, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&wanted, 1, kPatienceMs);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return Report::hangs;
  ssize_t count = 0;
  do {
    count = ::read(pipe, &failure, sizeof failure);
  } while (count < 0 && errno == EINTR);
  return count == sizeof failure ? Report::failed : Report::started;
}

void bury(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

std::expected<pid_t, std::string> spawn(const Launch& launch) {
  auto program = find_program(launch);
  if (!program) return std::unexpected(std::move(program.error()));
  Words arguments(launch.command);
  Words environment(launch.environment);
  std::vector<int> moved(launch.descriptors.size());
  const std::string cgroup_file = launch.cgroup.empty() ? "" : launch.cgroup + "/cgroup.procs";
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  for (const std::uint32_t cpu : launch.cpus)
    CPU_SET(cpu, &cpus);
  Pipe report;
  if (!report.open()) return std::unexpected("pipe: " + text_of(errno));

  ChildPlan plan;
  plan.program = program->c_str();
  plan.arguments = arguments.pointers.data();
  plan.environment = environment.pointers.data();
  plan.own_pid = environment.own_pid;
  if (!launch.working_directory.empty()) plan.working_directory = launch.working_directory.c_str();
  if (!cgroup_file.empty()) plan.cgroup_file = cgroup_file.c_str();
  if (!launch.cpus.empty()) plan.cpus = &cpus;
  plan.descriptors = launch.descriptors.data();
  plan.moved = moved.data();
  plan.descriptor_count = moved.size();
  plan.output = launch.output;
  plan.report = report.writing;
  if (launch.identity) {
    plan.has_identity = true;
    plan.uid = launch.identity->uid;
    plan.gid = launch.identity->gid;
    plan.groups = launch.identity->groups.data();
    plan.group_count = launch.identity->groups.size();
  }
  plan.address_space_bytes = launch.address_space_bytes;
  plan.descriptors_max = launch.descriptors_max;
  plan.death_signal = launch.death_signal;
  plan.parent = ::getpid();
  plan.may_dump_core = launch.may_dump_core;
  plan.no_new_privileges = launch.no_new_privileges;

  give_output(launch);
  const pid_t pid = fork_quietly(plan);
  if (pid < 0) return std::unexpected("fork: " + text_of(errno));
  ::setpgid(pid, pid);  // the child does it too: whoever of both is first
  report.close_writing();
  ChildFailure failure;
  switch (read_report(report.reading, failure)) {
    case Report::started:
      return pid;
    case Report::failed:
      bury(pid);
      return std::unexpected(describe(failure, launch, *program));
    case Report::hangs:
      break;
  }
  ::kill(-pid, SIGKILL);  // not waited for: it may hang in the kernel. The reaper meets a stranger.
  return std::unexpected("execve " + *program + ": not reached within " +
                         std::to_string(kPatienceMs / 1000) + " s");
}

bool signal_group(pid_t leader, int number) {
  if (leader <= 1) return false;  // kill() reads 0 and -1 as "everybody"
  return ::kill(-leader, number) == 0 || errno == EPERM;
}

bool has_child_in_group(pid_t leader) {
  siginfo_t ignored{};
  return leader > 1 &&
         ::waitid(P_PGID, static_cast<id_t>(leader), &ignored, WEXITED | WNOHANG | WNOWAIT) == 0;
}

std::expected<Identity, std::string> find_identity(const std::string& user) {
  constexpr auto kNobody = static_cast<uid_t>(-1);  // "unchanged" for setresuid(2)
  std::uint64_t number = 0;
  const char* const end = user.data() + user.size();
  const auto [at, error] = std::from_chars(user.data(), end, number);
  const bool is_number = !user.empty() && at == end && error == std::errc{};
  if (user.empty() || (is_number && number >= kNobody)) {
    return std::unexpected("user \"" + user + "\": no such user");
  }
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> space(16384);
  int failure = ERANGE;
  while (failure == ERANGE && space.size() <= (std::size_t{1} << 20U)) {
    failure = is_number ? ::getpwuid_r(static_cast<uid_t>(number), &entry, space.data(),
                                       space.size(), &found)
                        : ::getpwnam_r(user.c_str(), &entry, space.data(), space.size(), &found);
    if (failure == ERANGE) space.resize(space.size() * 2);
  }
  if (found == nullptr && is_number) {  // containers have users without a name
    const auto id = static_cast<uid_t>(number);
    return Identity{id, id, {id}, user, "/"};
  }
  if (found == nullptr) {
    return std::unexpected("user \"" + user +
                           "\": " + (failure == 0 ? "no such user" : text_of(failure)));
  }
  Identity identity{entry.pw_uid, entry.pw_gid, {}, entry.pw_name, entry.pw_dir};
  int count = 64;
  identity.groups.resize(64);
  while (::getgrouplist(entry.pw_name, entry.pw_gid, identity.groups.data(), &count) < 0 &&
         count > static_cast<int>(identity.groups.size())) {
    identity.groups.resize(static_cast<std::size_t>(count));
  }
  identity.groups.resize(static_cast<std::size_t>(std::max(count, 0)));
  return identity;
}

}  // namespace portunus::supervisor
