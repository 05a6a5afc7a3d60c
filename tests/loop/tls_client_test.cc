// Who is believed, what is sent, sessions and certificates of ours: see tls_client_fixture.h.
#include "base/clock.h"
#include "net/certificate_reader.h"
#include "tests/loop/tls_client_fixture.h"

namespace portunus::net {
namespace {

TEST_F(TlsClientTest, AMemberThatIsVerified) {
  expect_good("a.test");
  EXPECT_EQ(seen().version(), "TLSv1.3");
  EXPECT_EQ(seen().server_name(), "a.test");
  EXPECT_EQ(seen().protocol(), "http/1.1");
  exchange();
  exchange();
  EXPECT_TRUE(clients_.back()->was_used());
  EXPECT_TRUE(clients_.back()->was_made_by(target_.client.get()));
  EXPECT_FALSE(clients_.back()->was_made_by(nullptr));
  EXPECT_NE(clients_.back()->reached_ns(), 0U);
}

TEST_F(TlsClientTest, TheNameIsVerified) {
  expect_refused("b.test", "the certificate is for another name");
  EXPECT_EQ(seen().server_name(), "b.test");
  // It learns that, too.
  ASSERT_TRUE(driver_.run_until([&] { return ends_.back()->is_connected; }));
  EXPECT_TRUE(ends_.back()->failure.is_error());
}

TEST_F(TlsClientTest, TheServerNameStandsForTheHost) {
  settings_.server_name = "a.test";
  expect_good("10.0.0.1");
  EXPECT_EQ(seen().server_name(), "a.test");
  settings_.server_name = "c.test";
  expect_refused("a.test", "the certificate is for another name");
}

TEST_F(TlsClientTest, ADotAtTheEndIsNoPartOfTheName) {
  expect_good("a.test.");
  EXPECT_EQ(seen().server_name(), "a.test");
}

TEST_F(TlsClientTest, TheCommonNameIsNoName) {
  use({.names = {}});  // with CN=nobody
  expect_refused("nobody", "the certificate is for another name");
}

TEST_F(TlsClientTest, AStarIsOneLabel) {
  use({.names = {"*.b.test"}});
  expect_good("a.b.test");
  expect_refused("a.a.b.test", "the certificate is for another name");
  expect_refused("b.test", "the certificate is for another name");
}

TEST_F(TlsClientTest, AddressesAreVerifiedAndNotSent) {
  use({.names = {"127.0.0.1", "::1"}});
  expect_good("127.0.0.1");
  EXPECT_EQ(seen().server_name(), "");
  expect_good("::1");
  expect_refused("127.0.0.2", "the certificate is for another address");
  use({.names = {"a.test"}});
  expect_refused("127.0.0.1", "the certificate is for another address");
}

TEST_F(TlsClientTest, TheAuthorityIsVerified) {
  const CertificateMaker other("Another Authority");
  settings_.trust = trust_of(other);
  expect_refused("a.test", "the certificate is of an unknown authority");
}

TEST_F(TlsClientTest, WhoTrustsNobodyBelievesNobody) {
  settings_.trust = nullptr;
  expect_refused("a.test", "the certificate is of an unknown authority");
}

TEST_F(TlsClientTest, TimeIsVerified) {
  use({.names = {"a.test"}, .valid_from_s = -7200, .valid_to_s = -3600});
  expect_refused("a.test", "the certificate has expired");
  use({.names = {"a.test"}, .valid_from_s = 3600});
  expect_refused("a.test", "the certificate is not valid yet");
}

TEST_F(TlsClientTest, WithoutVerificationWhoeverAnswersIsBelieved) {
  use({.names = {"b.test"}, .valid_from_s = -7200, .valid_to_s = -3600});
  settings_.verifies = false;
  settings_.trust = nullptr;
  expect_good("a.test");
  EXPECT_EQ(seen().server_name(), "a.test");
  exchange();
}

TEST_F(TlsClientTest, NoVersionInCommon) {
  SSL_CTX_set_min_proto_version(server_.get(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(server_.get(), TLS1_1_VERSION);
  SSL_CTX_set_security_level(server_.get(), 0);
  const base::Error error = outcome("a.test");
  EXPECT_EQ(error.reason, EndReason::upstream_tls);
  EXPECT_STREQ(error.detail, "sslv3 alert handshake failure");  // the member's word for it
}

TEST_F(TlsClientTest, AMemberThatStallsTakesItsTimeAndNoMore) {
  speaks_ = Speaks::nothing;
  const base::Error error = outcome("a.test", 100);
  EXPECT_EQ(error.reason, EndReason::upstream_tls);
  EXPECT_EQ(error.retry, Retry::unsent);
  EXPECT_STREQ(error.detail, "the TLS handshake timed out");
}

TEST_F(TlsClientTest, AMemberThatSpeaksPlainHttp) {
  speaks_ = Speaks::plain;
  const base::Error error = outcome("a.test");
  EXPECT_EQ(error.reason, EndReason::upstream_tls);
  EXPECT_STREQ(error.detail, "the member does not speak TLS");
}

TEST_F(TlsClientTest, AMemberThatHangsUp) {
  speaks_ = Speaks::nothing;
  make_client();
  target_.host = "a.test";
  dial();
  ASSERT_TRUE(driver_.run_until([&] { return !ends_.empty(); }));
  driver_.turn([&] { ends_.back()->stream.close(); });
  ASSERT_TRUE(driver_.run_until([&] { return connected_ == 1; }));
  EXPECT_EQ(failure_.reason, EndReason::upstream_tls);
  EXPECT_STREQ(failure_.detail, "closed in the TLS handshake");
}

TEST_F(TlsClientTest, SessionsAreResumed) {
  expect_good("a.test");
  exchange();  // brings the tickets, too
  EXPECT_TRUE(resumption_.has_session());
  EXPECT_FALSE(seen().is_resumed());
  connected_ = 0;
  dial();
  ASSERT_TRUE(driver_.run_until([&] { return connected_ == 1 && ends_.back()->is_connected; }));
  EXPECT_FALSE(failure_.is_error());
  EXPECT_TRUE(seen().is_resumed());
  const std::uint64_t verified_ns = resumption_.verified_ns();
  EXPECT_GT(verified_ns, 0U);
  exchange();
  EXPECT_EQ(resumption_.verified_ns(), verified_ns)
      << "the new ticket is for what was verified then";
  // What was verified by other rules is verified anew.
  settings_.server_name = "a.test";
  expect_good("a.test");
  EXPECT_FALSE(seen().is_resumed());
}

TEST_F(TlsClientTest, ALateTicketMakesNoVerificationYounger) {
  expect_good("a.test");
  const std::uint64_t after_ns = base::monotonic_ns();
  SSL_new_session_ticket(seen().ssl());
  exchange();
  EXPECT_GT(resumption_.verified_ns(), 0U);
  EXPECT_LT(resumption_.verified_ns(), after_ns);
}

TEST_F(TlsClientTest, SessionsOfTls12AreResumedToo) {
  SSL_CTX_set_max_proto_version(server_.get(), TLS1_2_VERSION);
  expect_good("a.test");
  EXPECT_EQ(seen().version(), "TLSv1.2");
  connected_ = 0;
  dial();
  ASSERT_TRUE(driver_.run_until([&] { return connected_ == 1 && ends_.back()->is_connected; }));
  EXPECT_TRUE(seen().is_resumed());
}

TEST_F(TlsClientTest, SessionsOfOneClientAreNotAnothers) {
  expect_good("a.test");
  exchange();
  const SharedTlsClient before = target_.client;
  http::H1Client& old = *clients_.back();
  make_client();
  EXPECT_FALSE(resumption_.has_session());
  // A connection of the old one brings nothing for the new one.
  EXPECT_TRUE(old.was_made_by(before.get()));
  EXPECT_FALSE(old.was_made_by(target_.client.get()));
  SSL_new_session_ticket(seen().ssl());
  driver_.turn([&] { ends_.back()->stream.write("HTTP/1.1 200 OK\r\n\r\n"sv); });
  ASSERT_TRUE(driver_.run_until([&] { return stale_ == 1; }));
  EXPECT_FALSE(resumption_.has_session());
}

TEST_F(TlsClientTest, OurCertificateIsShownToWhoAsks) {
  const test::CertificatePem pem = authority().make_for("us.test");
  SSL_CTX_set_verify(server_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                     [](int, X509_STORE_CTX*) { return 1; });
  CertificateReader reader;
  settings_.certificate = reader.read(pem.certificate, pem.key).value();
  expect_good("a.test");
  exchange();
  const X509* const shown = SSL_get0_peer_certificate(seen().ssl());
  ASSERT_NE(shown, nullptr);
  EXPECT_EQ(X509_cmp(shown, settings_.certificate->leaf()), 0);
}

TEST_F(TlsClientTest, WithoutOneTheRequestFails) {
  SSL_CTX_set_verify(server_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  ASSERT_FALSE(outcome("a.test").is_error());  // TLS 1.3: it learns that later
  test::RecorderHandler handler;
  http::Head head;
  driver_.turn([&] {
    clients_.back()->begin(handler);
    head.clear();
    head.method = http::Method::get;
    head.method_text = "GET";
    head.path = "/p";
    head.fields.add(http::HeaderId::host, "x");
    clients_.back()->send_head(head, true);
  });
  ASSERT_TRUE(driver_.run_until([&] { return ends_.back()->is_connected; }));
  driver_.turn([&] { ends_.back()->stream.finish(); });
  ASSERT_TRUE(driver_.run_until([&] { return handler.is_reset; }));
  EXPECT_EQ(handler.error.reason, EndReason::upstream_tls);
  EXPECT_EQ(handler.error.retry, Retry::idempotent);
  EXPECT_STREQ(handler.error.detail, "tlsv13 alert certificate required");
}

TEST_F(TlsClientTest, ManyAtATimeAllHaveTheirTurn) {
  make_client();
  target_.host = "a.test";
  constexpr int kMany = 40;  // more than a poll may greet
  static_assert(kMany > 2 * Loop::kHandshakesPerPoll);
  for (int i = 0; i < kMany; ++i)
    dial();
  ASSERT_TRUE(driver_.run_until([&] { return connected_ == kMany; }));
  EXPECT_FALSE(failure_.is_error()) << failure_.detail;
  EXPECT_EQ(ends_.size(), std::size_t{kMany});
}

TEST_F(TlsClientTest, OneThatIsClosedBeforeItsTurn) {
  make_client();
  target_.host = "a.test";
  for (int i = 0; i < 30; ++i)
    dial();
  driver_.step();
  driver_.turn([&] {
    for (auto& client : clients_)
      client->close();
  });
  ASSERT_TRUE(driver_.run_until([&] { return gone_ == clients_.size(); }));
}

TEST(TlsClient, WhatIsTheSame) {
  const CertificateMaker maker;
  TlsClientSettings one;
  one.server_name = "a";
  one.trust = TrustStore::read(maker.authority()).value();
  TlsClientSettings other = one;
  other.trust = TrustStore::read(maker.authority()).value();  // read again
  EXPECT_TRUE(is_same(one, other));
  other.trust = nullptr;
  EXPECT_FALSE(is_same(one, other));
  other = one;
  other.verifies = false;
  EXPECT_FALSE(is_same(one, other));
  other = one;
  other.server_name = "b";
  EXPECT_FALSE(is_same(one, other));
}

TEST(TlsClient, HostsOfMembers) {
  EXPECT_EQ(host_of("a.test:443"), "a.test");
  EXPECT_EQ(host_of("10.0.0.1:8443"), "10.0.0.1");
  EXPECT_EQ(host_of("[::1]:8443"), "::1");
}

}  // namespace
}  // namespace portunus::net
