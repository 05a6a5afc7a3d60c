// One H1Client and a member that the test plays.
#pragma once

#include "http/h1_client.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/loop_driver.h"
#include "tests/support/recorder.h"

namespace portunus::http {

using base::EndReason;
using base::Retry;
using test::LoopDriver;
using test::Peer;
using test::PeerListener;
using test::RecorderHandler;

// One connection to a member that the test plays.
class H1ClientTest : public testing::Test, public H1ClientOwner {
 protected:
  ~H1ClientTest() override {
    if (client_ != nullptr) driver_.turn([&] { client_->close(); });
    EXPECT_TRUE(driver_.run_until([&] { return client_ == nullptr; }));
    EXPECT_EQ(inbounds_.live(), 0U);
    EXPECT_EQ(driver_.loop.chunks().in_use(), 0U);
  }
  void on_client_connected(H1Client& client, base::Error failure) override {
    ++connected_;
    connect_failure_ = failure;
    if (failure.is_error()) client.close();
  }
  void on_client_stale(H1Client& client) override {
    ++stale_;
    client.close();
  }
  void on_client_gone(H1Client& client) override {
    clients_.destroy(&client);
    client_ = nullptr;
  }

  void dial(std::uint64_t timeout_ms = 2'000) {
    driver_.turn([&] {
      client_ = clients_.make(context_, *this);
      client_->connect(net::Address::parse_ip("127.0.0.1", member_.port()).value(), timeout_ms);
      EXPECT_EQ(connected_, 0);
    });
  }
  void connect() {
    member_.listen();
    dial();
    ASSERT_TRUE(driver_.run_until([&] { return connected_ == 1 && !member_.peers.empty(); }));
    ASSERT_FALSE(connect_failure_.is_error()) << connect_failure_.detail;
  }
  // Begins an exchange and sends its head.
  void begin(Method method = Method::get,
             BodyKind kind = BodyKind::none,
             std::uint64_t length = 0,
             bool upgrade = false) {
    handler_ = std::make_unique<RecorderHandler>();
    driver_.turn([&] {
      client_->begin(*handler_);
      send_head(method, kind, length, upgrade);
    });
    driver_.settle();
  }
  void send_head(Method method, BodyKind kind, std::uint64_t length, bool upgrade) {
    Head head;
    head.clear();
    head.method = method;
    head.method_text = name_of(method);
    head.path = "/p";
    head.body = kind;
    head.content_length = length;
    head.fields.add(HeaderId::host, "x");
    if (upgrade) {
      head.upgrade = true;
      head.upgrade_token = "websocket";
      head.fields.add(HeaderId::upgrade, "websocket");
    }
    client_->send_head(head, kind == BodyKind::none || (kind == BodyKind::unknown && length == 1));
  }
  void send_body(std::string_view bytes, bool end) {
    driver_.turn([&] { client_->send_body({bytes.data(), bytes.size()}, end); });
    driver_.settle();
  }
  Peer& peer() { return *member_.peers.front(); }
  void member_says(std::string_view bytes) {
    peer().send(bytes);
    driver_.settle();
  }
  bool end_exchange(std::uint64_t idle_ms = 60'000) {
    bool keeps = false;
    driver_.turn([&] {
      keeps = client_->end_exchange(idle_ms);
      if (!keeps) client_->close();
    });
    driver_.settle();
    return keeps;
  }

  LoopDriver driver_;
  PeerListener member_{driver_};
  base::Slab<Inbound> inbounds_;
  base::Slab<H1Client> clients_;
  ClientContext context_{driver_.loop, inbounds_, {}};
  H1Client* client_ = nullptr;
  std::unique_ptr<RecorderHandler> handler_;
  int connected_ = 0;
  int stale_ = 0;
  base::Error connect_failure_;
};

inline constexpr const char* kOk = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

}  // namespace portunus::http
