#include "discovery/snapshot.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace portunus::discovery {
namespace {

Snapshot sample() {
  Snapshot snapshot{.instances = {}, .saved_us = 1'700'000'000'000'000};
  for (const char* host : {"10.0.0.1", "fd00::1"}) {
    Instance instance;
    instance.address = net::Address::parse_ip(host, 80).value();
    instance.name = instance.address.text();
    instance.id = "web \"" + instance.name;
    instance.node = "n1";
    instance.weight = 7;
    instance.is_backup = true;
    instance.status = InstanceStatus::warning;
    instance.reason = "c: warning";
    instance.group = "blue";
    snapshot.instances.push_back(instance);
  }
  return snapshot;
}

class SnapshotTest : public testing::Test {
 protected:
  SnapshotTest() { std::filesystem::remove_all(folder_); }
  ~SnapshotTest() override { std::filesystem::remove_all(folder_); }
  const std::string folder_ = testing::TempDir() + "/snapshot_test." + std::to_string(::getpid());
};

TEST(Snapshot, WhatIsWrittenIsReadAgain) {
  const auto again = decode_snapshot("web", encode_snapshot("web", sample()));
  ASSERT_TRUE(again.has_value()) << again.error();
  EXPECT_EQ(again->instances, sample().instances);
  EXPECT_EQ(again->saved_us, sample().saved_us);
}

TEST(Snapshot, AnyOtherByteMakesItTorn) {
  const std::string text = encode_snapshot("web", sample());
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string other = text;
    other[i] = other[i] == '1' ? '2' : '1';
    EXPECT_FALSE(decode_snapshot("web", other).has_value()) << i;
    EXPECT_FALSE(decode_snapshot("web", text.substr(0, i)).has_value()) << i;
  }
}

TEST(Snapshot, OfAnotherQueryOrOutOfOrderItIsNone) {
  EXPECT_STREQ(decode_snapshot("api", encode_snapshot("web", sample())).error(),
               "of another query");
  Snapshot turned = sample();
  std::swap(turned.instances[0], turned.instances[1]);
  EXPECT_STREQ(decode_snapshot("web", encode_snapshot("web", turned)).error(), "not in order");
  Snapshot heavy = sample();
  heavy.instances[0].weight = 0;
  EXPECT_STREQ(decode_snapshot("web", encode_snapshot("web", heavy)).error(),
               "an instance in it is wrong");
}

TEST_F(SnapshotTest, OnDiskForTheOwnerOnly) {
  ASSERT_TRUE(save_snapshot(folder_, "web", sample()).has_value());
  ASSERT_TRUE(save_snapshot(folder_, "web", sample()).has_value()) << "over the one before";
  const std::string path = snapshot_path(folder_, "web");
  struct stat facts{};
  ASSERT_EQ(::stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
  const auto again = load_snapshot(folder_, "web");
  ASSERT_TRUE(again.has_value()) << again.error();
  EXPECT_EQ(again->instances, sample().instances);
}

TEST_F(SnapshotTest, WhatIsNotAFileOfOursIsNotRead) {
  EXPECT_FALSE(load_snapshot(folder_, "web").has_value()) << "none";
  std::filesystem::create_directories(snapshot_path(folder_, "web"));
  EXPECT_FALSE(load_snapshot(folder_, "web").has_value()) << "a folder";
  std::filesystem::remove(snapshot_path(folder_, "web"));
  ASSERT_EQ(::mkfifo(snapshot_path(folder_, "web").c_str(), 0600), 0);
  EXPECT_FALSE(load_snapshot(folder_, "web").has_value()) << "a pipe";
}

TEST_F(SnapshotTest, AFolderThatCannotBeMadeIsAnError) {
  std::ofstream(folder_) << "a file";
  const auto saved = save_snapshot(folder_, "web", sample());
  ASSERT_FALSE(saved.has_value());
  EXPECT_NE(saved.error().find(folder_), std::string::npos);
}

}  // namespace
}  // namespace portunus::discovery
