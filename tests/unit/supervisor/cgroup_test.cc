#include "supervisor/cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "child_fixture.h"
#include "supervisor/small_file.h"

namespace portunus::supervisor {
namespace {

using test::shell;
using test::TestFolder;
using testing::EndsWith;
using testing::HasSubstr;

// ---- where we are

constexpr const char* kMounts =
    "24 30 0:22 / /sys rw - sysfs sysfs rw\n"
    "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";

TEST(FindOwnCgroupTest, MountAndGroupAreJoined) {
  EXPECT_EQ(find_own_cgroup(kMounts, "0::/system.slice/portunus.service\n"),
            "/sys/fs/cgroup/system.slice/portunus.service");
  EXPECT_EQ(find_own_cgroup(kMounts, "4:memory:/a\n0::/\n"), "/sys/fs/cgroup");
}

TEST(FindOwnCgroupTest, MountOfAPartOfTheTree) {
  const std::string mounts = "35 24 0:30 /docker/abc /cg ro - cgroup2 cgroup2 rw\n";
  EXPECT_EQ(find_own_cgroup(mounts, "0::/docker/abc\n"), "/cg");
  EXPECT_EQ(find_own_cgroup(mounts, "0::/docker/abc/web\n"), "/cg/web");
  EXPECT_EQ(find_own_cgroup(mounts, "0::/docker/abcdef\n"), "");
  EXPECT_EQ(find_own_cgroup(mounts, "0::/other\n"), "");
}

TEST(FindOwnCgroupTest, NoneWithoutVersionTwo) {
  EXPECT_EQ(
      find_own_cgroup("25 24 0:3 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", "1:cpu:/x\n"),
      "");
  EXPECT_EQ(find_own_cgroup(kMounts, "0::/../outside\n"), "");
  EXPECT_EQ(find_own_cgroup("", ""), "");
}

// ---- what is written, on a plain folder

class PlainCgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    put("cgroup.events", "populated 1\n");
    put("cgroup.controllers", "cpuset cpu io memory pids\n");
    put("cgroup.subtree_control", "");
  }
  void put(const std::string& name, const std::string& text) const {
    std::ofstream(folder_.path / name) << text;
  }
  [[nodiscard]] std::string get(const std::string& name) const {
    std::ifstream file(folder_.path / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  TestFolder folder_;
};

TEST_F(PlainCgroupTest, WeGoIntoALeafAndReplicasGetLimits) {
  const CgroupTree tree(folder_.path);
  ASSERT_TRUE(tree.is_available()) << tree.problem();
  EXPECT_EQ(get("portunus-supervisor/cgroup.procs"), std::to_string(::getpid()));
  EXPECT_TRUE(tree.has_memory());
  EXPECT_TRUE(tree.has_cpu());
  EXPECT_EQ(get("cgroup.subtree_control"), "+cpu");  // the last one written
  const auto group = tree.add("web-0", {std::uint64_t{512} << 20U, 150});
  ASSERT_TRUE(group) << group.error();
  EXPECT_EQ(*group, folder_.path / "portunus-web-0");
  EXPECT_EQ(get("portunus-web-0/memory.max"), "536870912");
  EXPECT_EQ(get("portunus-web-0/cpu.max"), "150000 100000");
  EXPECT_EQ(get("portunus-web-0/memory.oom.group"), "1");
  ASSERT_TRUE(tree.add("web-0", {}));  // again, after a reload
  EXPECT_EQ(get("portunus-web-0/memory.max"), "max");
  EXPECT_EQ(get("portunus-web-0/cpu.max"), "max 100000");
}

TEST_F(PlainCgroupTest, LeafIsTakenForItsParentAfterAnUpgrade) {
  const CgroupTree first(folder_.path);
  const CgroupTree second(folder_.path / "portunus-supervisor");
  ASSERT_TRUE(second.is_available()) << second.problem();
  EXPECT_FALSE(std::filesystem::exists(folder_.path / "portunus-supervisor/portunus-supervisor"));
}

TEST_F(PlainCgroupTest, MissingControllerIsSaidAndItsLimitLeftOut) {
  put("cgroup.controllers", "cpu\n");
  const CgroupTree tree(folder_.path);
  EXPECT_TRUE(tree.is_available());
  EXPECT_FALSE(tree.has_memory());
  EXPECT_EQ(tree.problem(), "no controller memory");
  ASSERT_TRUE(tree.add("web-0", {1'000'000, 50}));
  EXPECT_FALSE(std::filesystem::exists(folder_.path / "portunus-web-0/memory.max"));
  EXPECT_EQ(get("portunus-web-0/cpu.max"), "50000 100000");
}

TEST_F(PlainCgroupTest, NotAvailableWhereItIsNotOurs) {
  EXPECT_FALSE(CgroupTree("").is_available());
  EXPECT_EQ(CgroupTree("").problem(), "there is no cgroup v2");
  std::filesystem::remove(folder_.path / "cgroup.events");
  const CgroupTree root(folder_.path);
  EXPECT_FALSE(root.is_available());
  EXPECT_THAT(root.problem(), EndsWith("is not a group of our own"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path / "portunus-supervisor"));
  EXPECT_EQ(root.add("web-0", {}).error(), root.problem());
}

TEST_F(PlainCgroupTest, UsageIsReadFromItsFiles) {
  EXPECT_FALSE(cgroup_usage(folder_.path));
  put("cpu.stat", "usage_usec 1234567\nuser_usec 1000000\n");
  put("memory.current", "4096000\n");
  put("memory.events", "low 0\nhigh 0\noom 3\noom_kill 2\noom_group_kill 1\n");
  const auto usage = cgroup_usage(folder_.path);
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->cpu_us, 1'234'567U);
  EXPECT_EQ(usage->memory_bytes, 4'096'000U);
  EXPECT_EQ(usage->oom_kills, 2U);
}

// ---- the kernel's own, where it lets us

// A group beside ours, for this test alone. The machine may have bound memory and cpu to v1.
class KernelCgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string own = find_own_cgroup();
    root_ = own + "/portunus-test-" + std::to_string(::getpid());
    if (own.empty() || ::mkdir(root_.c_str(), 0755) != 0) {
      root_.clear();
      GTEST_SKIP() << "no writable cgroup v2 here";
    }
  }
  void TearDown() override {
    if (root_.empty()) return;
    for (const auto& entry : std::filesystem::directory_iterator(root_)) {
      if (entry.is_directory()) ::rmdir(entry.path().c_str());
    }
    EXPECT_EQ(::rmdir(root_.c_str()), 0) << root_;
  }
  std::string root_;
};

