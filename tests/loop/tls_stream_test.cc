// net::Stream with TLS: two of them on one loop, a server's and a client's, over a real connection.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/certificate_reader.h"
#include "net/listener.h"
#include "net/stream.h"
#include "net/tls_context.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/loop_driver.h"

namespace portunus::net {
namespace {

using namespace std::string_view_literals;
using test::LoopDriver;

struct TlsEnd final : StreamOwner {
  explicit TlsEnd(LoopDriver& driver) : stream(driver.loop, *this) {}
  void on_bytes(std::span<const char> bytes) override {
    in.append(bytes.data(), bytes.size());
    if (at_bytes) at_bytes();
  }
  void on_end(base::Error why) override { ends.push_back(why); }
  void on_drained() override { ++drained; }
  void on_closed() override { is_closed = true; }
  void on_connected(base::Error why) override {
    ++connected;
    failure = why;
  }

  std::function<void()> at_bytes;
  std::string in;
  std::vector<base::Error> ends;
  int drained = 0;
  int connected = 0;
  base::Error failure;
  bool is_closed = false;
  Stream stream;
};

class TlsStreamTest : public testing::Test, private Acceptor {
 protected:
  TlsStreamTest() {
    const test::CertificatePem pem = authority().make_for("a.test");
    CertificateReader reader;
    CertStoreBuilder names;
    const auto certificate = reader.read(pem.certificate, pem.key);
    EXPECT_TRUE(certificate);
    names.add("a.test", *certificate);
    TlsServerSettings settings;
    settings.certificates = names.build();
    context_ = *TlsContext::make_server(std::move(settings));
    client_context_ = SSL_CTX_new(TLS_client_method());
    const int descriptor = open_listening_socket(*Address::parse_ip("127.0.0.1", 0), false).value();
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    EXPECT_TRUE(listener_.start(descriptor));
  }
  ~TlsStreamTest() override {
    driver_.turn([&] {
      listener_.close();
      client_.stream.close();
      if (server_) server_->stream.close();
    });
    EXPECT_TRUE(driver_.run_until([&] {
      return is_listener_closed_ && client_.is_closed && (!server_ || server_->is_closed);
    }));
    server_.reset();
    EXPECT_EQ(driver_.loop.chunks().in_use(), 0U);
    SSL_CTX_free(client_context_);
  }
  static test::CertificateMaker& authority() {
    static test::CertificateMaker made;
    return made;
  }

  void on_connection(Listener& listener) override {
    Address peer;
    const int descriptor = listener.take(peer);
    server_ = std::make_unique<TlsEnd>(driver_);
    ASSERT_TRUE(server_->stream.adopt(descriptor));
    ASSERT_TRUE(server_->stream.start_tls(context_.get(), TlsSession::Role::server));
    server_->stream.set_reading(true);
  }
  void on_listener_closed(Listener&) override { is_listener_closed_ = true; }

  void dial(const char* name = "a.test") {
    driver_.turn([&] {
      if (is_client_tls_) {
        ASSERT_TRUE(client_.stream.start_tls(client_context_, TlsSession::Role::client));
        SSL_ctrl(client_.stream.tls()->ssl(), SSL_CTRL_SET_TLSEXT_HOSTNAME,
                 TLSEXT_NAMETYPE_host_name, const_cast<char*>(name));
      }
      client_.stream.connect(*Address::parse_ip("127.0.0.1", port_));
    });
  }
  void open() {
    dial();
    ASSERT_TRUE(driver_.run_until(
        [&] { return server_ && server_->connected == 1 && client_.connected == 1; }));
    ASSERT_FALSE(client_.failure.is_error()) << client_.failure.detail;
    ASSERT_FALSE(server_->failure.is_error()) << server_->failure.detail;
  }

