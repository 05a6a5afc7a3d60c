#include "net/client_rules.h"

#include <gtest/gtest.h>

#include <ctime>
#include <string>

#include "net/certificate_reader.h"
#include "net/client_identity.h"
#include "net/tls_context.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/tls_handshake.h"

namespace portunus::net {
namespace {

using test::CertificateMaker;
using test::CertificatePem;
using test::TlsClient;
using test::TlsOutcome;

SharedClientAuthority authority_of(const CertificateMaker& maker) {
  return ClientAuthority::read(maker.authority()).value();
}

TEST(ClientRules, BelongToHostsAsRoutesDo) {
  const CertificateMaker maker;
  const ClientRule required{authority_of(maker), true};
  const ClientRule optional{required.authority, false};
  ClientRules rules;
  rules.add("a.example", &required);
  rules.add("a.example", nullptr);  // another site's, behind it
  rules.add("*.example", &optional);
  rules.add("open.example", nullptr);
  EXPECT_TRUE(*rules.find("a.example") == required);
  EXPECT_TRUE(*rules.find("A.EXAMPLE.") == required);
  EXPECT_TRUE(*rules.find("b.example") == optional);
  EXPECT_EQ(rules.find("open.example"), nullptr);
  EXPECT_EQ(rules.find("elsewhere"), nullptr);
  EXPECT_EQ(rules.find(""), nullptr);
  rules.add("*", &required);
  rules.add("*", nullptr);
  EXPECT_TRUE(*rules.find("elsewhere") == required);
  EXPECT_TRUE(*rules.find("") == required);
  EXPECT_EQ(rules.find("open.example"), nullptr);
}

// must.example, may.example and other.example (another authority) ask; open.example does not. All have
// one certificate.
class ClientRulesTest : public testing::Test {
 protected:
  struct World {
    World();
    CertificateMaker servers;
    CertificateMaker clients{"Clients"};
    CertificateMaker others{"Others"};
    SharedCertStore store;
    std::shared_ptr<const ClientRules> rules;
    ClientRule must;
  };
  static const World& world() {
    static const World made;
    return made;
  }
  TlsContext context() {
    TlsServerSettings settings;
    settings.certificates = world().store;
    settings.clients = world().rules;
    settings.tickets = keys_;
    return TlsContext::make_server(std::move(settings)).value();
  }
  static CertificatePem certificate_by(const CertificateMaker& maker,
                                       test::CertificateWishes wishes = {}) {
    wishes.is_client = true;
    if (wishes.subject.empty()) wishes.subject = "alice";
    return maker.make(wishes);
  }
  static TlsClient client(const std::string& host, int version, const CertificatePem& pem = {}) {
    TlsClient out{.server_name = host, .max_version = version};
    out.certificate = pem.certificate;
    out.key = pem.key;
    return out;
  }
  // What the server knows of the client: "-" nothing was asked, "none", or its subject.
  static std::string known(const TlsContext& to, const TlsClient& from) {
    std::string out;
    const TlsOutcome outcome = test::shake_hands(
        to.get(), from,
        [](const SSL* server, void* argument) {
          auto& text = *static_cast<std::string*>(argument);
          const ClientRule* rule = client_rule_of(server);
          X509* certificate = SSL_get0_peer_certificate(server);
          EXPECT_EQ(SSL_get_verify_result(server), X509_V_OK);
          EXPECT_EQ(rule == nullptr && certificate != nullptr, false);
          text = rule == nullptr          ? "-"
                 : certificate == nullptr ? "none"
                                          : identity_of(certificate)->subject;
        },
        &out);
    return outcome.is_good ? out : "failed: " + outcome.server_error;
  }

