// TLS with members: H1Client as a client, and a net::Stream that plays the member with certificates of
// all kinds, over real connections on one loop.
#pragma once

#include "net/tls_client.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "http/h1_client.h"
#include "net/certificate_reader.h"
#include "net/listener.h"
#include "net/stream.h"
#include "net/tls_context.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/loop_driver.h"
#include "tests/support/recorder.h"

namespace portunus::net {

using namespace std::string_view_literals;
using base::EndReason;
using base::Retry;
using test::CertificateMaker;
using test::LoopDriver;

// What the member sees of one connection. Echoes nothing by itself.
struct MemberEnd final : StreamOwner {
  explicit MemberEnd(LoopDriver& driver) : stream(driver.loop, *this) {}
  void on_bytes(std::span<const char> bytes) override { in.append(bytes.data(), bytes.size()); }
  void on_end(base::Error why) override {
    has_ended = true;
    end = why;
  }
  void on_drained() override {}
  void on_closed() override { is_closed = true; }
  void on_connected(base::Error why) override {
    is_connected = true;
    failure = why;
  }
  std::string in;
  base::Error end;
  base::Error failure;
  bool has_ended = false;
  bool is_connected = false;
  bool is_closed = false;
  Stream stream;
};

enum class Speaks : std::uint8_t { tls, nothing, plain };

class TlsClientTest : public testing::Test, private Acceptor, public http::H1ClientOwner {
 protected:
  TlsClientTest() {
    const int descriptor = open_listening_socket(*Address::parse_ip("127.0.0.1", 0), false).value();
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    EXPECT_TRUE(listener_.start(descriptor));
    EXPECT_TRUE(tickets_->rotate());
    use(test::CertificateWishes{.names = {"a.test"}});
    settings_.trust = trust_of(authority());
  }
  ~TlsClientTest() override {
    driver_.turn([&] {
      listener_.close();
      for (auto& client : clients_)
        client->close();
      for (auto& end : ends_)
        end->stream.close();
    });
    EXPECT_TRUE(driver_.run_until([&] {
      return is_listener_closed_ && gone_ == clients_.size() &&
             std::ranges::all_of(ends_, [](const auto& each) { return each->is_closed; });
    }));
    clients_.clear();
    ends_.clear();
    EXPECT_EQ(driver_.loop.chunks().in_use(), 0U);
  }
  static CertificateMaker& authority() {
    static CertificateMaker made;
    return made;
  }
  static SharedTrust trust_of(const CertificateMaker& maker) {
    return TrustStore::read(maker.authority()).value();
  }

  // The member's certificate from now on.
  void use(const test::CertificateWishes& wishes) {
    const test::CertificatePem pem = authority().make(wishes);
    CertificateReader reader;
    const auto certificate = reader.read(pem.certificate, pem.key);
    ASSERT_TRUE(certificate) << certificate.error();
    CertStoreBuilder names;
    names.set_default(std::vector{*certificate});
    TlsServerSettings settings;
    settings.certificates = names.build();
    settings.tickets = tickets_;
    server_ = *TlsContext::make_server(std::move(settings));
  }
  void make_client() {
    auto made = TlsClient::make(settings_);
    ASSERT_TRUE(made) << made.error();
    target_.client = *made;
    resumption_.keep_for(made->get());
  }

  void on_connection(Listener& listener) override {
    Address peer;
    const int descriptor = listener.take(peer);
    ends_.push_back(std::make_unique<MemberEnd>(driver_));
    Stream& stream = ends_.back()->stream;
    ASSERT_TRUE(stream.adopt(descriptor));
    if (speaks_ == Speaks::tls) {
      ASSERT_TRUE(stream.start_tls(server_.get(), TlsSession::Role::server));
    }
    stream.set_reading(true);
    if (speaks_ == Speaks::plain) stream.write("HTTP/1.1 400 Bad Request\r\n\r\n"sv);
  }
  void on_listener_closed(Listener&) override { is_listener_closed_ = true; }

