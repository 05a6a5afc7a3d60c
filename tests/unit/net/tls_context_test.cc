#include "net/tls_context.h"

#include <gtest/gtest.h>

#include <ctime>

#include "net/certificate_reader.h"
#include "net/ocsp.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/tls_handshake.h"

namespace portunus::net {
namespace {

using test::CertificateMaker;
using test::shake_hands;
using test::TlsClient;
using test::TlsOutcome;

class TlsContextTest : public testing::Test {
 protected:
  SharedCertificate make(const test::CertificateWishes& wishes) {
    static const CertificateMaker maker;
    const auto pem = maker.make(wishes);
    auto read = reader_.read(pem.certificate, pem.key);
    EXPECT_TRUE(read) << read.error();
    return *read;
  }
  // a.example (ECDSA and RSA), *.b.example (RSA), and rest.example (ECDSA) for everybody.
  TlsServerSettings settings() {
    static const SharedCertStore store = [this] {
      CertStoreBuilder builder;
      builder.add(make({.names = {"a.example"}}));
      builder.add(make({.names = {"a.example"}, .is_rsa = true}));
      builder.add(make({.names = {"*.b.example"}, .is_rsa = true}));
      const auto rest = make({.names = {"rest.example"}});
      builder.set_default(std::span(&rest, 1));
      return builder.build();
    }();
    TlsServerSettings made;
    made.certificates = store;
    made.tickets = keys_;
    return made;
  }
  static TlsContext make_context(TlsServerSettings settings) {
    auto made = TlsContext::make_server(std::move(settings));
    EXPECT_TRUE(made) << made.error();
    return *std::move(made);
  }
  std::shared_ptr<TicketKeys> keys_ = std::make_shared<TicketKeys>();
  CertificateReader reader_;
};

TEST_F(TlsContextTest, TheServerNameChoosesTheCertificate) {
  const TlsContext context = make_context(settings());
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const auto name = [&](const std::string& host) {
      const TlsOutcome outcome =
          shake_hands(context.get(), {.server_name = host, .max_version = version});
      EXPECT_TRUE(outcome.is_good) << outcome.error;
      return outcome.common_name;
    };
    EXPECT_EQ(name("a.example"), "a.example");
    EXPECT_EQ(name("A.EXAMPLE"), "a.example");
    EXPECT_EQ(name("x.b.example"), "*.b.example");
    EXPECT_EQ(name("unknown.example"), "rest.example");
    EXPECT_EQ(name(""), "rest.example");
  }
}

TEST_F(TlsContextTest, TheStapleIsThatOfTheCertificate) {
  const auto ecdsa = make({.names = {"a.example"}});
  const auto rsa = make({.names = {"a.example"}, .is_rsa = true});
  const auto rest = make({.names = {"rest.example"}});
  CertStoreBuilder builder;
  builder.add(ecdsa);
  builder.add(rsa);
  builder.set_default(std::span(&rest, 1));
  TlsServerSettings made = settings();
  made.certificates = builder.build();
  const TlsContext context = make_context(made);
  const std::int64_t now = std::time(nullptr);
  const OcspStaple good{"of the first", now - 60, now + 60};
  const OcspStaple other{"of the other", now - 60, now + 60};
  const OcspStaple ended{"of everybody", now - 60, now};
  ecdsa->set_staple(&good);
  rest->set_staple(&ended);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client{.server_name = "a.example", .max_version = version};
    EXPECT_EQ(shake_hands(context.get(), client).staple, "") << "nobody has asked";
    client.asks_for_status = true;
    rsa->set_staple(nullptr);
    EXPECT_EQ(shake_hands(context.get(), client).staple, good.bytes);
    client.signatures = "RSA-PSS+SHA256:RSA+SHA256";
    TlsOutcome outcome = shake_hands(context.get(), client);
    EXPECT_TRUE(outcome.is_good && outcome.is_rsa);
    EXPECT_EQ(outcome.staple, "");
    rsa->set_staple(&other);
    EXPECT_EQ(shake_hands(context.get(), client).staple, other.bytes);
    outcome = shake_hands(context.get(), {.max_version = version, .asks_for_status = true});
    EXPECT_EQ(outcome.common_name, "rest.example");
    EXPECT_EQ(outcome.staple, "") << "its time is over";
  }
}

TEST_F(TlsContextTest, TheClientGetsTheKindOfKeyThatItKnows) {
  const TlsContext context = make_context(settings());
  EXPECT_FALSE(shake_hands(context.get(), {.server_name = "a.example"}).is_rsa);
  const TlsOutcome old = shake_hands(
      context.get(), {.server_name = "a.example", .signatures = "RSA-PSS+SHA256:RSA+SHA256"});
  EXPECT_TRUE(old.is_good) << old.error;
  EXPECT_TRUE(old.is_rsa);
  EXPECT_EQ(old.common_name, "a.example");
  // The other kind of everybody's certificate is nothing for a name that has its own.
  EXPECT_FALSE(
      shake_hands(context.get(), {.server_name = "x.b.example", .signatures = "ECDSA+SHA256"})
          .is_good);
}

