// NameLookup, with the system's own resolver.
#include "proxy/name_lookup.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/clock.h"

namespace portunus::proxy {
namespace {

struct Answers final : NameLookupHandler {
  void on_name_looked_up(const net::Address& address) override {
    ++count;
    last = address;
    held = nullptr;
  }
  int count = 0;
  net::Address last;
  std::unique_ptr<NameLookup> held;
};

class NameLookupTest : public testing::Test {
 protected:
  ~NameLookupTest() override {
    loop_.stop();
    loop_.run();
  }
  bool run_until_answer(int count) {
    const std::uint64_t end_ns = base::monotonic_ns() + std::uint64_t{20} * 1'000'000'000;
    while (answers_.count < count) {
      if (base::monotonic_ns() > end_ns) return false;
      uv_run(loop_.uv(), UV_RUN_ONCE);
    }
    return true;
  }

  net::Loop loop_;
  Answers answers_;
};

TEST_F(NameLookupTest, FindsAnAddressOrNone) {
  answers_.held = NameLookup::start(loop_, "localhost", answers_);
  ASSERT_TRUE(run_until_answer(1));
  EXPECT_EQ(answers_.last.text().substr(0, 4), "127.");
  // No dot, no such host: resolvers know that they need not ask anybody.
  answers_.held = NameLookup::start(loop_, "no such name", answers_);
  ASSERT_TRUE(run_until_answer(2));
  EXPECT_FALSE(answers_.last.is_set());
}

TEST_F(NameLookupTest, WhoGivesUpHearsNothing) {
  for (int i = 0; i < 20; ++i)
    answers_.held = NameLookup::start(loop_, "localhost", answers_);
  ASSERT_TRUE(run_until_answer(1));
  EXPECT_EQ(answers_.count, 1) << "the last one alone";
}

}  // namespace
}  // namespace portunus::proxy
