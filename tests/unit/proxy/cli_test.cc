#include "proxy/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/version.h"
#include "proxy/cli_commands.h"
#include "proxy/cli_tables.h"

namespace portunus::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string run_file;  // what the stub of `run` was asked for

int record_run(const ProcessOptions& options) {
  run_file = options.config_file;
  return 42;
}

struct Said {
  int status = 0;
  std::string out;
  std::string err;
};

Said say(const std::vector<std::string>& arguments) {
  CliOutput output;
  const int status = run_cli(arguments, {.supervisor = &record_run}, output);
  return {status, output.out, output.err};
}

// A folder that goes with the test.
class Cli : public ::testing::Test {
 protected:
  Cli() {
    std::string name = (std::filesystem::temp_directory_path() / "portunus_cli_XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) folder_ = name;
  }
  ~Cli() override {
    std::error_code failure;
    std::filesystem::remove_all(folder_, failure);
  }
  std::string write(const std::string& name, const std::string& text) {
    const std::string path = folder_ / name;
    std::ofstream(path) << text;
    return path;
  }
  std::filesystem::path folder_;
};

constexpr const char* kGood =
    "admin:\n"
    "  listen: 127.0.0.1:1\n"
    "sites:\n"
    "  http://shop.example: [127.0.0.1:9001, 127.0.0.1:9002]\n";

TEST(CliUsage, AloneItShowsTheHelp) {
  const Said said = say({});
  EXPECT_EQ(said.status, exit_usage);
  EXPECT_THAT(said.out, IsEmpty());
  for (const char* word : {"run", "check", "reload", "status", "pools", "healthcheck", "config",
                           "version", "Examples:", "Exit status"}) {
    EXPECT_THAT(said.err, HasSubstr(word));
  }
}

TEST(CliUsage, HelpIsNoError) {
  EXPECT_EQ(say({"--help"}).status, exit_ok);
  EXPECT_EQ(say({"help"}).out, say({"--help"}).out);
  for (const char* command :
       {"run", "check", "reload", "status", "pools", "healthcheck", "config", "version"}) {
    const Said said = say({"help", command});
    EXPECT_EQ(said.status, exit_ok) << command;
    EXPECT_THAT(said.out, HasSubstr("Examples:")) << command;
    EXPECT_THAT(said.out, HasSubstr(std::string("portunus ") + command));
    EXPECT_EQ(say({command, "--help"}).out, said.out) << command;
  }
}

TEST(CliUsage, SuggestsTheNearestCommand) {
  Said said = say({"relaod"});
  EXPECT_EQ(said.status, exit_usage);
  EXPECT_THAT(said.err, HasSubstr("did you mean `reload`?"));
  said = say({"config", "refrence"});
  EXPECT_EQ(said.status, exit_usage);
  EXPECT_THAT(said.err, HasSubstr("did you mean `config reference`?"));
  said = say({"xyzzy"});
  EXPECT_EQ(said.status, exit_usage);
  EXPECT_THAT(said.err, HasSubstr("known are"));
}

TEST(CliUsage, WrongUsageIsTwo) {
  const std::vector<std::vector<std::string>> wrong = {
      {"check", "--jsno"},
      {"config"},
      {"run", "-c"},
      {"version", "extra"},
      {"reload", "--admin", "127.0.0.1:1", "--timeout", "30"},
      {"reload", "--admin", "127.0.0.1:1", "--timeout", "0s"},
      {"reload", "--admin", "nonsense"},
      {"reload", "--admin", "name.example:80"},
  };
  for (const auto& arguments : wrong) {
    const Said said = say(arguments);
    EXPECT_EQ(said.status, exit_usage) << arguments.front();
    EXPECT_THAT(said.err, Not(IsEmpty()));
    EXPECT_THAT(said.out, IsEmpty());
  }
}

TEST(CliUsage, RunGetsItsFile) {
  run_file.clear();
  EXPECT_EQ(say({"run", "-c", "some.yaml"}).status, 42);
  EXPECT_EQ(run_file, "some.yaml");
  EXPECT_EQ(say({"run", "--config", "other.yaml"}).status, 42);
  EXPECT_EQ(run_file, "other.yaml");
}

TEST(CliUsage, PrintsItsVersion) {
  EXPECT_THAT(say({"version"}).out, HasSubstr(std::string(base::kVersion)));
  EXPECT_EQ(say({"--version"}).out, say({"version"}).out);
  const auto json = nlohmann::json::parse(say({"version", "--json"}).out);
  EXPECT_EQ(json["version"], base::kVersion);
  EXPECT_EQ(json["revision"], base::kRevision);
}

TEST(CliUsage, PrintsReferenceAndSchema) {
  EXPECT_THAT(say({"config", "reference"}).out, HasSubstr("max_connections_per_upstream"));
  EXPECT_TRUE(nlohmann::json::parse(say({"config", "schema"}).out).is_object());
}

TEST_F(Cli, TakesTheFirstDefaultFileThatExists) {
  const std::string second = write("second.yaml", "");
  const std::string absent = (folder_ / "absent.yaml").string();
  CliOutput output;
  EXPECT_EQ(find_config_file("", {absent, second}, output), second);
  EXPECT_EQ(find_config_file("given.yaml", {absent, second}, output), "given.yaml");
  EXPECT_THAT(output.err, IsEmpty());
  EXPECT_EQ(find_config_file("", {absent}, output), std::nullopt);
  EXPECT_THAT(output.err, HasSubstr(absent));
  EXPECT_THAT(output.err, HasSubstr("-c FILE"));
}

TEST_F(Cli, CheckSumsUpAValidFile) {
  const std::string file = write("good.yaml", kGood);
  Said said = say({"check", file});
  EXPECT_EQ(said.status, exit_ok) << said.err;
  EXPECT_THAT(said.out, HasSubstr(": valid: 1 site, 1 route, 1 pool with 2 members"));
  EXPECT_EQ(say({"check", "-c", file}).out, said.out);
  said = say({"check", file, "--json"});
  EXPECT_EQ(said.status, exit_ok);
  auto json = nlohmann::json::parse(said.out);
  EXPECT_EQ(json["valid"], true);
  EXPECT_EQ(json["sites"], 1);
  EXPECT_EQ(json["members"], 2);
  EXPECT_TRUE(json["diagnostics"].is_array());
}

TEST_F(Cli, CheckShowsEveryError) {
  const std::string file = write("bad.yaml", std::string(kGood) + "thraeds: 2\nsistes: 3\n");
  Said said = say({"check", file});
  EXPECT_EQ(said.status, exit_refused);
  EXPECT_THAT(said.out, IsEmpty());
  EXPECT_THAT(said.err, HasSubstr(file + ":5:1: error"));
  EXPECT_THAT(said.err, HasSubstr("threads"));
  EXPECT_THAT(said.err, HasSubstr(file + ":6:1: error"));
  EXPECT_THAT(said.err, HasSubstr("not valid: 2 errors"));
  said = say({"check", "--json", file});
  EXPECT_EQ(said.status, exit_refused);
  auto json = nlohmann::json::parse(said.out);
  EXPECT_EQ(json["valid"], false);
  EXPECT_EQ(json["diagnostics"].size(), 2U);
  EXPECT_EQ(say({"check", (folder_ / "absent.yaml").string()}).status, exit_refused);
}

TEST_F(Cli, NobodyListensIsThree) {
  // Port 1 of the loopback: nothing is there.
  const std::string file = write("good.yaml", kGood);
  for (const char* command : {"reload", "status", "pools", "healthcheck"}) {
    const Said said = say({command, "-c", file});
    EXPECT_EQ(said.status, exit_unreachable) << command;
    EXPECT_THAT(said.err, HasSubstr("127.0.0.1:1"));
    EXPECT_THAT(said.out, IsEmpty());
  }
}

TEST_F(Cli, ABrokenFileIsRefusedBeforeAsking) {
  const std::string file = write("bad.yaml", "sistes: 3\n");
  const Said said = say({"reload", "-c", file});
  EXPECT_EQ(said.status, exit_refused);
  EXPECT_THAT(said.err, HasSubstr(file + ":1:1: error"));
  EXPECT_THAT(said.err, HasSubstr("--admin"));
}

TEST(CliTables, ShowsPools) {
  const std::optional<std::string> text = pools_text(
      R"({"pools":[{"name":"api","members":[{"upstream":"127.0.0.1:9001","state":"up","weight":1,)"
      R"("since":"2025-01-31T08:09:10.123456Z","in_flight":3,"connections":4,"reason":"",)"
      R"("probe":{"kind":"http","at":"x","ok":true,"status":200,"duration_s":0.0015}},)"
      R"({"upstream":"127.0.0.1:9002","state":"down","backup":true,"reason":"refused\u001b[31m",)"
      R"("probe":{"kind":"tcp","at":"x","ok":false,"detail":"connection refused"}}]}]})");
  ASSERT_TRUE(text);
  EXPECT_THAT(*text, HasSubstr("POOL  UPSTREAM                 STATE  SINCE (UTC)"));
  EXPECT_THAT(*text, HasSubstr("api   127.0.0.1:9001           up     2025-01-31 08:09:10  1"));
  EXPECT_THAT(*text, HasSubstr("http: ok 200 1.5 ms"));
  EXPECT_THAT(*text, HasSubstr("127.0.0.1:9002 (backup)  down"));
  EXPECT_THAT(*text, HasSubstr("tcp: failed 0.0 ms, connection refused"));
  EXPECT_THAT(*text, HasSubstr("refused?[31m"));
}

TEST(CliTables, TheReasonIsNotTheStateAgain) {
  const auto state_of = [](const std::string& reason) {
    const auto text =
        status_text(R"({"state":"draining","config":{"generation":1})" + reason + "}");
    return text.value_or("").substr(0, text.value_or("").find('\n'));
  };
  EXPECT_THAT(state_of(R"(,"reason":"draining")"), ::testing::EndsWith(" draining"));
  EXPECT_THAT(state_of(""), ::testing::EndsWith(" draining"));
  EXPECT_THAT(state_of(R"(,"reason":"a second signal")"),
              ::testing::EndsWith(" draining (a second signal)"));
}

TEST(CliTables, SurvivesStrangeAnswers) {
  for (const char* answer : {"", "x", "[]", "null", "{", "{\"config\":3}", "\xff"}) {
    EXPECT_EQ(status_text(answer), std::nullopt) << answer;
    EXPECT_EQ(pools_text(answer), std::nullopt) << answer;
    EXPECT_EQ(reload_text(answer), std::nullopt) << answer;
    EXPECT_EQ(error_text(answer), "") << answer;
  }
  EXPECT_TRUE(pools_text(R"({"pools":[1,{"name":2,"members":[3,{"state":[]}]}]})"));
  EXPECT_TRUE(status_text(R"({"config":{"generation":"x"},"listeners":[1]})"));
}

TEST(CliTables, ShowsAReload) {
  std::optional<ReloadText> text = reload_text(R"({"ok":true,"generation":5,"duration_s":0.25})");
  ASSERT_TRUE(text);
  EXPECT_TRUE(text->ok);
  EXPECT_EQ(text->outcome, "reloaded: generation 5 after 0.250 s");
  text = reload_text(R"({"ok":true,"generation":5,"duration_s":0.25,"file":"/etc/p.yaml"})");
  ASSERT_TRUE(text);
  EXPECT_EQ(text->outcome, "reloaded: generation 5 after 0.250 s from /etc/p.yaml");
  text = reload_text(R"({"ok":false,"generation":4,"error":"2 errors","text":"a:1: x\nb\u001b"})");
  ASSERT_TRUE(text);
  EXPECT_FALSE(text->ok);
  EXPECT_EQ(text->outcome, "refused: 2 errors; generation 4 stays");
  EXPECT_EQ(text->diagnostics, "a:1: x\nb?\n");
}

}  // namespace
}  // namespace portunus::proxy