TEST_F(TlsContextTest, StrictContextsKnowTheirNames) {
  TlsServerSettings strict = settings();
  strict.is_strict = true;
  const TlsContext context = make_context(std::move(strict));
  EXPECT_TRUE(shake_hands(context.get(), {.server_name = "a.example"}).is_good);
  EXPECT_EQ(shake_hands(context.get(), {.server_name = "c.example"}).error,
            "tlsv1 unrecognized name");
  EXPECT_EQ(shake_hands(context.get(), {}).error, "tlsv1 unrecognized name");
}

TEST_F(TlsContextTest, WithoutADefaultUnknownNamesAreRefused) {
  CertStoreBuilder builder;
  builder.add(make({.names = {"a.example"}}));
  TlsServerSettings alone;
  alone.certificates = builder.build();
  const TlsContext context = make_context(std::move(alone));
  EXPECT_TRUE(shake_hands(context.get(), {.server_name = "a.example"}).is_good);
  EXPECT_EQ(shake_hands(context.get(), {.server_name = "c.example"}).error,
            "tlsv1 unrecognized name");
  EXPECT_FALSE(shake_hands(context.get(), {}).is_good);
}

TEST_F(TlsContextTest, ProtocolsAreChosenInOurOrder) {
  const TlsContext both = make_context(settings());
  EXPECT_EQ(shake_hands(both.get(), {.protocols = {"http/1.1", "h2"}}).protocol, "h2");
  EXPECT_EQ(shake_hands(both.get(), {.protocols = {"http/1.1"}}).protocol, "http/1.1");
  EXPECT_EQ(shake_hands(both.get(), {}).protocol, "");
  EXPECT_TRUE(shake_hands(both.get(), {}).is_good);
  EXPECT_EQ(shake_hands(both.get(), {.protocols = {"smtp"}}).error,
            "tlsv1 alert no application protocol");
  TlsServerSettings one = settings();
  one.offers_h2 = false;
  const TlsContext h1 = make_context(std::move(one));
  EXPECT_EQ(shake_hands(h1.get(), {.protocols = {"h2", "http/1.1"}}).protocol, "http/1.1");
  EXPECT_FALSE(shake_hands(h1.get(), {.protocols = {"h2"}}).is_good);
}

TEST_F(TlsContextTest, OldVersionsAreRefused) {
  const TlsContext usual = make_context(settings());
  EXPECT_FALSE(shake_hands(usual.get(), {.max_version = TLS1_1_VERSION}).is_good);
  EXPECT_EQ(shake_hands(usual.get(), {.max_version = TLS1_2_VERSION}).version, "TLSv1.2");
  EXPECT_EQ(shake_hands(usual.get(), {}).version, "TLSv1.3");
  TlsServerSettings newest = settings();
  newest.min_version = TlsVersion::v1_3;
  const TlsContext strict = make_context(std::move(newest));
  EXPECT_FALSE(shake_hands(strict.get(), {.max_version = TLS1_2_VERSION}).is_good);
}

TEST_F(TlsContextTest, SessionsAreResumedOverGenerationsAndRotations) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const TlsContext first = make_context(settings());
    const auto connect = [&](const TlsContext& to, SSL_SESSION* session) {
      return shake_hands(to.get(),
                         {.server_name = "a.example", .max_version = version, .session = session});
    };
    TlsOutcome outcome = connect(first, nullptr);
    ASSERT_TRUE(outcome.is_good && outcome.session) << outcome.error;
    EXPECT_FALSE(outcome.is_resumed);
    const TlsContext second = make_context(settings());
    outcome = connect(second, outcome.session.get());
    EXPECT_TRUE(outcome.is_resumed);
    EXPECT_TRUE(version == TLS1_2_VERSION || outcome.session) << "one for the next time";
    const auto old = connect(first, nullptr).session;
    keys_->rotate();
    outcome = connect(second, old.get());
    EXPECT_TRUE(outcome.is_resumed);
    EXPECT_TRUE(outcome.session) << "a new ticket for an old key";
    keys_->rotate();
    EXPECT_TRUE(connect(second, old.get()).is_resumed);
    keys_->rotate();
    outcome = connect(second, old.get());
    EXPECT_TRUE(outcome.is_good);
    EXPECT_FALSE(outcome.is_resumed);
  }
}

TEST_F(TlsContextTest, WithoutKeysNothingIsResumed) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsServerSettings without = settings();
    without.tickets = nullptr;
    const TlsContext context = make_context(std::move(without));
    const TlsClient client{.server_name = "a.example", .max_version = version};
    const TlsOutcome outcome = shake_hands(context.get(), client);
    EXPECT_TRUE(outcome.is_good);
    TlsClient again = client;
    again.session = outcome.session.get();
    EXPECT_FALSE(shake_hands(context.get(), again).is_resumed);
  }
}

TEST_F(TlsContextTest, CallbacksOutliveTheContextsOwner) {
  SSL* connection = nullptr;
  {
    const TlsContext context = make_context(settings());
    connection = SSL_new(context.get());
  }
  EXPECT_TRUE(shake_hands(SSL_get_SSL_CTX(connection), {.server_name = "a.example"}).is_good);
  EXPECT_TRUE(certificates_of(connection).agree("a.example", "a.example"));
  SSL_free(connection);
}

}  // namespace
}  // namespace portunus::net
