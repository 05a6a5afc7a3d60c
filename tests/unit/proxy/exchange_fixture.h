// Exchange and Attempt between a recorded client and members that the test plays over loopback: what
// reaches the client, how often members are tried, and what is in the one record at the end. ProxyWorld
// checks that every lease, message and chunk comes back.
#pragma once

#include "proxy/exchange.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/proxy_world.h"

namespace portunus::proxy {

using http::BodyKind;
using http::Method;
using test::Peer;
using test::ProxyWorld;
using test::RecordedClient;

inline constexpr const char* kOk = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
// The one record since the last call, or a text that no test expects.
inline std::string record_of(ProxyWorld& world) {
  const std::vector<std::string> lines = world.records();
  EXPECT_EQ(lines.size(), 1U);
  return lines.size() == 1 ? lines[0] : "";
}
// Its end: attempts, retry_reason, end_reason.
inline void expect_record(ProxyWorld& world,
                          const std::string& end_reason,
                          int attempts,
                          const std::string& retry_reason = {}) {
  const std::string line = record_of(world);
  EXPECT_TRUE(has(line, "\"end_reason\":\"" + end_reason + "\"")) << line;
  if (attempts == 0) {
    EXPECT_FALSE(has(line, "\"attempts\"")) << line;
  } else {
    EXPECT_TRUE(has(line, "\"attempts\":" + std::to_string(attempts) + ",")) << line;
  }
  if (retry_reason.empty()) {
    EXPECT_FALSE(has(line, "retry_reason")) << line;
  } else {
    EXPECT_TRUE(has(line, "\"retry_reason\":\"" + retry_reason + "\"")) << line;
  }
}
// Waits for the connection of a member and what it was asked.
inline Peer& asked(ProxyWorld& world, std::size_t member = 0, std::size_t i = 0) {
  EXPECT_TRUE(world.driver.run_until([&] {
    const auto& peers = world.members[member]->peers;
    return peers.size() > i && has(peers[i]->in, "\r\n\r\n");
  }));
  world.driver.settle();
  return world.connection(member, i);
}
inline void says(ProxyWorld& world, Peer& peer, std::string_view bytes) {
  peer.send(bytes);
  world.driver.settle();
}

}  // namespace portunus::proxy
