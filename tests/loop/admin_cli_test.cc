// The admin listener, asked by the command line.
#include "tests/loop/admin_fixture.h"

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
    const int status = run_cli(arguments, [](const std::string&) { return 99; }, output);
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
  const Said said = say({"reload", "--timeout", "200ms"});
  EXPECT_EQ(said.status, exit_timed_out);
  EXPECT_THAT(said.err, HasSubstr("within 200ms"));
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
