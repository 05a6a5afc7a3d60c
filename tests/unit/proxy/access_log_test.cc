#include "proxy/access_log.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "tests/support/allocations.h"

namespace portunus::proxy {
namespace {

using base::EndReason;
using http::HeaderId;

// A record with everything in it; tests take away what they need to be absent.
struct Sample {
  Sample() : member("api", "10.0.0.7:8080", *net::Address::parse_ip("10.0.0.7", 8080)) {
    head.method_text = "GET";
    head.authority = "shop.example:8080";
    head.host = "shop.example";
    head.path = "/cart/items";
    head.query = "page=2";
    head.has_query = true;
    head.fields.add(HeaderId::user_agent, "curl/8.1");
    head.fields.add(HeaderId::referer, "http://shop.example/");
    head.fields.add(HeaderId::cookie, "session=secret");
    head.fields.add(HeaderId::authorization, "Bearer secret");
    route.name = "shop/cart";
    names.listeners = {"", "web"};
    record.listener = 1;
    record.route = &route;
    record.pool = "api";
    record.member = &member;
    record.request = &head;
    record.request_id = "0af7651916cd43dd";
    record.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    record.peer = *net::Address::parse_ip("192.0.2.4", 50123);
    record.client_ip = "192.0.2.4";
    record.status = 200;
    record.upstream_status = 200;
    record.attempts = 2;
    record.retry_reason = EndReason::upstream_connect;
    record.bytes_in = 5;
    record.bytes_out = 1024;
    const std::uint64_t now = base::monotonic_ns();
    record.started_ns = now;
    record.queued_ns = 250'000;
    record.connect_ns = 500'000;
    record.sent_ns = now + 1'000'000;
    record.upstream_head_ns = now + 3'000'000;
    record.first_byte_ns = now + 3'100'000;
    record.ended_ns = now + 4'000'000;
    record.generation = 3;
  }
  Sample(const Sample&) = delete;
  Sample& operator=(const Sample&) = delete;

  std::string json() {
    std::array<char, 65536> out;
    return {out.data(), write_json_line(record, names, wall, out.data(), out.size())};
  }
  std::string combined() {
    std::array<char, 65536> out;
    return {out.data(), write_combined_line(record, wall, out.data(), out.size())};
  }

