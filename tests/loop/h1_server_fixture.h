// An H1Server for each connection of a listener, between raw clients and recorded exchanges.
#pragma once

#include "http/server_connection.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "net/listener.h"
#include "tests/support/loop_driver.h"
#include "tests/support/recorder.h"

namespace portunus::http {

using base::EndReason;
using test::LoopDriver;
using test::Peer;
using test::RecorderHandler;

inline bool starts_with(const std::string& text, const std::string& begin) {
  return text.compare(0, begin.size(), begin) == 0;
}
inline std::size_t count_of(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
    ++count;
  return count;
}
inline std::string body_of(const std::string& message) {
  return message.substr(message.find("\r\n\r\n") + 4);
}

// A listener, its connections, and a handler made anew for each stream.
class H1ServerTest : public testing::Test,
                     public net::Acceptor,
                     public StreamAcceptor,
                     public ServerConnectionOwner {
 protected:
  H1ServerTest() {
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
  ~H1ServerTest() override {
    driver_.turn([&] {
      listener_.close();
      for (ServerConnection* server : open_)
        server->shut_down({EndReason::shutdown, base::Side::internal, base::Retry::no, ""});
    });
    EXPECT_TRUE(driver_.run_until([&] { return is_listener_closed_ && open_.empty(); }));
    EXPECT_EQ(inbounds_.live(), 0U);
    EXPECT_EQ(driver_.loop.chunks().in_use(), 0U);
  }

  void on_connection(net::Listener& listener) override {
    ServerConnection* server = servers_.make(context_);
    open_.push_back(server);
    net::Address peer;
    const int descriptor = listener.take(peer);
    EXPECT_TRUE(peer.is_set());
    server->accept(descriptor, peer, listener.index());
  }
  void on_listener_closed(net::Listener&) override { is_listener_closed_ = true; }
  StreamHandler* on_stream(Stream& stream, const ClientInfo&) override {
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
  void on_connection_gone(ServerConnection& server) override {
    std::erase(open_, &server);
    servers_.destroy(&server);
  }

  std::unique_ptr<Peer> connect(int receive_buffer = 0) {
    return Peer::connect_to(driver_, port_, receive_buffer);
  }
  // Sends and returns all that comes back once the connection is quiet.
  std::string talk(Peer& peer, std::string_view bytes) {
    peer.send(bytes);
    driver_.settle();
    return peer.take();
  }
  RecorderHandler& last() { return *handlers_.back(); }
  void send_head(RecorderHandler& handler,
                 std::uint16_t status,
                 BodyKind kind,
                 std::uint64_t length = 0,
                 bool end = false,
                 std::string_view upgrade = {}) {
    Head head;
    head.clear();
    head.status = status;
    head.body = kind;
    head.content_length = length;
    if (!upgrade.empty()) {
      head.upgrade = true;
      head.fields.add(HeaderId::upgrade, upgrade);
    }
    handler.stream->send_head(head, end);
  }
  void send_body(RecorderHandler& handler, std::string_view bytes, bool end) {
    handler.stream->send_body({bytes.data(), bytes.size()}, end);
  }
  // An answer of unknown length that begins with "abc", and then its member is gone.
  std::unique_ptr<Peer> reset_in_the_answer_to(std::string_view request) {
    at_end_ = nullptr;
    auto peer = connect();
    talk(*peer, request);
    driver_.turn([&] {
      send_head(last(), 200, BodyKind::unknown);
      send_body(last(), "abc", false);
    });
    driver_.settle();
    driver_.turn([&] { last().stream->reset({}); });
    last().expects_silence = true;
    driver_.settle();
    return peer;
  }

  LoopDriver driver_;
  base::Slab<Inbound> inbounds_;
  base::Slab<ServerConnection> servers_;
  ServerContext context_{driver_.loop, inbounds_, *this, *this, {}};
  net::Listener listener_{driver_.loop, *this, 0};
  std::uint16_t port_ = 0;
  bool is_listener_closed_ = false;
  std::vector<ServerConnection*> open_;
  std::vector<std::unique_ptr<RecorderHandler>> handlers_;
  std::string refused_;
  RecorderHandler::Do at_head_, at_body_, at_end_;
};

inline constexpr const char* kGet = "GET /a HTTP/1.1\r\nhost: x\r\n\r\n";

}  // namespace portunus::http
