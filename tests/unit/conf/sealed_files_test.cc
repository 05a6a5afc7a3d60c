#include "conf/sealed_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

TEST(SealedFiles, GivesBackWhatWasPutIn) {
  const std::string large(300'000, 'x');
  const std::vector<SealedFiles::Part> parts{{"/etc/portunus.yaml", "sites:\n"},
                                             {"secret", "a\0b\xff 7 7 "sv},
                                             {"empty", ""},
                                             {"", large}};
  const SealedFiles file = SealedFiles::make(parts);
  ASSERT_TRUE(file.is_set());
  EXPECT_TRUE(file.is_sealed());
  for (int again = 0; again < 2; ++again) {  // whoever reads it does not move a place for others
    const auto files = file.read();
    ASSERT_TRUE(files);
    ASSERT_EQ(files->size(), parts.size());
    for (std::size_t i = 0; i < parts.size(); ++i) {
      EXPECT_EQ((*files)[i].name, parts[i].name);
      EXPECT_EQ((*files)[i].text, parts[i].text);
    }
  }
}

TEST(SealedFiles, NobodyChangesIt) {
  const SealedFiles file = SealedFiles::make(std::array{SealedFiles::Part{"a", "text"}});
  EXPECT_EQ(::pwrite(file.descriptor(), "x", 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(file.descriptor(), 0), -1);
}

TEST(SealedFiles, OthersAreNone) {
  EXPECT_FALSE(SealedFiles().is_sealed());
  EXPECT_FALSE(SealedFiles().read());
  EXPECT_FALSE(SealedFiles(::open("/dev/null", O_RDONLY | O_CLOEXEC)).is_sealed());
  const SealedFiles open(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_FALSE(open.is_sealed());
  for (const std::string_view text : {"x", "1", "1 ", "1 1 a", "1 9 ab", "99999999999999999999 1 a",
                                      "1 18446744073709551615 a", "-1 1 ab", "1 1 abc"}) {
    const SealedFiles other(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(::write(other.descriptor(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
    ASSERT_EQ(::fcntl(other.descriptor(), F_ADD_SEALS,
                      F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
              0);
    EXPECT_TRUE(other.is_sealed());
    EXPECT_FALSE(other.read()) << text;
  }
}

TEST(SealedFiles, MovesItsDescriptor) {
  SealedFiles first = SealedFiles::make({});
  const int descriptor = first.descriptor();
  SealedFiles second = std::move(first);
  EXPECT_EQ(second.descriptor(), descriptor);
  second = {};
  EXPECT_EQ(::fcntl(descriptor, F_GETFD), -1) << "it is closed";
}

}  // namespace
}  // namespace portunus::conf
