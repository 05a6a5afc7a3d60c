#include "supervisor/process.h"

#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "child_fixture.h"

namespace portunus::supervisor {
namespace {

using test::Ended;
using test::run;
using test::shell;
using test::TestFolder;
using test::TestPipe;
using testing::HasSubstr;
using testing::StartsWith;

// ---- how it ends

TEST(SpawnTest, StatusOfExitIsSeen) {
  EXPECT_EQ(run(shell("exit 0")).status, 0);
  EXPECT_EQ(run(shell("exit 42")).status, 42);
}

TEST(SpawnTest, SignalThatEndsItIsSeen) {
  EXPECT_EQ(run(shell("kill -9 $$")).signal, SIGKILL);
}

TEST(SpawnTest, BothOutputsGoToTheOneGiven) {
  EXPECT_EQ(run(shell("echo out; echo err >&2")).output, "out\nerr\n");
}

// ---- its group

TEST(SpawnTest, AGroupIsOursWhileAChildOfOursIsInIt) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  // Its child stays behind when it ends, in the same group, and becomes ours.
  const auto leader = spawn(shell("sleep 1000 & exit 0"));
  ASSERT_TRUE(leader) << leader.error();
  EXPECT_TRUE(has_child_in_group(*leader));
  EXPECT_EQ(::waitpid(*leader, nullptr, 0), *leader);
  EXPECT_TRUE(has_child_in_group(*leader));
  EXPECT_TRUE(signal_group(*leader, SIGKILL));
  siginfo_t ended{};
  EXPECT_EQ(::waitid(P_PGID, static_cast<id_t>(*leader), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(has_child_in_group(*leader)) << "not waited for yet: the number is taken";
  EXPECT_EQ(::waitpid(-*leader, nullptr, 0), ended.si_pid);
  EXPECT_FALSE(has_child_in_group(*leader));
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST(SpawnTest, AStrangersGroupIsNotOurs) {
  EXPECT_EQ(::kill(-::getpgrp(), 0), 0) << "somebody is in it";
  EXPECT_FALSE(has_child_in_group(::getpgrp()));
  EXPECT_FALSE(has_child_in_group(0));
  EXPECT_FALSE(has_child_in_group(1));
}

// ---- which program

TEST(SpawnTest, ProgramIsLookedForInThePathOfTheChild) {
  const TestFolder folder;
  const std::string program = folder.path / "only-here";
  std::ofstream(program) << "#!/bin/sh\necho found \"$@\"\n";
  ::chmod(program.c_str(), 0755);
  Launch launch;
  launch.command = {"only-here", "a b", ""};
  launch.environment = {"PATH=/nowhere::relative:" + folder.path.string()};
  EXPECT_EQ(run(launch).output, "found a b \n");
  launch.environment = {"PATH=/bin"};
  EXPECT_EQ(run(launch).error, "execve only-here: not found in PATH (/bin)");
}

TEST(SpawnTest, WithoutPathTheUsualFoldersAreSearched) {
  Launch launch;
  launch.command = {"sh", "-c", "echo hello"};
  EXPECT_EQ(run(launch).output, "hello\n");
}

TEST(SpawnTest, MissingProgramIsAnErrorAndLeavesNoChild) {
  Launch launch;
  launch.command = {"/nonexistent/program"};
  EXPECT_EQ(run(launch).error, "execve /nonexistent/program: No such file or directory");
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
  launch.command.clear();
  EXPECT_EQ(run(launch).error, "execve: the command is empty");
}

TEST(SpawnTest, FileThatIsNoProgramIsAnError) {
  Launch launch;
  launch.command = {"/etc/passwd"};
  EXPECT_EQ(run(launch).error, "execve /etc/passwd: Permission denied");
  launch.command = {"/etc"};
  EXPECT_EQ(run(launch).error, "execve /etc: Permission denied");
}

TEST(SpawnTest, MissingInterpreterIsNamedAsSuch) {
  const TestFolder folder;
  const std::string program = folder.path / "script";
  std::ofstream(program) << "#!/nonexistent/interpreter\n";
  ::chmod(program.c_str(), 0755);
  Launch launch;
  launch.command = {program};
  EXPECT_EQ(run(launch).error,
            "execve " + program +
                ": No such file or directory (the file is there, its interpreter is not)");
}

// ---- surroundings

TEST(SpawnTest, EnvironmentIsWhatIsGivenAndNothingElse) {
  Launch launch;
  launch.command = {"/usr/bin/env"};
  launch.environment = {"A=1", "B=two words"};
  EXPECT_EQ(run(launch).output, "A=1\nB=two words\n");
}

TEST(SpawnTest, OwnIdIsFilledIn) {
  Launch launch = shell("echo \"$LISTEN_PID $$ $LISTEN_FDS\"");
  launch.environment.insert(launch.environment.end(), {"LISTEN_PID=", "LISTEN_FDS=2"});
  const std::string output = run(launch).output;
  const std::string pid = output.substr(0, output.find(' '));
  EXPECT_GT(std::stol(pid), 1);
  EXPECT_EQ(output, pid + " " + pid + " 2\n");
  launch = shell("echo $LISTEN_PID");
  launch.environment.emplace_back("LISTEN_PID=77");
  EXPECT_EQ(run(launch).output, "77\n");
}

TEST(SpawnTest, WorkingDirectory) {
  Launch launch = shell("pwd");
  launch.working_directory = "/usr";
  EXPECT_EQ(run(launch).output, "/usr\n");
  launch.working_directory = "/nonexistent/folder";
  EXPECT_EQ(run(launch).error, "chdir /nonexistent/folder: No such file or directory");
}

TEST(SpawnTest, SignalsAreDefaultAndNotBlocked) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGUSR1, SIG_IGN);
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);
  sigaddset(&blocked, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  Launch launch;
  launch.command = {"/bin/cat", "/proc/self/status"};
  const std::string output = run(launch).output;
  sigset_t after;
  ::pthread_sigmask(SIG_SETMASK, &before, &after);
  std::signal(SIGUSR1, SIG_DFL);
  EXPECT_THAT(output, HasSubstr("SigBlk:\t0000000000000000\n"));
  EXPECT_THAT(output, HasSubstr("SigIgn:\t0000000000000000\n"));
  EXPECT_THAT(output, HasSubstr("SigCgt:\t0000000000000000\n"));
  EXPECT_EQ(sigismember(&after, SIGTERM), 1);  // ours is as it was
  EXPECT_EQ(sigismember(&after, SIGHUP), 0);
}

TEST(SpawnTest, StandardInputIsAtItsEnd) {
  EXPECT_EQ(run(shell("read line; echo \"$? $(readlink /proc/$$/fd/0)\"")).output, "1 /dev/null\n");
}

// ---- descriptors

// Looks at one number after the other, for which the shell needs no descriptor of its own.
constexpr const char* kListDescriptors =
    "n=0; while [ $n -lt 1024 ]; do [ -e /proc/$$/fd/$n ] && echo $n; n=$((n+1)); done; exit 0";

TEST(SpawnTest, NothingElseIsInherited) {
  // One without CLOEXEC, as a careless library makes it; another far up.
  const int careless = ::open("/dev/null", O_RDONLY);  // NOLINT(android-cloexec-open)
  const int far = ::fcntl(careless, F_DUPFD, 700);
  const std::string output = run(shell(kListDescriptors)).output;
  ::close(careless);
  ::close(far);
  EXPECT_EQ(output, "0\n1\n2\n");
}

TEST(SpawnTest, DescriptorsAreCountedFromThree) {
  const TestFolder folder;
  std::vector<int> files;
  for (const char* const name : {"first", "second", "third"}) {
    std::ofstream(folder.path / name) << name << '\n';
    files.push_back(::open((folder.path / name).c_str(), O_RDONLY | O_CLOEXEC));
  }
  Launch launch = shell(std::string("cat <&3; cat <&4; cat <&5; ") + kListDescriptors);
  launch.descriptors = files;
  EXPECT_EQ(run(launch).output, "first\nsecond\nthird\n0\n1\n2\n3\n4\n5\n");
  for (const int file : files)
    ::lseek(file, 0, SEEK_SET);
  launch.descriptors = {files[0], files[0], files[2]};
  EXPECT_THAT(run(launch).output, StartsWith("first\nthird\n"));  // one file, one position
  for (const int file : files)
    ::close(file);
}

// The sources are among the numbers that they become, in every order.
TEST(SpawnTest, OverlappingDescriptorsAreNotMixedUp) {
  const TestFolder folder;
  std::vector<int> order{3, 4, 5, 6};
  do {
    std::vector<int> saved;
    TestPipe pipe;  // its numbers are taken by what comes
    const int output = ::fcntl(pipe.writing, F_DUPFD_CLOEXEC, 100);
    for (int number = 3; number <= 6; ++number) {
      saved.push_back(::fcntl(number, F_DUPFD_CLOEXEC, 200));
      const std::string name = folder.path / std::to_string(number);
      std::ofstream(name) << number;
      const int file = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
      if (file != number) {
        ::dup3(file, number, O_CLOEXEC);
        ::close(file);
      }
    }
    Launch launch = shell(std::string("cat <&3; cat <&4; cat <&5; cat <&6; ") + kListDescriptors);
    launch.descriptors = order;
    launch.output = output;
    const auto pid = spawn(launch);
    for (std::size_t i = 0; i < saved.size(); ++i) {
      ::close(static_cast<int>(i) + 3);
      if (saved[i] < 0) continue;
      ::dup3(saved[i], static_cast<int>(i) + 3, O_CLOEXEC);
      ::close(saved[i]);
    }
    ::close(output);
    std::string expected;
    for (const int number : order)
      expected += std::to_string(number);
    EXPECT_EQ(pipe.read_all(), expected + "0\n1\n2\n3\n4\n5\n6\n");
    ASSERT_TRUE(pid) << pid.error();
    EXPECT_EQ(test::wait_for(*pid).status, 0);
  } while (std::ranges::next_permutation(order).found);
}

TEST(SpawnTest, OutputMayBeAmongTheDescriptors) {
  TestPipe pipe;
  Launch launch = shell("echo three >&3; echo one");
  launch.output = pipe.writing;
  launch.descriptors = {pipe.writing};
  const auto pid = spawn(launch);
  ASSERT_TRUE(pid) << pid.error();
  EXPECT_EQ(pipe.read_all(), "three\none\n");
  test::wait_for(*pid);
}

TEST(SpawnTest, DescriptorThatIsNotOpenIsAnError) {
  Launch launch = shell("exit 0");
  launch.descriptors = {987};
  EXPECT_EQ(run(launch).error, "dup2: Bad file descriptor");
}

TEST(SpawnTest, ManyStartsLeakNoDescriptor) {
  const std::size_t before = test::open_descriptors();
  Launch launch;
  launch.command = {"/bin/true"};
  Launch wrong;
  wrong.command = {"/nonexistent/program"};
  for (int i = 0; i < 1000; ++i) {
    const auto pid = spawn(launch);
    ASSERT_TRUE(pid) << pid.error();
    ASSERT_EQ(test::wait_for(*pid).status, 0);
    if (i % 10 == 0) {
      ASSERT_FALSE(spawn(wrong));
    }
  }
  EXPECT_EQ(test::open_descriptors(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
}

// ---- groups and signals

TEST(SpawnTest, ChildLeadsAGroup) {
  Launch launch = shell("ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat; echo $$");
  const std::string output = run(launch).output;
  const std::size_t line = output.find('\n');
  ASSERT_NE(line, std::string::npos);
  EXPECT_EQ(std::stol(output.substr(0, line)), std::stol(output.substr(line + 1)));
}

TEST(SignalGroupTest, ReachesGrandchildrenToo) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  TestPipe pipe;
  // Grandchildren that outlive their parent; each holds the pipe open.
  Launch launch = shell("(sleep 300 & sleep 300 & wait) & echo ready; exec sleep 300");
  launch.output = pipe.writing;
  const auto pid = spawn(launch);
  ASSERT_TRUE(pid) << pid.error();
  std::array<char, 6> ready{};
  ASSERT_EQ(::read(pipe.reading, ready.data(), ready.size()), 6);
  EXPECT_TRUE(signal_group(*pid, 0));
  EXPECT_TRUE(signal_group(*pid, SIGKILL));
  EXPECT_EQ(pipe.read_all(), "");  // its end: all of them are gone
  EXPECT_EQ(test::wait_for(*pid).signal, SIGKILL);
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
  EXPECT_FALSE(signal_group(*pid, 0));
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST(SignalGroupTest, NeverMeansEverybody) {
  EXPECT_FALSE(signal_group(0, 0));
  EXPECT_FALSE(signal_group(1, 0));
  EXPECT_FALSE(signal_group(-1, 0));
}

// The starter dies, and what it started gets the signal.
TEST(SpawnTest, DeathOfTheParentIsTold) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  TestPipe pipe;
  const pid_t middle = ::fork();
  ASSERT_GE(middle, 0);
  if (middle == 0) {
    Launch launch = shell("exec sleep 300");
    launch.death_signal = SIGTERM;
    if (::getuid() == 0) launch.identity = *find_identity("nobody");  // would take it away
    const auto pid = spawn(launch);
    const pid_t number = pid.value_or(-1);
    static_cast<void>(!::write(pipe.writing, &number, sizeof number));
    while (true)
      ::pause();
  }
  pid_t child = -1;
  ASSERT_EQ(::read(pipe.reading, &child, sizeof child), static_cast<ssize_t>(sizeof child));
  ::kill(middle, SIGKILL);
  EXPECT_EQ(test::wait_for(middle).signal, SIGKILL);
  ASSERT_GT(child, 1);
  EXPECT_EQ(test::wait_for(child).signal, SIGTERM);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

// ---- limits

TEST(SpawnTest, NoCoreIsDumpedUnlessAllowed) {
  rlimit before{};
  ::getrlimit(RLIMIT_CORE, &before);
  if (before.rlim_max == 0) GTEST_SKIP() << "no core is allowed here anyway";
  rlimit allowed = before;
  allowed.rlim_cur = allowed.rlim_max;
  ::setrlimit(RLIMIT_CORE, &allowed);
  Launch launch = shell("ulimit -Sc; ulimit -Hc");
  EXPECT_EQ(run(launch).output, "0\n0\n");
  launch.may_dump_core = true;
  EXPECT_EQ(run(launch).output.find('0'), std::string::npos);
  ::setrlimit(RLIMIT_CORE, &before);
}

TEST(SpawnTest, LimitsOfMemoryAndDescriptors) {
  Launch launch = shell("ulimit -v; ulimit -n");
  launch.address_space_bytes = std::uint64_t{256} << 20U;
  launch.descriptors_max = 123;
  EXPECT_EQ(run(launch).output, "262144\n123\n");
}

TEST(SpawnTest, ItIsKeptToItsCpusWithAllThatItStarts) {
  const Cpus all = cpus_of(0);
  Launch launch = shell("nproc; (grep Cpus_allowed_list /proc/self/status)");
  EXPECT_THAT(run(launch).output, StartsWith(std::to_string(all.size()) + "\n"));
  launch.cpus = {all.back()};
  EXPECT_EQ(run(launch).output, "1\nCpus_allowed_list:\t" + std::to_string(all.back()) + "\n");
  EXPECT_EQ(cpus_of(0), all) << "ours are as they were";
}

TEST(SpawnTest, CpusThatThereAreNotAreAnError) {
  Launch launch = shell("exit 0");
  launch.cpus = {1022, 1023};
  if (cpus_of(0).back() >= 1022) GTEST_SKIP() << "there are";
  EXPECT_EQ(run(launch).error, "sched_setaffinity 1022,1023: Invalid argument");
}

TEST(SpawnTest, CgroupIsEnteredByItsFile) {
  const TestFolder folder;
  Launch launch = shell("echo $$");
  launch.cgroup = folder.path;
  EXPECT_EQ(run(launch).error, "enter cgroup " + launch.cgroup + ": No such file or directory");
  std::ofstream(folder.path / "cgroup.procs").close();
  const std::string pid = run(launch).output;
  std::string written;
  std::ifstream(folder.path / "cgroup.procs") >> written;
  EXPECT_EQ(written + "\n", pid);
}

// ---- identity

constexpr const char* kShowIdentity =
    "grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs):' /proc/$$/status";

TEST(SpawnTest, IdentityIsChangedAndNoCapabilityIsLeft) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root";
  Launch launch = shell(kShowIdentity);
  launch.identity = Identity{12345, 23456, {23456, 34567}, "test", "/"};
  EXPECT_EQ(run(launch).output,
            "Uid:\t12345\t12345\t12345\t12345\nGid:\t23456\t23456\t23456\t23456\n"
            "Groups:\t23456 34567 \n"
            "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
            "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n");
}

TEST(SpawnTest, RootWithoutCapabilitiesIsPossible) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root";
  Launch launch = shell(kShowIdentity);
  launch.identity = *find_identity("root");
  const std::string output = run(launch).output;
  EXPECT_THAT(output, StartsWith("Uid:\t0\t0\t0\t0\n"));
  EXPECT_THAT(output, HasSubstr("CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"));
}

TEST(SpawnTest, WithoutIdentityNothingIsChanged) {
  Launch launch = shell("grep -E '^(Uid|Gid|Groups|Cap...):' /proc/$$/status");
  launch.no_new_privileges = false;
  std::ifstream file("/proc/self/status");
  std::string ours;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("Uid") || line.starts_with("Gid") || line.starts_with("Groups") ||
        (line.starts_with("Cap") && line.find(':') == 6)) {
      ours += line + '\n';
    }
  }
  EXPECT_EQ(run(launch).output, ours);
}

