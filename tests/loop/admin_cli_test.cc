// The admin listener, asked by the command line.
#include "tests/loop/admin_fixture.h"

#include <cstdlib>

namespace portunus::proxy {
namespace {

struct Said {
  int status = 0;
  std::string out;
  std::string err;
};

class CliTest : public AdminTest {
 protected:
  Said say(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--admin", "127.0.0.1:" + std::to_string(port_)});
    CliOutput output;
    const int status = run_cli(arguments, {}, output);
    return {status, output.out, output.err};
  }
};

TEST_F(CliTest, ShowsWhatRuns) {
  Said said = say({"status"});
  EXPECT_EQ(said.status, exit_ok) << said.err;
  EXPECT_THAT(said.out, HasSubstr("test.yaml"));
  EXPECT_EQ(nlohmann::json::parse(say({"status", "--json"}).out)["state"], "ready");
  said = say({"pools"});
  EXPECT_EQ(said.status, exit_ok);
  EXPECT_THAT(said.out, HasSubstr("127.0.0.1:9001"));
  said = say({"pools", "http://*.shop/a b"});
  EXPECT_EQ(said.status, exit_ok) << said.err;
  EXPECT_THAT(said.out, Not(HasSubstr("127.0.0.1:9001")));
  said = say({"pools", "nothing"});
  EXPECT_EQ(said.status, exit_refused);
  EXPECT_THAT(said.err, HasSubstr("no such pool"));
}

TEST_F(CliTest, ReloadTellsTheOutcome) {
  Said said = say({"reload"});
  EXPECT_EQ(said.status, exit_ok);
  EXPECT_EQ(said.out, "reloaded: generation 8 after 0.250 s\n");
  EXPECT_EQ(nlohmann::json::parse(say({"reload", "--json"}).out)["ok"], true);
  on_loop([&] { source_.outcome = make_refused(); });
  said = say({"reload"});
  EXPECT_EQ(said.status, exit_refused);
  EXPECT_EQ(said.out, "");
  EXPECT_EQ(said.err, "x:1:1: error: y\nrefused: 1 error; generation 8 stays\n");
}

TEST_F(CliTest, ReloadTimesOut) {
  on_loop([&] { source_.answers_at_once = false; });
  const Said said = say({"reload", "--timeout", "2s"});
  EXPECT_EQ(said.status, exit_timed_out);
  EXPECT_THAT(said.err, HasSubstr("within 2s"));
}

TEST_F(CliTest, OrdersAboutMembers) {
  Said said = say({"drain", "api/127.0.0.1:9001"});
  EXPECT_EQ(said.status, exit_ok) << said.err;
  EXPECT_THAT(said.out, StartsWith("api/127.0.0.1:9001: up, weight 1"));
  EXPECT_EQ(say({"disable", "api/127.0.0.1:9001"}).status, exit_ok);
  EXPECT_EQ(say({"enable", "api/127.0.0.1:9001", "--json"}).status, exit_ok);
  said = say({"weight", "api/127.0.0.1:9001", "20"});
  EXPECT_THAT(said.out, HasSubstr("weight 20 (configured: 1)"));
  EXPECT_EQ(say({"weight", "api/127.0.0.1:9001", "default"}).status, exit_ok);
  std::vector<MemberWish> wishes;
  on_loop([&] { wishes = source_.wishes; });
  ASSERT_EQ(wishes.size(), 5U);
  EXPECT_EQ(wishes[0].command, MemberCommand::drain);
  EXPECT_EQ(wishes[1].command, MemberCommand::disable);
  EXPECT_EQ(wishes[2].command, MemberCommand::enable);
  EXPECT_EQ(wishes[3].weight, 20U);
  EXPECT_EQ(wishes[4].weight, 0U);
  said = say({"drain", "api/127.0.0.1:1"});
  EXPECT_EQ(said.status, exit_refused);
  EXPECT_THAT(said.err, HasSubstr("no member"));
  for (const char* bad : {"api", "/x", "api/"})
    EXPECT_EQ(say({"drain", bad}).status, exit_usage) << bad;
  for (const char* bad : {"0", "1001", "-1", "x", "1.5", ""})
    EXPECT_EQ(say({"weight", "api/x:1", bad}).status, exit_usage) << bad;
  EXPECT_EQ(say({"drain", "api/x:1", "--wait", "soon"}).status, exit_usage);
}

TEST_F(CliTest, DrainWaitsUntilNothingIsLeft) {
  std::promise<void> begun;
  on_loop([&] { source_.drain_begun = &begun; });
  auto waits = std::async(std::launch::async,
                          [&] { return say({"drain", "api/127.0.0.1:9001", "--wait", "30s"}); });
  begun.get_future().wait();
  on_loop([&] { source_.drain_waiter->on_drain_done(true); });
  EXPECT_EQ(waits.get().status, exit_ok);
  const Said said = say({"disable", "api/127.0.0.1:9001", "--wait", "50ms"});
  EXPECT_EQ(said.status, exit_timed_out);
  EXPECT_THAT(said.err, HasSubstr("in flight after 50ms"));
  on_loop([&] { EXPECT_EQ(source_.drain_waiter, nullptr); });
}

// In the environment of this process, for as long as it lives.
class TokenVariable {
 public:
  explicit TokenVariable(const char* token) { ::setenv("PORTUNUS_ADMIN_TOKEN", token, 1); }
  ~TokenVariable() { ::unsetenv("PORTUNUS_ADMIN_TOKEN"); }
  TokenVariable(const TokenVariable&) = delete;
  TokenVariable& operator=(const TokenVariable&) = delete;
};

TEST_F(CliTest, TheTokenComesFromTheEnvironment) {
  conf::Admin guarded = config("127.0.0.1", 0);
  guarded.token = "0123456789abcdef";
  guarded.token_for = conf::TokenFor::all;
  std::string why;
  on_loop([&] { EXPECT_TRUE(admin_->open(guarded, inherited_, why)) << why; });
  const std::vector<std::vector<std::string>> commands = {
      {"reload"}, {"status"}, {"pools"}, {"drain", "api/127.0.0.1:9001"}};
  for (const auto& command : commands) {
    const Said said = say(command);
    EXPECT_EQ(said.status, exit_refused) << command[0];
    EXPECT_THAT(said.err, HasSubstr("the proxy answered 401: this needs the token"));
    EXPECT_THAT(said.err, HasSubstr("PORTUNUS_ADMIN_TOKEN"));
  }
  EXPECT_EQ(say({"healthcheck"}).status, exit_ok);
  {
    const TokenVariable wrong("0123456789abcdeF");
    const Said said = say({"reload"});
    EXPECT_EQ(said.status, exit_refused);
    EXPECT_THAT(said.err, HasSubstr("answered 401"));
    EXPECT_THAT(said.err + said.out, Not(HasSubstr("0123456789")));
  }
  {
    const TokenVariable strange("0123456789abcdef\r\nX-Injected: 1");
    const Said said = say({"reload"});
    EXPECT_EQ(said.status, exit_usage);
    EXPECT_THAT(said.err, HasSubstr("PORTUNUS_ADMIN_TOKEN holds no token"));
    EXPECT_THAT(said.err + said.out, Not(HasSubstr("0123456789")));
  }
  EXPECT_EQ(reloads(), 0);
  const TokenVariable right("0123456789abcdef");
  for (const auto& command : commands) {
    const Said said = say(command);
    EXPECT_EQ(said.status, exit_ok) << command[0] << said.err;
  }
  EXPECT_EQ(reloads(), 1);
}

TEST_F(CliTest, HealthcheckIsReadiness) {
  EXPECT_EQ(say({"healthcheck"}).status, exit_ok);
  on_loop([&] { source_.not_ready = "starting"; });
  const Said said = say({"healthcheck"});
  EXPECT_EQ(said.status, exit_refused);
  EXPECT_THAT(said.err, HasSubstr("starting"));
  port_ = 1;
  EXPECT_EQ(say({"healthcheck"}).status, exit_unreachable);
}

}  // namespace
}  // namespace portunus::proxy
