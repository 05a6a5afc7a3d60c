// net::Listener and its sockets.
#include "net/listener.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <vector>

#include "net/stream.h"
#include "tests/support/loop_driver.h"

namespace portunus::net {
namespace {

using test::LoopDriver;
using test::Peer;

const Address kHere = Address::parse_ip("127.0.0.1", 0).value();

std::uint16_t port_of(int descriptor) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

int option_of(int descriptor, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  ::getsockopt(descriptor, level, name, &value, &size);
  return value;
}

struct Taken final : StreamOwner {
  explicit Taken(Loop& loop) : stream(loop, *this) {}
  void on_bytes(std::span<const char> bytes) override { in.append(bytes.data(), bytes.size()); }
  void on_end(base::Error) override { has_end = true; }
  void on_drained() override {}
  void on_closed() override { is_closed = true; }
  std::string in;
  bool has_end = false;
  bool is_closed = false;
  Stream stream;
};

class ListenerTest : public testing::Test, public Acceptor {
 protected:
  ListenerTest() {
    const int descriptor = open_listening_socket(kHere, false).value();
    port_ = port_of(descriptor);
    EXPECT_TRUE(listener_.start(descriptor));
  }
  ~ListenerTest() override {
    driver_.turn([&] {
      listener_.close();
      for (auto& one : taken_)
        one->stream.close();
    });
    EXPECT_TRUE(driver_.run_until([&] { return closed_ == 1; }));
    for (auto& one : taken_)
      EXPECT_TRUE(driver_.run_until([&] { return one->is_closed; }));
  }
  void on_connection(Listener& listener) override {
    EXPECT_EQ(&listener, &listener_);
    EXPECT_EQ(listener.index(), 7U);
    ++looks_;
    if (taken_.size() >= room_) return;
    taken_.push_back(std::make_unique<Taken>(driver_.loop));
    Address peer;
    EXPECT_TRUE(taken_.back()->stream.adopt(listener.take(peer)));
    EXPECT_TRUE(peer.is_set());
    taken_.back()->stream.set_reading(true);
  }
  void on_listener_closed(Listener&) override { ++closed_; }
  std::unique_ptr<Peer> connect() { return Peer::connect_to(driver_, port_); }

  LoopDriver driver_;
  Listener listener_{driver_.loop, *this, 7};
  std::uint16_t port_ = 0;
  std::size_t room_ = 100;
  int looks_ = 0;
  int closed_ = 0;
  std::vector<std::unique_ptr<Taken>> taken_;
};

TEST_F(ListenerTest, TakesWhoComes) {
  std::vector<std::unique_ptr<Peer>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(connect());
    clients.back()->send("hello");
  }
  EXPECT_TRUE(driver_.run_until([&] { return taken_.size() == 20; }));
  driver_.settle();
  for (const auto& one : taken_)
    EXPECT_EQ(one->in, "hello");
}

// Nobody is refused while there is no room; each resume() is one look, and they come in their order.
TEST_F(ListenerTest, WhoIsNotTakenWaits) {
  room_ = 1;
  std::vector<std::unique_ptr<Peer>> clients;
  for (const char* name : {"1", "2", "3", "4"}) {
    clients.push_back(connect());
    clients.back()->send(name);
  }
  driver_.settle();
  EXPECT_EQ(taken_.size(), 1U);
  EXPECT_EQ(looks_, 2);
  driver_.turn([&] { listener_.resume(); });
  EXPECT_EQ(looks_, 3);
  EXPECT_EQ(taken_.size(), 1U);
  room_ = 3;
  driver_.turn([&] { listener_.resume(); });
  driver_.settle();
  EXPECT_EQ(taken_.size(), 3U);
  room_ = 4;
  driver_.turn([&] { listener_.resume(); });
  driver_.settle();
  ASSERT_EQ(taken_.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(taken_[i]->in, std::to_string(i + 1));
    EXPECT_FALSE(clients[i]->is_over());
  }
  const int looks = looks_;
  driver_.turn([&] { listener_.resume(); });  // nobody waits
  EXPECT_EQ(looks_, looks);
}

TEST_F(ListenerTest, AClientThatLeftWhileItWaitedIsTakenAsOneThatEnds) {
  room_ = 0;
  auto client = connect();
  driver_.settle();
  client->send("bye");
  client->end_writing();
  driver_.settle();
  room_ = 1;
  driver_.turn([&] { listener_.resume(); });
  EXPECT_TRUE(driver_.run_until([&] { return !taken_.empty() && taken_[0]->has_end; }));
  EXPECT_EQ(taken_[0]->in, "bye");
}

TEST_F(ListenerTest, ClosedItTellsOnceAndTakesNobody) {
  room_ = 0;
  auto waiting = connect();
  driver_.settle();
  room_ = 1;
  driver_.turn([&] {
    listener_.close();
    listener_.close();
    listener_.resume();
    EXPECT_EQ(closed_, 0);
  });
  ASSERT_TRUE(driver_.run_until([&] { return closed_ == 1; }));
  EXPECT_TRUE(driver_.run_until([&] { return waiting->is_over(); }));
  EXPECT_TRUE(taken_.empty());
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = test::loopback(port_);
  EXPECT_NE(::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(errno, ECONNREFUSED);
  ::close(descriptor);
}

TEST(ListeningSocket, HasItsOptions) {
  for (const bool is_shared : {false, true}) {
    const auto opened = open_listening_socket(kHere, is_shared);
    ASSERT_TRUE(opened) << opened.error();
    EXPECT_NE(::fcntl(*opened, F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(option_of(*opened, IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_EQ(option_of(*opened, SOL_SOCKET, SO_REUSEPORT), is_shared ? 1 : 0);
    EXPECT_EQ(option_of(*opened, SOL_SOCKET, SO_ACCEPTCONN), 0);  // start() listens
    ::close(*opened);
  }
}

TEST(ListeningSocket, SharesAPortOnlyWhenAllWantTo) {
  for (const bool is_shared : {false, true}) {
    const int first = open_listening_socket(kHere, is_shared).value();
    ASSERT_EQ(::listen(first, 1), 0);
    Address same = kHere;
    same.set_port(port_of(first));
    const auto second = open_listening_socket(same, is_shared);
    EXPECT_EQ(second.has_value(), is_shared);
    if (second) {
      ::close(*second);
    } else {
      EXPECT_EQ(second.error(), same.text() + ": bind: Address already in use");
    }
    ::close(first);
  }
}

TEST(ListeningSocket, WhatCannotBeBoundLeavesNoDescriptor) {
  const int before = ::dup(0);
  ::close(before);
  const auto opened = open_listening_socket(Address::parse_ip("192.0.2.1", 80).value(), false);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error(), "192.0.2.1:80: bind: Cannot assign requested address");
  const int after = ::dup(0);
  ::close(after);
  EXPECT_EQ(after, before);
}

TEST(Listener, ADescriptorThatIsNoSocketIsRefusedAndClosed) {
  struct Nobody final : Acceptor {
    void on_connection(Listener&) override { FAIL(); }
    void on_listener_closed(Listener&) override { is_closed = true; }
    bool is_closed = false;
  } nobody;
  LoopDriver driver;
  Listener listener(driver.loop, nobody, 0);
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  EXPECT_FALSE(listener.start(pipe_ends[0]));
  driver.turn([&] { listener.close(); });
  EXPECT_TRUE(driver.run_until([&] { return nobody.is_closed; }));
  EXPECT_NE(::fcntl(pipe_ends[0], F_GETFD), 0) << "still open";
  ::close(pipe_ends[1]);
}

}  // namespace
}  // namespace portunus::net
