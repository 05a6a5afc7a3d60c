#include "supervisor/child.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace portunus::supervisor {
namespace {

constexpr int kFirstPassed = 3;
constexpr int kNotStarted = 127;  // as shells say it; nobody sees it but an orphan's reaper
constexpr rlim_t kMostToClose = 1U << 20U;

[[noreturn]] void fail(int report, ChildStep step) {
  const ChildFailure failure{step, errno};
  // Nothing can be done when nobody reads it.
  static_cast<void>(!::write(report, &failure, sizeof failure));
  ::_exit(kNotStarted);
}

// Not std::to_chars: nothing says that it is async-signal-safe.
std::size_t put_digits(char* at, pid_t number) {
  char reversed[kPidDigits];
  std::size_t count = 0;
  for (auto rest = static_cast<unsigned>(number); rest != 0 && count < kPidDigits - 1; rest /= 10)
    reversed[count++] = static_cast<char>('0' + rest % 10);
  for (std::size_t i = 0; i < count; ++i)
    at[i] = reversed[count - 1 - i];
  return count;
}

void reset_signals() {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number)
    ::sigaction(number, &action, nullptr);  // KILL, STOP and the library's own ones refuse
  sigset_t none;
  sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

void close_from(int first) {
  if (::syscall(SYS_close_range, first, ~0U, 0U) == 0) return;
  rlimit limit{};  // before Linux 5.9
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const int end = static_cast<int>(std::min(limit.rlim_cur, kMostToClose));
  for (int descriptor = first; descriptor < end; ++descriptor)
    ::close(descriptor);
}

// Everything is first moved above the numbers wanted, since those may be among the sources; then
// 0 to 2 and the given ones are put down, the report behind them, and the rest is closed. Gives the
// report's new number.
int place_descriptors(const ChildPlan& plan) {
  const int end = kFirstPassed + static_cast<int>(plan.descriptor_count);
  const auto move_away = [&plan, end](int descriptor) {
    const int moved = ::fcntl(descriptor, F_DUPFD_CLOEXEC, end + 1);
    if (moved < 0) fail(plan.report, ChildStep::descriptors);
    return moved;
  };
  const int report = move_away(plan.report);
  const int output = plan.output < 0 ? -1 : move_away(plan.output);
  for (std::size_t i = 0; i < plan.descriptor_count; ++i)
    plan.moved[i] = move_away(plan.descriptors[i]);
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) fail(plan.report, ChildStep::null_device);
  null = move_away(null);

  const auto put = [report](int from, int to) {
    if (::dup2(from, to) < 0) fail(report, ChildStep::descriptors);
  };
  put(null, STDIN_FILENO);
  for (const int standard : {STDOUT_FILENO, STDERR_FILENO}) {
    if (output >= 0) {
      put(output, standard);
    } else if (::fcntl(standard, F_GETFD) < 0) {
      put(null, standard);  // or the program's first file would become its output
    }
  }
  for (std::size_t i = 0; i < plan.descriptor_count; ++i)
    put(plan.moved[i], kFirstPassed + static_cast<int>(i));
  if (::dup3(report, end, O_CLOEXEC) < 0) fail(report, ChildStep::descriptors);
  close_from(end + 1);
  return end;
}

void enter_cgroup(const ChildPlan& plan, int report) {
  if (plan.cgroup_file == nullptr) return;
  char digits[kPidDigits];
  const std::size_t count = put_digits(digits, ::getpid());
  const int file = ::open(plan.cgroup_file, O_WRONLY | O_CLOEXEC);
  if (file < 0 || ::write(file, digits, count) != static_cast<ssize_t>(count)) {
    fail(report, ChildStep::cgroup);
  }
  ::close(file);
}

// The kernel's call: what the library's does besides is nowhere said.
void keep_to_cpus(const ChildPlan& plan, int report) {
  if (plan.cpus == nullptr) return;
  if (::syscall(SYS_sched_setaffinity, 0, sizeof *plan.cpus, plan.cpus) != 0) {
    fail(report, ChildStep::cpus);
  }
}

