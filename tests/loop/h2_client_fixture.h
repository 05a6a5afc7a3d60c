// One H2Client, and a member that the test plays with raw frames.
#pragma once

#include "http/h2_client.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "http/h2_shared.h"
#include "tests/support/h2_client.h"
#include "tests/support/loop_driver.h"
#include "tests/support/recorder.h"

namespace portunus::http {

using base::EndReason;
using base::Retry;
using test::h2_data;
using test::h2_frame;
using test::h2_headers;
using test::h2_reset;
using test::h2_settings;
using test::h2_window;
using test::H2Fields;

// A request, and what has come of it.
struct H2Call {
  H2ClientStream* stream = nullptr;
  test::RecorderHandler handler;
};

class H2ClientTest : public testing::Test, public H2ClientOwner {
 protected:
  ~H2ClientTest() override {
    driver_.turn([&] {
      for (auto& call : calls_)
        release_now(*call);
      if (client_ != nullptr) client_->close();
    });
    EXPECT_TRUE(driver_.run_until([&] { return client_ == nullptr; }));
    EXPECT_EQ(shared_.client_streams.live(), 0U);
    EXPECT_EQ(inbounds_.live(), 0U);
    EXPECT_EQ(driver_.loop.chunks().in_use(), 0U);
  }
  void on_client_connected(H2Client& client, base::Error failure) override {
    ++connected_;
    connect_failure_ = failure;
    while (client.pop_waiting() != nullptr)
      ++waited_;
  }
  void on_client_gone(H2Client& client) override {
    shared_.clients.destroy(&client);
    client_ = nullptr;
  }

  void dial(std::uint64_t timeout_ms = 2'000) {
    driver_.turn([&] {
      client_ = shared_.clients.make(context_, *this);
      client_->connect(net::Address::parse_ip("127.0.0.1", member_.port()).value(), timeout_ms);
    });
  }
  // With the settings of both sides acknowledged.
  void connect(std::string_view settings = {}) {
    member_.listen();
    dial();
    ASSERT_TRUE(driver_.run_until([&] { return connected_ == 1 && !member_.peers.empty(); }));
    ASSERT_FALSE(connect_failure_.is_error()) << connect_failure_.detail;
    says((settings.empty() ? h2_settings() : std::string(settings)) +
         h2_frame(NGHTTP2_SETTINGS, test::h2_ack, 0));
    ASSERT_EQ(member().settings_acked, 1);
  }
  H2Call& lend() {
    calls_.push_back(std::make_unique<H2Call>());
    driver_.turn([&] { calls_.back()->stream = &client_->lend(); });
    return *calls_.back();
  }
  // Begins an exchange and sends its head.
  H2Call& ask(Method method = Method::get,
              BodyKind kind = BodyKind::none,
              std::uint64_t length = 0) {
    H2Call& call = lend();
    driver_.turn([&] {
      call.stream->begin(call.handler);
      Head head;
      head.clear();
      head.method = method;
      head.method_text = name_of(method);
      head.path = "/p";
      head.query = "q";
      head.has_query = true;
      head.body = kind;
      head.content_length = length;
      head.fields.add(HeaderId::host, "x:1");
      head.fields.add(HeaderId::te, "trailers");
      head.fields.add(HeaderId::connection, "te");
      head.fields.add("x-a", "b");
      call.stream->send_head(head, kind == BodyKind::none);
    });
    listen();
    return call;
  }
  void send_body(H2Call& call, std::string_view bytes, bool end) {
    driver_.turn([&] { call.stream->send_body({bytes.data(), bytes.size()}, end); });
    listen();
  }
  void set_reading(H2Call& call, bool on) {
    driver_.turn([&] { call.stream->set_reading(on); });
    listen();
  }
  void release(H2Call& call) {
    driver_.turn([&] { release_now(call); });
    listen();
  }
  static void release_now(H2Call& call) {
    if (call.stream != nullptr) std::exchange(call.stream, nullptr)->release();
  }
  // Sends, and reads all that comes back until the connection is quiet.
  void says(std::string_view bytes) {
    member_.peers.front()->send(bytes);
    listen();
  }
  void listen() {
    driver_.settle();
    if (member_.peers.empty()) return;
    std::string bytes = member_.peers.front()->take();
    if (!has_preface_ && !bytes.empty()) {
      EXPECT_TRUE(bytes.starts_with(test::kH2Preface));
      bytes.erase(0, test::kH2Preface.size());
      has_preface_ = true;
    }
    reader_.feed(bytes);
  }
  // What the member has got.
  test::H2Reader& member() { return reader_; }
  test::H2Reader::Stream& got(std::uint32_t id) { return reader_.streams[id]; }
  static std::string goaway(std::uint32_t last, std::uint32_t code = NGHTTP2_NO_ERROR) {
    return h2_frame(NGHTTP2_GOAWAY, 0, 0, test::h2_number(last, 4) + test::h2_number(code, 4));
  }
  static std::string ok(std::uint32_t id, std::string_view body = "ok") {
    return h2_headers(id, {{":status", "200"}}, false) + h2_data(id, body, true);
  }
  bool is_gone() {
    return driver_.run_until([&] { return client_ == nullptr; });
  }

  test::LoopDriver driver_;
  test::PeerListener member_{driver_};
  base::Slab<Inbound> inbounds_;
  H2Shared shared_;
  ClientContext context_{driver_.loop, inbounds_, {}, &shared_};
  H2Client* client_ = nullptr;
  test::H2Reader reader_;
  bool has_preface_ = false;
  std::vector<std::unique_ptr<H2Call>> calls_;
  int connected_ = 0;
  int waited_ = 0;
  base::Error connect_failure_;
};

}  // namespace portunus::http