// The folder is looked into as the new user, not as root.
TEST(SpawnTest, WorkingDirectoryOfTheNewIdentity) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root";
  const TestFolder folder;  // 0700, ours
  Launch launch = shell("pwd");
  launch.identity = *find_identity("nobody");
  launch.working_directory = folder.path;
  EXPECT_EQ(run(launch).error, "chdir " + folder.path.string() + ": Permission denied");
}

TEST(SpawnTest, OutputMayBeOpenedAnewByTheNewIdentity) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root";
  Launch launch = shell("echo hello > /dev/stdout");
  launch.identity = *find_identity("nobody");
  EXPECT_EQ(run(launch).output, "hello\n");
}

TEST(SpawnTest, IdentityThatIsNotPermittedIsAnError) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become somebody who may not";
  const pid_t middle = ::fork();
  if (middle == 0) {
    Launch launch;
    launch.command = {"/bin/true"};
    const Identity nobody = *find_identity("nobody");
    launch.identity = Identity{0, 0, {0}, "root", "/"};
    if (::setgroups(0, nullptr) != 0 || ::setgid(nobody.gid) != 0 || ::setuid(nobody.uid) != 0) {
      ::_exit(10);
    }
    const auto refused = spawn(launch);
    if (refused || refused.error() != "setgroups root: Operation not permitted") ::_exit(11);
    launch.identity = nobody;  // it is that already
    const auto same = spawn(launch);
    ::_exit(same && test::wait_for(*same).status == 0 ? 0 : 12);
  }
  EXPECT_EQ(test::wait_for(middle).status, 0);
}

