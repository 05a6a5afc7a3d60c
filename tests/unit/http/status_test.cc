#include "http/status.h"

#include <gtest/gtest.h>

#include <string>

namespace portunus::http {
namespace {

TEST(Status, LinesAndPhrases) {
  EXPECT_EQ(reason_phrase(404), "Not Found");
  EXPECT_EQ(status_line_of(100), "HTTP/1.1 100 Continue\r\n");
  EXPECT_EQ(status_line_of(511), "HTTP/1.1 511 Network Authentication Required\r\n");
  int known = 0;
  for (unsigned status = 0; status <= 0xffff; ++status) {
    const std::string line(status_line_of(static_cast<std::uint16_t>(status)));
    const std::string phrase(reason_phrase(static_cast<std::uint16_t>(status)));
    EXPECT_EQ(line.empty(), phrase.empty());
    if (line.empty()) continue;
    ++known;
    EXPECT_EQ(line, "HTTP/1.1 " + std::to_string(status) + " " + phrase + "\r\n");
  }
  EXPECT_EQ(known, 60);
}

}  // namespace
}  // namespace portunus::http