void set_limit(int what, std::uint64_t most, ChildStep step, int report) {
  const rlimit limit{most, most};
  // glibc gives the first argument a type of its own.
  if (::setrlimit(static_cast<__rlimit_resource_t>(what), &limit) != 0) fail(report, step);
}

// Below what holds already, a limit of ours would ask for more; the narrower one stays.
void limit_address_space(const ChildPlan& plan, int report) {
  if (plan.address_space_bytes == 0) return;
  rlimit now{};
  ::getrlimit(RLIMIT_AS, &now);
  const std::uint64_t most = std::min<std::uint64_t>(plan.address_space_bytes, now.rlim_max);
  set_limit(RLIMIT_AS, most, ChildStep::address_space_limit, report);
}

void drop_capabilities(int report) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3]{};
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (::syscall(SYS_capset, &header, none) != 0) fail(report, ChildStep::capabilities);
}

// The kernel's calls, not the library's: those of the library reach for the process's other threads,
// and those are not here.
static_assert(sizeof(void*) == 8, "elsewhere these calls have 16-bit numbers");
bool set_groups(const ChildPlan& plan) {
  return ::syscall(SYS_setgroups, plan.group_count, plan.groups) == 0;
}
bool set_group(gid_t gid) {
  return ::syscall(SYS_setresgid, gid, gid, gid) == 0;
}
bool set_user(uid_t uid) {
  return ::syscall(SYS_setresuid, uid, uid, uid) == 0;
}

void become(const ChildPlan& plan, int report) {
  if (!plan.has_identity) return;
  // Not permitted when we are not root; then there is nothing to drop either. Ends beyond the last.
  for (unsigned long capability = 0; ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0;)
    ++capability;
  const bool is_already = plan.uid == ::geteuid() && plan.gid == ::getegid();
  if (!set_groups(plan) && !(errno == EPERM && is_already)) {
    fail(report, ChildStep::groups);
  }
  if (!set_group(plan.gid)) fail(report, ChildStep::group);
  if (!set_user(plan.uid)) fail(report, ChildStep::user);
  uid_t uids[3]{};
  gid_t gids[3]{};
  errno = EPERM;
  if (::getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
      ::getresgid(&gids[0], &gids[1], &gids[2]) != 0 ||
      std::ranges::any_of(uids, [&plan](uid_t uid) { return uid != plan.uid; }) ||
      std::ranges::any_of(gids, [&plan](gid_t gid) { return gid != plan.gid; })) {
    fail(report, ChildStep::identity);
  }
  drop_capabilities(report);
}

// After the identity: a change of that takes the death signal away.
void bind_to_parent(const ChildPlan& plan, int report) {
  if (plan.death_signal == 0) return;
  if (::prctl(PR_SET_PDEATHSIG, plan.death_signal, 0, 0, 0) != 0) {
    fail(report, ChildStep::death_signal);
  }
  if (::getppid() != plan.parent) ::_exit(kNotStarted);  // it died before there was a signal
}

}  // namespace

void run_child(const ChildPlan& plan) {
  if (::setpgid(0, 0) != 0) fail(plan.report, ChildStep::process_group);
  reset_signals();
  const int report = place_descriptors(plan);
  enter_cgroup(plan, report);
  keep_to_cpus(plan, report);
  if (plan.descriptors_max != 0) {
    set_limit(RLIMIT_NOFILE, plan.descriptors_max, ChildStep::descriptor_limit, report);
  }
  if (!plan.may_dump_core) set_limit(RLIMIT_CORE, 0, ChildStep::core_limit, report);
  become(plan, report);
  if (plan.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    fail(report, ChildStep::privileges);
  }
  bind_to_parent(plan, report);
  if (plan.working_directory != nullptr && ::chdir(plan.working_directory) != 0) {
    fail(report, ChildStep::working_directory);
  }
  if (plan.own_pid != nullptr) plan.own_pid[put_digits(plan.own_pid, ::getpid())] = '\0';
  limit_address_space(plan, report);  // last: it holds for us, too
  ::execve(plan.program, plan.arguments, plan.environment);
  fail(report, ChildStep::execute);
}

}  // namespace portunus::supervisor
