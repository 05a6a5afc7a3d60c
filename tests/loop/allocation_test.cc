// Rule 1 of DESIGN.md: in the steady state nothing is allocated. The first request of a connection may
// (slabs, buffers, series of the metrics); the second to the hundredth must not.
#include <gtest/gtest.h>

#include <string>

#include "tests/support/allocations.h"
#include "tests/support/proxy_world.h"

namespace portunus::proxy {
namespace {

using test::Peer;
using test::ProxyWorld;

struct Row {
  const char* what;
  std::string request;
  std::string answer;
};

std::string repeat(char c, std::size_t count) {
  return std::string(count, c);
}

const std::vector<Row>& rows() {
  static const std::vector<Row> all{
      {"GET with a small answer",
       "GET /a/b?c=d HTTP/1.1\r\nhost: example.org\r\nuser-agent: x\r\naccept: */*\r\n\r\n",
       "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"},
      {"browser's head",
       "GET / HTTP/1.1\r\nhost: example.org\r\nconnection: keep-alive\r\naccept: text/html\r\n"
       "cookie: a=" +
           repeat('c', 900) + "\r\nreferer: http://example.org/" + repeat('r', 200) +
           "\r\naccept-language: de\r\naccept-encoding: gzip\r\nx-a: 1\r\nx-b: 2\r\n\r\n",
       "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nset-cookie: a=b\r\ncontent-length: "
       "3000\r\n\r\n" +
           repeat('h', 3000)},
      {"head larger than the arena's own block",
       "GET / HTTP/1.1\r\nhost: example.org\r\ncookie: a=" + repeat('c', 5000) + "\r\n\r\n",
       "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"},
      {"POST with a length",
       "POST / HTTP/1.1\r\nhost: example.org\r\ncontent-length: 5000\r\n\r\n" + repeat('p', 5000),
       "HTTP/1.1 201 Created\r\nlocation: /1\r\ncontent-length: 0\r\n\r\n"},
      {"chunked both ways, trailers",
       "PUT / HTTP/1.1\r\nhost: example.org\r\ntransfer-encoding: "
       "chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1"
       "\r\n\r\n",
       "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"},
      {"HEAD", "HEAD / HTTP/1.1\r\nhost: example.org\r\n\r\n",
       "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n"},
      {"error of a member", "GET / HTTP/1.1\r\nhost: example.org\r\n\r\n",
       "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno"},
  };
  return all;
}

// One request and its answer over connections that stay.
void carry(ProxyWorld& world, Peer& client, const Row& row) {
  client.send(row.request);
  ASSERT_TRUE(world.driver.run_until([&] {
    return !world.members[0]->peers.empty() && world.connection().in.size() > 4 &&
           (row.request[0] != 'P' || world.connection().in.size() >= row.request.size());
  })) << row.what;
  world.driver.settle();
  world.connection().take();
  world.connection().send(row.answer);
  ASSERT_TRUE(world.driver.run_until([&] { return world.exchanges_context.running == 0; }))
      << row.what;
  world.driver.settle();
  EXPECT_EQ(client.take().substr(0, 9), "HTTP/1.1 ") << row.what;
}

TEST(Allocation, NoneFromTheSecondToTheHundredthRequest) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start(true);
  world.driver.counter = &test::heap_count;
  auto client = Peer::connect_to(world.driver, world.port());
  for (const Row& row : rows()) {
    carry(world, *client, row);
    EXPECT_EQ(world.records().size(), 1U);
    for (int i = 2; i <= 100; ++i) {
      world.driver.counted = 0;
      carry(world, *client, row);
      ASSERT_EQ(world.driver.counted, 0U) << row.what << ", request " << i;
      EXPECT_EQ(world.records().size(), 1U);
    }
  }
  EXPECT_EQ(world.members[0]->peers.size(), 1U);  // one connection carried them all
}

// What holds for a connection holds for its successors: the slabs remember.
TEST(Allocation, NoneForALaterConnectionBesidesTheSocket) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start(true);
  for (int i = 0; i < 3; ++i) {
    auto client = Peer::connect_to(world.driver, world.port());
    carry(world, *client, rows()[0]);
    const std::size_t servers = world.servers.capacity();
    const std::size_t inbounds = world.inbounds.capacity();
    EXPECT_EQ(servers, 32U);
    EXPECT_LE(inbounds, 32U);
    client.reset();
    world.driver.settle();
    EXPECT_EQ(world.clients, 0);
  }
  EXPECT_EQ(world.members[0]->peers.size(), 1U);
}

// The counter counts.
TEST(Allocation, TheCountIsAlive) {
  const std::size_t before = test::heap_count();
  auto* volatile place = new std::string(100, 'x');
  delete place;
  EXPECT_GE(test::heap_count(), before + 2);
}

}  // namespace
}  // namespace portunus::proxy
