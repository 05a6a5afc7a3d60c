// Names and passwords of requests: compared once on another thread, and remembered.
#include "proxy/credentials.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/loop_driver.h"

namespace portunus::proxy {
namespace {

using Verdict = Credentials::Verdict;

// Of `open sesame`.
constexpr const char* kHash = "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy";
// Longer to compare than to ask for.
constexpr const char* kSlowHash = "$2b$08$abcdefghijklmnopqrstuuvbcBqwD0vqGp5cw/xK4wy0Mtx9M8.Zy";

struct Request final : CredentialWaiter {
  void on_checked(bool right) override {
    ++told;
    is_right = right;
  }
  int told = 0;
  bool is_right = false;
  std::string_view user;
};

conf::BasicAuth rules_with(const char* hash) {
  conf::BasicAuth rules;
  rules.users = {{"alice", hash}, {"bob", hash}};
  return rules;
}

class CredentialsTest : public testing::Test {
 protected:
  ~CredentialsTest() override { checker_.stop(); }
  Verdict check(std::string_view field, Request& request) {
    Verdict verdict = Verdict::wrong;
    driver_.turn(
        [&] { verdict = credentials_.check(rules_, field, arena_, request, request.user); });
    return verdict;
  }
  bool finish(Request& request) {
    return driver_.run_until([&] { return request.told == 1; }) && request.is_right;
  }

  test::LoopDriver driver_;
  base::Arena arena_{driver_.loop.chunks()};
  PasswordChecker checker_;
  Credentials credentials_{driver_.loop, checker_};
  conf::BasicAuth rules_ = rules_with(kHash);
};

// "alice:open sesame"
constexpr const char* kAlice = "Basic YWxpY2U6b3BlbiBzZXNhbWU=";
// "alice:open, sesame"
constexpr const char* kWrong = "Basic YWxpY2U6b3Blbiwgc2VzYW1l";
// "carol:open sesame"
constexpr const char* kNobody = "Basic Y2Fyb2w6b3BlbiBzZXNhbWU=";

TEST_F(CredentialsTest, ComparedOnceAndThenKnown) {
  Request first;
  Request second;
  EXPECT_EQ(check(kAlice, first), Verdict::pending);
  EXPECT_EQ(check("bAsIc   YWxpY2U6b3BlbiBzZXNhbWU=", second), Verdict::pending);
  EXPECT_EQ(first.user, "alice");
  EXPECT_TRUE(finish(first));
  EXPECT_TRUE(finish(second)) << "with the same comparison";
  Request third;
  EXPECT_EQ(check(kAlice, third), Verdict::right);
  EXPECT_EQ(third.user, "alice");
}

TEST_F(CredentialsTest, WrongOnesAreKnownAsWell) {
  Request request;
  EXPECT_EQ(check(kWrong, request), Verdict::pending);
  EXPECT_FALSE(finish(request));
  EXPECT_EQ(check(kWrong, request), Verdict::wrong);
  EXPECT_EQ(request.told, 1);
}

// It takes as long as with a name that there is, and is wrong even with that one's password.
TEST_F(CredentialsTest, ANameThatThereIsNot) {
  Request request;
  EXPECT_EQ(check(kNobody, request), Verdict::pending);
  EXPECT_FALSE(finish(request));
  EXPECT_EQ(check(kNobody, request), Verdict::wrong);
}

// Another hash is another password, whatever was right before.
TEST_F(CredentialsTest, AnotherHashIsComparedAnew) {
  Request first;
  EXPECT_EQ(check(kAlice, first), Verdict::pending);
  EXPECT_TRUE(finish(first));
  rules_.users[0].hash = "$2b$04$bbcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy";
  Request second;
  EXPECT_EQ(check(kAlice, second), Verdict::pending);
  EXPECT_FALSE(finish(second));
  rules_.users.erase(rules_.users.begin());  // alice
  Request third;
  EXPECT_EQ(check(kAlice, third), Verdict::pending);
  EXPECT_FALSE(finish(third));
}

TEST_F(CredentialsTest, WhatIsNoNameAndPassword) {
  const std::string long_one(600, 'A');
  for (const std::string& field :
       {std::string(), std::string("Basic"), std::string("Basic "),
        std::string("Bearer YWxpY2U6eA=="), std::string("Basic YWxpY2U="),
        std::string("Basic YWxpY2U6eA"), std::string("Basic ===="), std::string("Basic YWxp*2U6"),
        "Basic " + long_one}) {
    Request request;
    EXPECT_EQ(check(field, request), Verdict::wrong) << field;
    EXPECT_FALSE(request.is_linked()) << field;
    EXPECT_EQ(request.user, "") << field;
  }
}

TEST_F(CredentialsTest, ARequestMayEndBefore) {
  Request left;
  {
    Request gone;
    EXPECT_EQ(check(kAlice, gone), Verdict::pending);
    EXPECT_EQ(check(kAlice, left), Verdict::pending);
  }
  EXPECT_TRUE(finish(left));
}

// What one thread has asked, another knows.
TEST_F(CredentialsTest, AllThreadsKnowIt) {
  Request first;
  EXPECT_EQ(check(kAlice, first), Verdict::pending);
  EXPECT_TRUE(finish(first));
  EXPECT_EQ(check(kWrong, first), Verdict::pending);
  EXPECT_TRUE(driver_.run_until([&] { return first.told == 2; }));
  Credentials other(driver_.loop, checker_);
  for (int i = 0; i < 2; ++i) {
    Request request;
    EXPECT_EQ(other.check(rules_, kAlice, arena_, request, request.user), Verdict::right);
    EXPECT_EQ(other.check(rules_, kWrong, arena_, request, request.user), Verdict::wrong);
  }
}

// Slow ones, until one too many waits or there are `most`: "alice:" and three letters each.
class Flood {
 public:
  explicit Flood(char letter) : letter_(letter) {}
  Verdict pour(test::LoopDriver& driver, Credentials& into, base::Arena& arena, std::size_t most) {
    Verdict verdict = Verdict::pending;
    for (std::size_t i = 0; verdict == Verdict::pending && i < most; ++i) {
      std::string field = "Basic YWxpY2U6YWAA";
      field[field.size() - 1] = static_cast<char>('A' + i % 26);
      field[field.size() - 2] = static_cast<char>('A' + i / 26);
      field[field.size() - 3] = letter_;
      requests.push_back(std::make_unique<Request>());
      driver.turn([&] {
        Request& request = *requests.back();
        verdict = into.check(slow_, field, arena, request, request.user);
      });
    }
    return verdict;
  }
  std::vector<std::unique_ptr<Request>> requests;

