// What the tests of the parser share: one message in all cuts, and short ways to write one.
#pragma once

#include "http/h1_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/http/h1_replay.h"

namespace portunus::http {

using base::EndReason;
using Result = H1Parser::Result;
using std::string_literals::operator""s;

inline std::string outcome(bool is_request,
                           std::string_view text,
                           std::size_t step,
                           std::size_t cut,
                           Method method,
                           bool upgrade_asked,
                           MessageLimits limits) {
  H1Replay replay(limits);
  replay.request_method = method;
  replay.upgrade_asked = upgrade_asked;
  replay.run(is_request, text, step, cut);
  return replay.describe();
}

// The same message whole, byte by byte, and cut once at every place: one outcome.
inline void expect_same_in_all_cuts(bool is_request,
                                    const std::string& text,
                                    Method method = Method::get,
                                    bool upgrade_asked = false,
                                    MessageLimits limits = {}) {
  const std::string whole = outcome(is_request, text, 0, 0, method, upgrade_asked, limits);
  EXPECT_EQ(whole.find("OVERRUN"), std::string::npos) << whole;
  EXPECT_EQ(outcome(is_request, text, 1, 0, method, upgrade_asked, limits), whole) << text;
  EXPECT_EQ(outcome(is_request, text, 7, 0, method, upgrade_asked, limits), whole) << text;
  if (text.size() > 4000) return;
  for (std::size_t cut = 1; cut < text.size(); ++cut) {
    ASSERT_EQ(outcome(is_request, text, 0, cut, method, upgrade_asked, limits), whole)
        << "cut at " << cut << " of\n"
        << text;
  }
}

struct Bad {
  const char* what;
  std::string text;
  EndReason reason;
};

inline std::string get(const std::string& fields) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}
inline std::string post(const std::string& fields, const std::string& body = "") {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body;
}
inline std::string chunked(const std::string& body) {
  return post("Transfer-Encoding: chunked\r\n", body);
}
inline std::string line(const std::string& request_line) {
  return request_line + "\r\nHost: a\r\n\r\n";
}

}  // namespace portunus::http
