// An H2Session for each connection of a listener, between clients of raw frames and recorded
// exchanges.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "http/h2_shared.h"
#include "http/server_connection.h"
#include "net/listener.h"
#include "tests/support/h2_client.h"
#include "tests/support/loop_driver.h"
#include "tests/support/recorder.h"

namespace portunus::http {

using base::EndReason;
using test::h2_data;
using test::h2_frame;
using test::h2_get;
using test::h2_headers;
using test::h2_ping;
using test::h2_request;
using test::h2_reset;
using test::h2_settings;
using test::h2_window;
using test::H2Fields;
using test::H2Reader;
using test::LoopDriver;
using test::Peer;
using test::RecorderHandler;

// A connection, and what has come on it.
struct H2Peer {
  std::unique_ptr<Peer> socket;
  H2Reader reader;
  H2Reader::Stream& stream(std::uint32_t id) { return reader.streams[id]; }
};

class H2SessionTest : public testing::Test,
                      public net::Acceptor,
                      public StreamAcceptor,
                      public ServerConnectionOwner {
 protected:
  H2SessionTest() {
    context_.h2 = &shared_;
    context_.has_h1 = false;
    const auto here = net::Address::parse_ip("127.0.0.1", 0).value();
    const int descriptor = net::open_listening_socket(here, false).value();
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    EXPECT_TRUE(listener_.start(descriptor));
    // What a handler does unless a test says otherwise: echoes the target and the body.
    at_end_ = [this](RecorderHandler& handler) {
      test::answer(*handler.stream, driver_.loop.chunks(), 200,
                   test::head_text(*handler.last) + "|" + handler.body);
    };
  }
  ~H2SessionTest() override {
    driver_.turn([&] {
      listener_.close();
      for (ServerConnection* connection : open_)
        connection->shut_down({EndReason::shutdown, base::Side::internal, base::Retry::no, ""});
    });
    EXPECT_TRUE(driver_.run_until([&] { return is_listener_closed_ && open_.empty(); }));
    EXPECT_EQ(shared_.streams.live(), 0U);
    EXPECT_EQ(shared_.sessions.live(), 0U);
    EXPECT_EQ(inbounds_.live(), 0U);
    EXPECT_EQ(driver_.loop.chunks().in_use(), 0U);
  }

  void on_connection(net::Listener& listener) override {
    ServerConnection* connection = connections_.make(context_);
    open_.push_back(connection);
    net::Address peer;
    const int descriptor = listener.take(peer);
    connection->accept(descriptor, peer, listener.index());
  }
  void on_listener_closed(net::Listener&) override { is_listener_closed_ = true; }
  StreamHandler* on_stream(Stream& stream, const ClientInfo& client) override {
    EXPECT_TRUE(client.peer.is_set());
    handlers_.push_back(std::make_unique<RecorderHandler>());
    RecorderHandler& handler = *handlers_.back();
    handler.stream = &stream;
    handler.at_head = at_head_;
    handler.at_body = at_body_;
    handler.at_end = at_end_;
    return &handler;
  }
  void on_refused(const ClientInfo&,
                  const Head&,
                  base::Error why,
                  std::uint16_t status,
                  std::string_view /*request_id*/) override {
    refused_ += std::string(base::name_of(why.reason)) + " " + std::to_string(status) + "; ";
  }
  void on_connection_gone(ServerConnection& connection) override {
    std::erase(open_, &connection);
    connections_.destroy(&connection);
  }

  // With the preface sent and settings acknowledged.
  std::unique_ptr<H2Peer> connect(std::string_view settings = {}) {
    auto peer = connect_raw();
    talk(*peer, std::string(test::kH2Preface) +
                    (settings.empty() ? h2_settings() : std::string(settings)) +
                    h2_frame(NGHTTP2_SETTINGS, test::h2_ack, 0));
    EXPECT_EQ(peer->reader.settings_acked, 1);
    return peer;
  }
  std::unique_ptr<H2Peer> connect_raw(int receive_buffer = 0) {
    auto peer = std::make_unique<H2Peer>();
    peer->socket = Peer::connect_to(driver_, port_, receive_buffer);
    return peer;
  }
  // Sends, and reads all that comes back until the connection is quiet.
  void talk(H2Peer& peer, std::string_view bytes) {
    peer.socket->send(bytes);
    listen(peer);
  }
  void listen(H2Peer& peer) {
    driver_.settle();
    peer.reader.feed(peer.socket->take());
  }
  // Until the server has hung up; false when it does not.
  bool is_hung_up(H2Peer& peer) {
    const bool is_over = driver_.run_until([&] { return peer.socket->is_over(); });
    peer.reader.feed(peer.socket->take());
    return is_over;
  }
  // The code of the GOAWAY by which the server ends the connection, or -1.
  int goaway_after(H2Peer& peer, std::string_view bytes) {
    talk(peer, bytes);
    if (!is_hung_up(peer) || peer.reader.goaways.empty()) return -1;
    return peer.reader.goaways.back();
  }

  RecorderHandler& last() { return *handlers_.back(); }
  void send_head(RecorderHandler& handler,
                 std::uint16_t status,
                 BodyKind kind,
                 std::uint64_t length = 0,
                 bool end = false) {
    driver_.turn([&] {
      Head head;
      head.clear();
      head.status = status;
      head.body = kind;
      head.content_length = length;
      handler.stream->send_head(head, end);
    });
  }
  void send_body(RecorderHandler& handler, std::string_view bytes, bool end) {
    driver_.turn([&] { handler.stream->send_body({bytes.data(), bytes.size()}, end); });
  }
  std::uint64_t stopped(H2Abuse kind) const {
    return context_.h2_counts.floods_stopped[static_cast<std::size_t>(kind)];
  }

  LoopDriver driver_;
  base::Slab<Inbound> inbounds_;
  H2Shared shared_;
  base::Slab<ServerConnection> connections_;
  ServerContext context_{driver_.loop, inbounds_, *this, *this, {}};
  net::Listener listener_{driver_.loop, *this, 0};
  std::uint16_t port_ = 0;
  bool is_listener_closed_ = false;
  std::vector<ServerConnection*> open_;
  std::vector<std::unique_ptr<RecorderHandler>> handlers_;
  std::string refused_;
  RecorderHandler::Do at_head_, at_body_, at_end_;
};

}  // namespace portunus::http