 private:
  conf::BasicAuth slow_ = rules_with(kSlowHash);
  char letter_;
};

// A flood of passwords waits for its turn up to a bound; what is known is known at once.
TEST_F(CredentialsTest, SoManyMayWait) {
  Request known;
  EXPECT_EQ(check(kAlice, known), Verdict::pending);
  EXPECT_TRUE(finish(known));
  Flood flood('W');
  EXPECT_EQ(flood.pour(driver_, credentials_, arena_, 600), Verdict::busy);
  EXPECT_GT(flood.requests.size(), PasswordChecker::kWaitingMax);
  EXPECT_EQ(check(kAlice, known), Verdict::right);
}

// Whose clients have left are not compared, and keep nobody out.
TEST_F(CredentialsTest, WhoLeavesMakesRoom) {
  Flood gone('W');
  EXPECT_EQ(gone.pour(driver_, credentials_, arena_, 600), Verdict::busy);
  driver_.turn([&] {
    for (const auto& request : gone.requests)
      credentials_.leave(*request);
  });
  Flood next('X');
  EXPECT_EQ(next.pour(driver_, credentials_, arena_, PasswordChecker::kWaitingMax),
            Verdict::pending);
  const Request& first = *next.requests.front();
  EXPECT_TRUE(driver_.run_until([&] { return first.told == 1; }));
  for (const auto& request : gone.requests)
    EXPECT_EQ(request->told, 0);
}

}  // namespace
}  // namespace portunus::proxy