  LoopDriver driver_;
  TlsContext context_;
  SSL_CTX* client_context_ = nullptr;
  Listener listener_{driver_.loop, *this, 0};
  TlsEnd client_{driver_};
  std::unique_ptr<TlsEnd> server_;
  std::uint16_t port_ = 0;
  bool is_client_tls_ = true;
  bool is_listener_closed_ = false;
};

TEST_F(TlsStreamTest, BytesGoBothWays) {
  open();
  EXPECT_EQ(server_->stream.tls()->version(), "TLSv1.3");
  EXPECT_EQ(server_->stream.tls()->server_name(), "a.test");
  driver_.turn([&] { client_.stream.write("question"sv); });
  ASSERT_TRUE(driver_.run_until([&] { return server_->in == "question"; }));
  driver_.turn([&] { server_->stream.write("answer"sv); });
  ASSERT_TRUE(driver_.run_until([&] { return client_.in == "answer"; }));
}

TEST_F(TlsStreamTest, WhatIsWrittenBeforeTheHandshakeFollowsIt) {
  dial();
  driver_.turn([&] { client_.stream.write("early"sv); });
  EXPECT_EQ(client_.stream.unsent() >= 5, true);
  ASSERT_TRUE(driver_.run_until([&] { return server_ && server_->in == "early"; }));
  EXPECT_EQ(client_.stream.unsent(), 0U);
}

TEST_F(TlsStreamTest, ManyBytesToAReaderThatPauses) {
  open();
  std::string much;
  for (int i = 0; much.size() < 8'000'000; ++i)
    much += std::to_string(i) + ' ';
  driver_.turn([&] { client_.stream.set_reading(false); });
  driver_.turn([&] { server_->stream.write(std::string_view(much)); });
  driver_.settle();
  EXPECT_GT(server_->stream.unsent(), Stream::kLowMark);
  // Smaller ones behind it keep their order.
  for (const char* text : {"one", "two", "three"}) {
    driver_.turn([&] { server_->stream.write(std::string_view(text)); });
    much += text;
  }
  driver_.turn([&] {
    server_->stream.end_writing();
    client_.stream.set_reading(true);
  });
  ASSERT_TRUE(driver_.run_until([&] { return !client_.ends.empty(); }));
  EXPECT_TRUE(client_.in == much) << client_.in.size();
  EXPECT_FALSE(client_.ends[0].is_error()) << client_.ends[0].detail;
  EXPECT_EQ(server_->stream.unsent(), 0U);
  EXPECT_GE(server_->drained, 1);
}

TEST_F(TlsStreamTest, HalfACloseLeavesTheOtherHalf) {
  open();
  driver_.turn([&] {
    client_.stream.write("last words"sv);
    client_.stream.end_writing();
  });
  ASSERT_TRUE(driver_.run_until([&] { return !server_->ends.empty(); }));
  EXPECT_EQ(server_->in, "last words");
  EXPECT_FALSE(server_->ends[0].is_error());
  driver_.turn([&] {
    server_->stream.write("heard"sv);
    server_->stream.finish();
  });
  ASSERT_TRUE(driver_.run_until([&] { return !client_.ends.empty() && server_->is_closed; }));
  EXPECT_EQ(client_.in, "heard");
  EXPECT_FALSE(client_.ends[0].is_error()) << client_.ends[0].detail;
}

TEST_F(TlsStreamTest, AnEndThatTheMemberDidNotSayIsAnError) {
  open();
  driver_.turn([&] { server_->stream.write("half an ans"sv); });
  ASSERT_TRUE(driver_.run_until([&] { return !client_.in.empty(); }));
  driver_.turn([&] { server_->stream.close(); });  // without close_notify
  ASSERT_TRUE(driver_.run_until([&] { return !client_.ends.empty(); }));
  EXPECT_EQ(client_.ends[0].reason, base::EndReason::upstream_reset);
}

TEST_F(TlsStreamTest, BothAreToldThatTheHandshakeFailed) {
  SSL_CTX_set_max_proto_version(client_context_, TLS1_1_VERSION);
  SSL_CTX_set_security_level(client_context_, 0);
  dial();
  ASSERT_TRUE(driver_.run_until([&] { return server_ && server_->connected == 1; }));
  EXPECT_TRUE(server_->failure.is_error());
  EXPECT_STREQ(server_->failure.detail, "unsupported protocol");
  driver_.turn([&] { server_->stream.finish(); });
  ASSERT_TRUE(driver_.run_until([&] { return client_.connected == 1; }));
  EXPECT_EQ(client_.failure.reason, base::EndReason::upstream_tls);
  EXPECT_STREQ(client_.failure.detail, "tlsv1 alert protocol version");
}

TEST_F(TlsStreamTest, WhoDoesNotSpeakTlsIsToldApart) {
  is_client_tls_ = false;
  dial();
  ASSERT_TRUE(driver_.run_until([&] { return client_.connected == 1; }));
  driver_.turn([&] { client_.stream.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n"sv); });
  ASSERT_TRUE(driver_.run_until([&] { return server_ && server_->connected == 1; }));
  EXPECT_STREQ(server_->failure.detail, "http request");
}

TEST_F(TlsStreamTest, AClientThatLeavesInTheHandshakeIsAFailure) {
  is_client_tls_ = false;
  dial();
  ASSERT_TRUE(driver_.run_until([&] { return client_.connected == 1; }));
  driver_.turn([&] { client_.stream.end_writing(); });
  ASSERT_TRUE(driver_.run_until([&] { return server_ && server_->connected == 1; }));
  EXPECT_STREQ(server_->failure.detail, "closed in the TLS handshake");
}

TEST_F(TlsStreamTest, ARecordThatWasChangedEndsTheConnection) {
  open();
  const char forged[] =
      "\x17\x03\x03\x00\x18"
      "this was not sealed by it";
  ASSERT_EQ(::send(client_.stream.descriptor(), forged, 29, 0), 29);
  ASSERT_TRUE(driver_.run_until([&] { return !server_->ends.empty(); }));
  EXPECT_TRUE(server_->ends[0].is_error());
  EXPECT_STREQ(server_->ends[0].detail, "decryption failed or bad record mac");
  EXPECT_EQ(server_->in, "");
}

TEST_F(TlsStreamTest, AnOwnerMayCloseInItsCallback) {
  open();
  server_->at_bytes = [&] {
    server_->stream.close();
  };
  driver_.turn([&] { client_.stream.write("x"sv); });
  ASSERT_TRUE(driver_.run_until([&] { return server_->is_closed; }));
}

}  // namespace
}  // namespace portunus::net
