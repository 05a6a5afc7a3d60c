// A door that closes: nobody whom the kernel has let in already is turned away.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/proxy_world.h"

namespace portunus::proxy {
namespace {

using test::Peer;
using test::ProxyWorld;

TEST(Door, AnswersWhoWaitsToBeAcceptedWhenItDrains) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start(true);
  std::vector<std::unique_ptr<Peer>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(Peer::connect_to(world.driver, world.port()));
    clients.back()->send("GET / HTTP/1.1\r\nhost: example.org\r\n\r\n");
  }
  world.driver.turn([&] { world.door().drain(nullptr); });
  const auto& members = world.members[0]->peers;
  for (std::size_t i = 0; i < clients.size(); ++i) {
    ASSERT_TRUE(world.driver.run_until(
        [&] { return members.size() > i && members[i]->in.ends_with("\r\n\r\n"); }));
    members[i]->send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  }
  for (const auto& client : clients) {
    ASSERT_TRUE(world.driver.run_until([&] { return client->is_over(); }));
    EXPECT_FALSE(client->was_reset);
    EXPECT_TRUE(client->in.starts_with("HTTP/1.1 200 OK\r\n")) << client->in;
    EXPECT_NE(client->in.find("connection: close\r\n"), std::string::npos) << client->in;
  }
}

TEST(Door, AClientHasSoManyConnections) {
  ProxyWorld world;
  world.members[0]->listen();
  world.model->limits.client_connections = 2;
  world.model->listeners[0].max_connections = 3;
  world.start(true);
  std::vector<std::unique_ptr<Peer>> clients;
  for (int i = 0; i < 2; ++i)
    clients.push_back(Peer::connect_to(world.driver, world.port()));
  ASSERT_TRUE(world.driver.run_until([&] { return world.clients == 2; }));
  // More of them than the listener has room for: each gives its own back.
  for (int i = 0; i < 4; ++i) {
    const auto refused = Peer::connect_to(world.driver, world.port());
    ASSERT_TRUE(world.driver.run_until([&] { return refused->is_over(); }));
    EXPECT_EQ(refused->in, "");
  }
  EXPECT_EQ(world.clients, 2);
  clients.pop_back();
  ASSERT_TRUE(world.driver.run_until([&] { return world.clients == 1; }));
  clients.push_back(Peer::connect_to(world.driver, world.port()));
  EXPECT_TRUE(world.driver.run_until([&] { return world.clients == 2; }));
  world.driver.settle();
  EXPECT_FALSE(clients.back()->is_over());
}

TEST(Door, ConnectionsOfTrustedProxiesAreNotCounted) {
  ProxyWorld world;
  world.model->limits.client_connections = 1;
  world.model->trusted_proxies = {"127.0.0.0/8"};
  world.start(true);
  std::vector<std::unique_ptr<Peer>> clients;
  for (int i = 0; i < 3; ++i)
    clients.push_back(Peer::connect_to(world.driver, world.port()));
  EXPECT_TRUE(world.driver.run_until([&] { return world.clients == 3; }));
}

}  // namespace
}  // namespace portunus::proxy