TEST_F(KernelCgroupTest, ReplicaIsPutIntoItsGroupAndKilledThere) {
  // In a child that goes into the group first, as a service manager would have put it there.
  const pid_t middle = ::fork();
  ASSERT_GE(middle, 0);
  if (middle == 0) {
    if (!write_small_file(root_ + "/cgroup.procs", std::to_string(::getpid()))) ::_exit(10);
    const std::string own = find_own_cgroup();
    if (own != root_) ::_exit(11);
    const CgroupTree tree(own);
    if (!tree.is_available()) ::_exit(12);
    if (find_own_cgroup() != root_ + "/portunus-supervisor") ::_exit(13);
    const auto group = tree.add("web-0", {std::uint64_t{64} << 20U, 50});
    if (!group) ::_exit(14);
    // It flees into a session of its own, out of its process group's reach.
    test::TestPipe pipe;
    Launch launch = shell("setsid sleep 300 & cat /proc/self/cgroup; exec sleep 300");
    launch.cgroup = *group;
    if (::getuid() == 0) launch.identity = *find_identity("nobody");
    launch.output = pipe.writing;
    const auto pid = spawn(launch);
    if (!pid) ::_exit(15);
    std::array<char, 4096> text{};
    std::string groups;
    while (groups.find("/portunus-web-0\n") == std::string::npos) {
      const ssize_t count = ::read(pipe.reading, text.data(), text.size());
      if (count <= 0) ::_exit(16);
      groups.append(text.data(), static_cast<std::size_t>(count));
    }
    const auto usage = cgroup_usage(*group);
    if (!usage || usage->cpu_us == 0) ::_exit(17);
    if (remove_cgroup(*group)) ::_exit(18);  // there are processes in it
    if (!kill_cgroup(*group)) ::_exit(19);
    if (pipe.read_all().find("not closed") != std::string::npos) ::_exit(20);
    if (test::wait_for(*pid).signal != SIGKILL) ::_exit(21);
    for (int tries = 0; !remove_cgroup(*group); ++tries) {
      if (tries == 1'000) ::_exit(22);
      ::poll(nullptr, 0, 5);  // the orphan's zombie is the init process's
    }
    ::_exit(cgroup_usage(*group) ? 23 : 0);
  }
  EXPECT_EQ(test::wait_for(middle).status, 0);
}

// ---- without cgroups

TEST(ProcessUsageTest, NameOfTheProgramMayBeAnything) {
  const std::string stat =
      "42 (a) R 1 (b) S 1 42 42 0 -1 4194560 500 0 0 0 150 50 0 0 20 0 1 0 999 10 20\n";
  const auto usage = parse_usage(stat, "1000 25 10 1 0 5 0\n", 100, 4096);
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->cpu_us, 2'000'000U);
  EXPECT_EQ(usage->memory_bytes, 25U * 4096);
  EXPECT_FALSE(parse_usage("42 (a", "1 2\n", 100, 4096));
  EXPECT_FALSE(parse_usage("42 (a) S 1\n", "1 2\n", 100, 4096));
  EXPECT_FALSE(parse_usage(stat, "", 100, 4096));
}

TEST(ProcessUsageTest, OfARealProcess) {
  const auto before = process_usage(::getpid());
  ASSERT_TRUE(before);
  EXPECT_GT(before->memory_bytes, 1'000'000U);
  std::uint64_t cpu_us = 0;
  for (std::uint64_t turns = 0; turns < 1'000'000 && cpu_us < before->cpu_us + 50'000; ++turns)
    cpu_us = process_usage(::getpid())->cpu_us;
  EXPECT_GE(cpu_us, before->cpu_us + 50'000);
  const auto pid = spawn(shell("exit 0"));
  ASSERT_TRUE(pid) << pid.error();
  test::wait_for(*pid);
  EXPECT_FALSE(process_usage(*pid));
}

}  // namespace
}  // namespace portunus::supervisor
