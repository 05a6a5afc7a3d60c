#include "proxy/server_timing.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace portunus::proxy {
namespace {

std::string timing_text(const ServerTiming& timing) {
  base::ChunkPool pool;
  base::Arena arena(pool);
  http::HeaderBlock fields;
  EXPECT_TRUE(add_server_timing(timing, arena, fields));
  EXPECT_EQ(fields.size(), 1U);
  EXPECT_EQ(fields.field(0).name(), "server-timing");
  return std::string(fields.field(0).value());
}

TEST(ServerTiming, TellsWhatHappened) {
  EXPECT_EQ(timing_text({}), "total;dur=0.000");
  EXPECT_EQ(timing_text({.member_ns = 1'234'567, .total_ns = 2'000'999, .tries = 1}),
            "member;dur=1.234, total;dur=2.000");
  EXPECT_EQ(timing_text({.queue_ns = 7'000,
                         .connect_ns = 80'000,
                         .tls_ns = 900'000,
                         .member_ns = 12'034'056'000,
                         .total_ns = 999,
                         .tries = 3}),
            "queue;dur=0.007, connect;dur=0.080, tls;dur=0.900, member;dur=12034.056, "
            "tries;desc=\"3\", total;dur=0.000");
}

TEST(ServerTiming, TheLargestNumbersFit) {
  constexpr std::uint64_t kNs = std::numeric_limits<std::uint64_t>::max();
  const std::string text =
      timing_text({kNs, kNs, kNs, kNs, kNs, std::numeric_limits<std::uint32_t>::max()});
  EXPECT_TRUE(text.ends_with("total;dur=18446744073709.551")) << text;
}

TEST(ServerTiming, StandsBehindTheMembersOwn) {
  base::ChunkPool pool;
  base::Arena arena(pool);
  http::HeaderBlock fields;
  EXPECT_TRUE(fields.add("server-timing", "db;dur=53"));
  EXPECT_TRUE(add_server_timing({}, arena, fields));
  ASSERT_EQ(fields.size(), 2U);
  EXPECT_EQ(fields.field(0).value(), "db;dur=53");
  while (fields.add("x", "y")) {
  }
  EXPECT_FALSE(add_server_timing({}, arena, fields));
}

}  // namespace
}  // namespace portunus::proxy