  void on_client_connected(http::H1Client& client, base::Error failure) override {
    ++connected_;
    failure_ = failure;
    if (failure.is_error()) client.close();
  }
  void on_client_stale(http::H1Client& client) override {
    ++stale_;
    client.close();
  }
  void on_client_gone(http::H1Client&) override { ++gone_; }

  http::H1Client& dial(std::uint64_t tls_ms = 5'000) {
    driver_.turn([&] {
      clients_.push_back(std::make_unique<http::H1Client>(context_, *this));
      clients_.back()->connect_tls(*Address::parse_ip("127.0.0.1", port_), target_, &resumption_,
                                   {5'000, tls_ms});
    });
    return *clients_.back();
  }
  // What became of one connection.
  base::Error outcome(const std::string& host, std::uint64_t tls_ms = 5'000) {
    make_client();
    target_.host = host;
    connected_ = 0;
    dial(tls_ms);
    EXPECT_TRUE(driver_.run_until([&] { return connected_ == 1; }));
    return failure_;
  }
  void expect_refused(const std::string& host, const std::string& why) {
    const std::size_t gone = gone_;
    const base::Error error = outcome(host);
    EXPECT_EQ(error.reason, EndReason::upstream_tls);
    EXPECT_EQ(error.side, base::Side::upstream);
    EXPECT_EQ(error.retry, Retry::unsent);
    EXPECT_EQ(error.detail, why);
    ASSERT_TRUE(driver_.run_until([&] { return gone_ == gone + 1; }));
    EXPECT_EQ(ends_.back()->in, "");
  }
  void expect_good(const std::string& host) {
    const base::Error error = outcome(host);
    EXPECT_FALSE(error.is_error()) << error.detail;
    ASSERT_TRUE(driver_.run_until([&] { return ends_.back()->is_connected; }));
    EXPECT_FALSE(ends_.back()->failure.is_error());
  }
  TlsSession& seen() { return *ends_.back()->stream.tls(); }

  // One request with its answer over the last connection; it is idle afterwards.
  void exchange() {
    http::H1Client& client = *clients_.back();
    MemberEnd& member = *ends_.back();
    test::RecorderHandler handler;
    http::Head head;
    driver_.turn([&] {
      client.begin(handler);
      head.clear();
      head.method = http::Method::get;
      head.method_text = "GET";
      head.path = "/p";
      head.fields.add(http::HeaderId::host, "x");
      client.send_head(head, true);
    });
    ASSERT_TRUE(driver_.run_until([&] { return member.in.ends_with("\r\n\r\n"); }));
    EXPECT_TRUE(member.in.starts_with("GET /p HTTP/1.1\r\n")) << member.in;
    member.in.clear();
    driver_.turn([&] { member.stream.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"sv); });
    ASSERT_TRUE(driver_.run_until([&] { return handler.has_end; }));
    EXPECT_EQ(handler.body, "ok");
    driver_.turn([&] { EXPECT_TRUE(client.end_exchange(60'000)); });
  }

  LoopDriver driver_;
  base::Slab<http::Inbound> inbounds_;
  http::ClientContext context_{driver_.loop, inbounds_, {}};
  std::shared_ptr<TicketKeys> tickets_ = std::make_shared<TicketKeys>();
  TlsContext server_;
  TlsClientSettings settings_;
  TlsTarget target_;
  TlsResumption resumption_;
  Listener listener_{driver_.loop, *this, 0};
  std::vector<std::unique_ptr<http::H1Client>> clients_;
  std::vector<std::unique_ptr<MemberEnd>> ends_;
  base::Error failure_;
  std::size_t gone_ = 0;
  int connected_ = 0;
  int stale_ = 0;
  std::uint16_t port_ = 0;
  Speaks speaks_ = Speaks::tls;
  bool is_listener_closed_ = false;
};

}  // namespace portunus::net