TEST(FindIdentityTest, ByNameAndByNumber) {
  const auto root = find_identity("root");
  ASSERT_TRUE(root) << root.error();
  EXPECT_EQ(root->uid, 0U);
  EXPECT_EQ(root->name, "root");
  EXPECT_EQ(root->home, "/root");
  EXPECT_THAT(root->groups, testing::Contains(0U));
  const auto nobody = find_identity("nobody");
  ASSERT_TRUE(nobody) << nobody.error();
  const auto same = find_identity(std::to_string(nobody->uid));
  ASSERT_TRUE(same) << same.error();
  EXPECT_EQ(same->name, "nobody");
  EXPECT_EQ(same->gid, nobody->gid);
}

TEST(FindIdentityTest, NumberWithoutAName) {
  const auto found = find_identity("3999999999");
  ASSERT_TRUE(found) << found.error();
  EXPECT_EQ(found->uid, 3999999999U);
  EXPECT_EQ(found->gid, 3999999999U);  // not root's group
}

TEST(FindIdentityTest, WhatIsNobodyIsAnError) {
  EXPECT_EQ(find_identity("no-such-user").error(), "user \"no-such-user\": no such user");
  EXPECT_EQ(find_identity("").error(), "user \"\": no such user");
  EXPECT_FALSE(find_identity("4294967295"));  // would mean: unchanged
  EXPECT_FALSE(find_identity("4294967296"));  // would be root, cut to 32 bits
}

}  // namespace
}  // namespace portunus::supervisor