  std::shared_ptr<TicketKeys> keys_ = std::make_shared<TicketKeys>();
};

ClientRulesTest::World::World() {
  CertificateReader reader;
  const auto pem = servers.make({.names = {"*.example"}});
  CertStoreBuilder builder;
  const auto certificate = reader.read(pem.certificate, pem.key).value();
  builder.add("*.example", certificate);
  builder.set_default(std::span(&certificate, 1));
  store = builder.build();
  must = {authority_of(clients), true};
  const ClientRule may{must.authority, false};
  const ClientRule other{authority_of(others), true};
  const ClientRule broken{nullptr, true};
  auto made = std::make_shared<ClientRules>();
  made->add("must.example", &must);
  made->add("may.example", &may);
  made->add("other.example", &other);
  made->add("broken.example", &broken);
  made->add("open.example", nullptr);
  rules = made;
}

constexpr int kVersions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

TEST_F(ClientRulesTest, WhoHasAGoodCertificateGetsIn) {
  const TlsContext server = context();
  const CertificatePem alice = certificate_by(world().clients);
  const CertificatePem bob = certificate_by(world().others, {.subject = "bob"});
  for (const int version : kVersions) {
    EXPECT_EQ(known(server, client("must.example", version, alice)), "CN=alice");
    EXPECT_EQ(known(server, client("may.example", version, alice)), "CN=alice");
    EXPECT_EQ(known(server, client("MUST.example.", version, alice)), "CN=alice");
    EXPECT_EQ(known(server, client("other.example", version, bob)), "CN=bob");
    EXPECT_EQ(known(server, client("open.example", version, alice)), "-") << "nobody asks";
    EXPECT_EQ(known(server, client("", version, alice)), "-");
  }
}

TEST_F(ClientRulesTest, WithoutACertificate) {
  const TlsContext server = context();
  for (const int version : kVersions) {
    EXPECT_EQ(known(server, client("must.example", version)),
              "failed: peer did not return a certificate");
    EXPECT_EQ(known(server, client("may.example", version)), "none");
    EXPECT_TRUE(test::shake_hands(server.get(), client("may.example", version)).is_asked);
    EXPECT_FALSE(test::shake_hands(server.get(), client("open.example", version)).is_asked);
    EXPECT_FALSE(test::shake_hands(server.get(), client("", version)).is_asked);
    EXPECT_FALSE(test::shake_hands(server.get(), client("broken.example", version)).is_good);
  }
}

TEST_F(ClientRulesTest, OneThatIsNotGoodIsRefusedEitherWay) {
  const TlsContext server = context();
  const CertificateMaker strangers("Clients");  // of that name, with another key
  const CertificatePem bad[] = {
      certificate_by(world().others),
      certificate_by(strangers),
      certificate_by(world().clients, {.valid_from_s = -7200, .valid_to_s = -3600}),
      certificate_by(world().clients, {.valid_from_s = 3600}),
      world().clients.make({.names = {"server.example"}}),  // for servers alone
  };
  for (const int version : kVersions) {
    for (const CertificatePem& each : bad) {
      EXPECT_EQ(known(server, client("must.example", version, each)),
                "failed: certificate verify failed");
      EXPECT_EQ(known(server, client("may.example", version, each)),
                "failed: certificate verify failed");
      EXPECT_EQ(known(server, client("open.example", version, each)), "-");
    }
  }
}

// What handshakes come to, and that the list that counts is that of the day.
TEST_F(ClientRulesTest, WhoIsRevokedIsRefusedEitherWay) {
  const CertificateMaker clients("Clients of lists");
  const CertificatePem alice = certificate_by(clients);
  const CertificatePem bob = certificate_by(clients, {.subject = "bob"});
  const ClientRule must{authority_of(clients), true};
  const ClientRule may{must.authority, false};
  auto made = std::make_shared<ClientRules>();
  made->add("must.example", &must);
  made->add("may.example", &may);
  TlsServerSettings settings;
  settings.certificates = world().store;
  settings.clients = made;
  settings.tickets = keys_;
  const TlsContext server = TlsContext::make_server(std::move(settings)).value();
  const auto show = [&](const std::string& pem) {
    static_cast<void>(must.authority->exchange_revocations(
        RevocationList::read(pem, must.authority->certificates(), std::time(nullptr)).value()));
  };
  for (const int version : kVersions) {
    for (const std::string host : {"must.example", "may.example"}) {
      show(clients.revocations());
      EXPECT_EQ(known(server, client(host, version, alice)), "CN=alice");
      show(clients.revocations({.revoked = {alice.certificate}}));
      EXPECT_EQ(known(server, client(host, version, alice)), "failed: certificate verify failed");
      EXPECT_EQ(known(server, client(host, version, bob)), "CN=bob");
      show(clients.revocations({.from_s = -7200, .to_s = -3600}));
      EXPECT_EQ(known(server, client(host, version, bob)), "failed: certificate verify failed");
    }
    EXPECT_EQ(known(server, client("may.example", version)), "none");
  }
}

// A session that was begun elsewhere has shown no certificate, or another one.
TEST_F(ClientRulesTest, NoSessionIsCarriedOver) {
  const TlsContext server = context();
  const CertificatePem alice = certificate_by(world().clients);
  for (const int version : kVersions) {
    const TlsOutcome open = test::shake_hands(server.get(), client("open.example", version));
    ASSERT_TRUE(open.is_good && open.session);
    EXPECT_EQ(test::shake_hands(server.get(), client("must.example", version, alice)).session,
              nullptr);
    for (const char* host : {"must.example", "may.example"}) {
      TlsClient again = client(host, version);
      again.session = open.session.get();
      const TlsOutcome outcome = test::shake_hands(server.get(), again);
      EXPECT_FALSE(outcome.is_resumed);
      EXPECT_EQ(outcome.is_good, std::string(host) == "may.example");
    }
    TlsClient back = client("open.example", version);
    back.session = open.session.get();
    EXPECT_TRUE(test::shake_hands(server.get(), back).is_resumed) << "where nobody asks it works";
  }
}

}  // namespace
}  // namespace portunus::net