  http::Head head;
  Route route;
  health::Member member;
  LogNames names;
  WallText wall;
  ExchangeRecord record;
};

TEST(AccessLogLine, HasTheFieldsOfTheSchemaInTheirOrder) {
  Sample sample;
  const std::string line = sample.json();
  const std::size_t time = line.find("\"time\":\"");
  ASSERT_NE(time, std::string::npos);
  const std::string after_time = line.substr(time + 8 + 27);
  EXPECT_EQ(line.substr(0, time), R"({"v":1,)");
  EXPECT_EQ(
      after_time,
      R"(","request_id":"0af7651916cd43dd","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736",)"
      R"("listener":"web","client_ip":"192.0.2.4","client_port":50123,"peer_ip":"192.0.2.4",)"
      R"("protocol":"HTTP/1.1","method":"GET","scheme":"http","host":"shop.example:8080",)"
      R"("path":"/cart/items","query":"page=2","route":"shop/cart","status":200,"bytes_in":5,)"
      R"("bytes_out":1024,"duration_s":0.004000,"first_byte_s":0.003100,"queue_s":0.000250,)"
      R"("pool":"api","upstream":"10.0.0.7:8080","upstream_status":200,)"
      R"("upstream_connect_s":0.000500,"upstream_first_byte_s":0.002000,)"
      R"("upstream_total_s":0.003000,"attempts":2,"retry_reason":"upstream_connect",)"
      R"("end_reason":"ok","user_agent":"curl/8.1","referer":"http://shop.example/",)"
      R"("config_generation":3})");
}

TEST(AccessLogLine, NeverCarriesCookiesOrCredentials) {
  Sample sample;
  EXPECT_EQ(sample.json().find("secret"), std::string::npos);
  EXPECT_EQ(sample.combined().find("secret"), std::string::npos);
}

TEST(AccessLogLine, LeavesOutWhatDidNotHappen) {
  Sample sample;
  sample.record = ExchangeRecord{};
  sample.record.listener = 1;
  sample.record.peer = *net::Address::parse_ip("::1", 9);
  sample.record.status = 400;
  sample.record.end_reason = EndReason::rejected_header;
  sample.record.ended_ns = base::monotonic_ns();
  sample.record.started_ns = sample.record.ended_ns;
  const std::string line = sample.json();
  EXPECT_EQ(line.substr(line.find("\"listener\"")),
            R"("listener":"web","client_ip":"::1","client_port":9,"peer_ip":"::1","status":400,)"
            R"("bytes_in":0,"bytes_out":0,"duration_s":0.000000,"end_reason":"rejected_header",)"
            R"("config_generation":0})");
}

TEST(AccessLogLine, TellsTheClientFromThePeerBehindATrustedProxy) {
  Sample sample;
  sample.record.client_ip = "2001:db8::9";
  const auto line = nlohmann::json::parse(sample.json());
  EXPECT_EQ(line["client_ip"], "2001:db8::9");
  EXPECT_EQ(line["peer_ip"], "192.0.2.4");
  EXPECT_FALSE(line.contains("client_port"));
}

TEST(AccessLogLine, StaysOneValidJsonObjectWhateverAClientSends) {
  Sample sample;
  std::string all;
  for (int byte = 0; byte < 256; ++byte)
    all.push_back(static_cast<char>(byte));
  sample.head.path = all;
  sample.head.query = all;
  sample.head.authority = all;
  sample.head.method_text = all;
  const std::string line = sample.json();
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_NO_THROW({ EXPECT_EQ(nlohmann::json::parse(line)["v"], 1); });
}

TEST(AccessLogLine, ALineOfTheLongestFieldsFitsABlock) {
  Sample sample;
  const std::string bad(100'000, '\xff');
  sample.head.path = bad;
  sample.head.query = bad;
  sample.head.authority = bad;
  sample.head.fields.clear();
  sample.head.fields.add(HeaderId::user_agent, bad);
  sample.head.fields.add(HeaderId::referer, bad);
  EXPECT_FALSE(sample.json().empty());
  EXPECT_NO_THROW({ EXPECT_EQ(nlohmann::json::parse(sample.json())["v"], 1); });
}

TEST(AccessLogLine, WritesTheCombinedFormatOfNginx) {
  Sample sample;
  const std::string line = sample.combined();
  const std::size_t time = line.find('[');
  ASSERT_NE(time, std::string::npos);
  EXPECT_EQ(line.substr(0, time), "192.0.2.4 - - ");
  EXPECT_EQ(line.substr(time + 27),
            R"(] "GET /cart/items?page=2 HTTP/1.1" 200 1024 "http://shop.example/" "curl/8.1")");
}

TEST(AccessLogLine, EscapesInTheCombinedFormat) {
  Sample sample;
  sample.head.path = "/a\"b\\c\n\xff";
  sample.head.has_query = false;
  sample.head.fields.clear();
  const std::string line = sample.combined();
  EXPECT_EQ(line.substr(line.find('"')), R"("GET /a\x22b\x5Cc\x0A\xFF HTTP/1.1" 200 1024 "-" "-")");
  sample.record.request = nullptr;
  sample.record.status = 0;
  const std::string unknown = sample.combined();
  EXPECT_EQ(unknown.substr(unknown.find('"')), R"("-" 000 1024 "-" "-")");
}

TEST(AccessLogLine, GivesZeroWhenItDoesNotFit) {
  Sample sample;
  const std::size_t whole = sample.json().size();
  std::vector<char> out(whole);
  EXPECT_EQ(write_json_line(sample.record, sample.names, sample.wall, out.data(), whole - 1), 0U);
  // Numbers ask for the room of the longest one, hence the slack.
  out.resize(whole + 32);
  EXPECT_EQ(write_json_line(sample.record, sample.names, sample.wall, out.data(), whole + 32),
            whole);
}

TEST(WallText, AgreesWithTheSystemClock) {
  WallText wall;
  const std::time_t before = std::time(nullptr);
  const std::string text(wall.rfc3339(base::monotonic_ns()));
  const std::string combined(wall.combined(base::monotonic_ns()));
  const std::time_t after = std::time(nullptr);
  std::vector<std::string> rfc;
  std::vector<std::string> clf;
  for (std::time_t at = before; at <= after; ++at) {
    std::tm parts{};
    gmtime_r(&at, &parts);
    std::array<char, 64> out;
    std::strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%S", &parts);
    rfc.emplace_back(out.data());
    std::strftime(out.data(), out.size(), "%d/%b/%Y:%H:%M:%S +0000", &parts);
    clf.emplace_back(out.data());
  }
  EXPECT_NE(std::ranges::find(rfc, text.substr(0, 19)), rfc.end()) << text;
  EXPECT_NE(std::ranges::find(clf, combined), clf.end()) << combined;
  EXPECT_EQ(text.size(), 27U);
  EXPECT_EQ(text[19], '.');
  EXPECT_EQ(text[26], 'Z');
  // The microseconds of two moments differ by as much as the moments do.
  const std::uint64_t now = base::monotonic_ns();
  const auto micros = [&wall](std::uint64_t ns) {
    return std::stoul(std::string(wall.rfc3339(ns).substr(20, 6)));
  };
  const std::uint64_t first = micros(now);
  EXPECT_EQ((micros(now + 250'000'000) + 1'000'000 - first) % 1'000'000, 250'000U);
}

class AccessLogTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/portunus_access_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  static conf::AccessLog to_file(const std::string& file,
                                 conf::AccessLogFormat format = conf::AccessLogFormat::json) {
    return {format, {conf::OutputKind::file, file}};
  }
  static std::vector<std::string> lines(const std::string& file) {
    std::vector<std::string> result;
    std::ifstream text(file);
    for (std::string line; std::getline(text, line);)
      result.push_back(line);
    return result;
  }
  static void configure(AccessLog& log, const conf::AccessLog& settings) {
    std::string reason;
    ASSERT_TRUE(log.configure(settings, reason)) << reason;
  }
  // Bounded: false after five seconds.
  template <typename Condition>
  static bool eventually(Condition condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

  std::string folder_;
};

TEST_F(AccessLogTest, WritesEveryLineOfEveryThreadOnce) {
  AccessLog log;
  configure(log, to_file(path("log")));
  constexpr int kLines = 3000;  // several blocks for each
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    AccessLogBuffer& buffer = log.add_buffer();
    threads.emplace_back([&buffer, t] {
      Sample sample;
      for (int i = 0; i < kLines; ++i) {
        const std::string id = std::to_string(t) + "-" + std::to_string(i);
        sample.record.request_id = id;
        buffer.write(sample.record, sample.names);
      }
      buffer.flush();
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  log.stop();
  EXPECT_EQ(log.dropped(), 0U);
  std::array<int, 2> next{};
  for (const std::string& line : lines(path("log"))) {
    const std::string id = nlohmann::json::parse(line)["request_id"];
    const auto thread = static_cast<std::size_t>(id[0] - '0');
    ASSERT_EQ(id, std::to_string(thread) + "-" + std::to_string(next[thread]++));
  }
  EXPECT_EQ(next, (std::array<int, 2>{kLines, kLines}));
}

TEST_F(AccessLogTest, AllocatesNothingOnceItsFirstBlockIsThere) {
  AccessLog log;
  configure(log, to_file(path("log")));
  AccessLogBuffer& buffer = log.add_buffer();
  Sample sample;
  buffer.write(sample.record, sample.names);
  const std::size_t before = test::allocation_count();
  for (int i = 0; i < 50; ++i)
    buffer.write(sample.record, sample.names);
  EXPECT_EQ(test::allocation_count(), before);
}

TEST_F(AccessLogTest, HandsOverAStartedBlockWhenItIsDue) {
  AccessLog log;
  configure(log, to_file(path("log")));
  AccessLogBuffer& buffer = log.add_buffer();
  Sample sample;
  buffer.write(sample.record, sample.names);
  const std::uint64_t written_ms = sample.record.ended_ns / 1'000'000;
  buffer.flush_if_due(written_ms + AccessLogBuffer::kFlushMs - 1);
  EXPECT_EQ(lines(path("log")).size(), 0U);
  buffer.flush_if_due(written_ms + AccessLogBuffer::kFlushMs);
  EXPECT_TRUE(eventually([this] { return lines(path("log")).size() == 1; }));
}

TEST_F(AccessLogTest, ReopensWhileIdleAndLetsGoOfTheOldFile) {
  AccessLog log;
  configure(log, to_file(path("log")));
  AccessLogBuffer& buffer = log.add_buffer();
  Sample sample;
  buffer.write(sample.record, sample.names);
  buffer.flush();
  ASSERT_TRUE(eventually([this] { return lines(path("log")).size() == 1; }));
  std::filesystem::rename(path("log"), path("log.1"));
  log.reopen();
  ASSERT_TRUE(eventually([this] {
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code ignored;
      if (std::filesystem::read_symlink(entry.path(), ignored) == path("log.1")) return false;
    }
    return true;
  }));
  buffer.write(sample.record, sample.names);
  buffer.flush();
  log.stop();
  EXPECT_EQ(lines(path("log.1")).size(), 1U);
  EXPECT_EQ(lines(path("log")).size(), 1U);
}

// What rotates the files waits for that line, and then compresses or removes the old one.
TEST_F(AccessLogTest, SaysThatItHasReopenedWhenNothingGoesToTheOldFile) {
  std::string reason;
  ASSERT_TRUE(base::start_log({base::LogLevel::info, false, path("main")}, reason)) << reason;
  ASSERT_EQ(mkfifo(path("log").c_str(), 0600), 0);
  const int reader = open(path("log").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  ASSERT_GT(fcntl(reader, F_SETPIPE_SZ, 8192), 0);
  {
    AccessLog log;
    configure(log, to_file(path("log")));
    AccessLogBuffer& buffer = log.add_buffer();
    Sample sample;
    for (int i = 0; i < 50; ++i)
      buffer.write(sample.record, sample.names);
    buffer.flush();
    // The pipe is full: the writer stands in the middle of a write to it.
    ASSERT_TRUE(eventually([reader] {
      int waiting = 0;
      return ::ioctl(reader, FIONREAD, &waiting) == 0 && waiting == 8192;
    }));
    std::filesystem::rename(path("log"), path("log.1"));
    log.reopen();
    ASSERT_TRUE(eventually([this] {
      const auto said = lines(path("main"));
      return std::ranges::any_of(
          said, [](const std::string& line) { return line.ends_with(" proxy: logs reopened"); });
    }));
    // End of file once it is empty, and not EAGAIN: nobody has it open for writing.
    std::vector<char> bytes(8192);
    EXPECT_EQ(read(reader, bytes.data(), bytes.size()), 8192);
    EXPECT_EQ(read(reader, bytes.data(), bytes.size()), 0);
  }
  close(reader);
  base::stop_log();
}

TEST_F(AccessLogTest, SaysThatItHasReopenedWhenItIsOff) {
  std::string reason;
  ASSERT_TRUE(base::start_log({base::LogLevel::info, false, path("main")}, reason)) << reason;
  AccessLog log;
  configure(log, to_file(path("log"), conf::AccessLogFormat::off));
  log.reopen();
  base::stop_log();
  ASSERT_EQ(lines(path("main")).size(), 1U);
  EXPECT_TRUE(lines(path("main"))[0].ends_with(" proxy: logs reopened"));
}

TEST_F(AccessLogTest, ChangesFormatAndOutputOnReload) {
  AccessLog log;
  configure(log, to_file(path("one")));
  AccessLogBuffer& buffer = log.add_buffer();
  Sample sample;
  buffer.write(sample.record, sample.names);
  buffer.flush();
  ASSERT_TRUE(eventually([this] { return lines(path("one")).size() == 1; }));
  configure(log, to_file(path("two"), conf::AccessLogFormat::combined));
  buffer.write(sample.record, sample.names);
  configure(log, to_file(path("two"), conf::AccessLogFormat::off));
  buffer.write(sample.record, sample.names);
  EXPECT_FALSE(buffer.is_on());
  buffer.flush();
  log.stop();
  ASSERT_EQ(lines(path("two")).size(), 1U);
  EXPECT_TRUE(lines(path("two"))[0].starts_with("192.0.2.4 - - ["));
}

TEST_F(AccessLogTest, KeepsWritingWhereItDidWhenANewOutputCannotBeOpened) {
  AccessLog log;
  configure(log, to_file(path("log")));
  std::string reason;
  EXPECT_FALSE(log.configure(to_file(path("no/such")), reason));
  EXPECT_NE(reason.find("No such file or directory"), std::string::npos);
  AccessLogBuffer& buffer = log.add_buffer();
  Sample sample;
  buffer.write(sample.record, sample.names);
  buffer.flush();
  log.stop();
  EXPECT_EQ(lines(path("log")).size(), 1U);
}

TEST_F(AccessLogTest, CountsWhatAFullDiskRefuses) {
  AccessLog log;
  configure(log, to_file("/dev/full"));
  AccessLogBuffer& buffer = log.add_buffer();
  Sample sample;
  for (int i = 0; i < 1000; ++i)
    buffer.write(sample.record, sample.names);
  buffer.flush();
  log.stop();
  EXPECT_EQ(log.dropped(), 1000U);
}

// A file that takes a part of what is written: what it took is not lost.
TEST_F(AccessLogTest, CountsOnlyWhatWasNotWritten) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 10'000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  AccessLog log;
  configure(log, to_file(path("log")));
  AccessLogBuffer& buffer = log.add_buffer();
  Sample sample;
  for (int i = 0; i < 100; ++i)
    buffer.write(sample.record, sample.names);
  buffer.flush();
  log.stop();
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, ignored);
  std::ifstream file(path("log"));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto whole = static_cast<std::uint64_t>(std::ranges::count(text, '\n'));
  EXPECT_GT(whole, 0U);
  EXPECT_EQ(log.dropped(), 100 - whole);
}

// A reader that stands still costs lines, never the time of the data-plane thread, and a bounded
// amount of memory; stop() gives up.
TEST_F(AccessLogTest, DropsAndCountsWhenTheOutputStandsStill) {
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  const int reader = open(path("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  AccessLog log;
  configure(log, to_file(path("fifo")));
  AccessLogBuffer& buffer = log.add_buffer();
  Sample sample;
  constexpr std::uint64_t kLines = 50'000;
  for (std::uint64_t i = 0; i < kLines; ++i)
    buffer.write(sample.record, sample.names);
  EXPECT_GT(log.dropped(), kLines / 2);
  EXPECT_LT(log.dropped(), kLines);
  const std::uint64_t began = base::monotonic_ns();
  log.stop();
  EXPECT_LT(base::monotonic_ns() - began, 5'000'000'000U);
  close(reader);
}

}  // namespace
}  // namespace portunus::proxy
