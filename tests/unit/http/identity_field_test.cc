#include "http/identity_field.h"

#include <gtest/gtest.h>

#include "http/framing.h"

namespace portunus::http {
namespace {

TEST(IdentityField, Names) {
  for (const char* name :
       {"client-cert", "client-cert-chain", "x-client-cert", "x-client-cert-subject",
        "x-client-cert-verify", "x_client_cert_verify", "x.client-cert_san", "client_cert",
        "client.cert-chain", "x-client-certificate"}) {
    EXPECT_TRUE(is_identity_field(name)) << name;
  }
  for (const char* name : {"", "x", "x-", "client", "client-cer", "x-client-id", "xx-client-cert",
                           "clientcert", "x-x-client-cert", "cookie", "content-cert"}) {
    EXPECT_FALSE(is_identity_field(name)) << name;
  }
}

TEST(IdentityField, IsRemovedFromWhatClientsSend) {
  base::ChunkPool pool;
  base::Arena arena(pool);
  Head head;
  head.clear();
  head.arena = &arena;
  head.method = Method::get;
  head.protocol = Protocol::http11;
  head.path = "/";
  head.fields.add(HeaderId::host, "x");
  head.fields.add("x-client-cert-subject", "CN=root");
  head.fields.add("x_client_cert_verify", "ok");
  head.fields.add("client-cert", ":AAAA:");
  head.fields.add("x-client-id", "7");
  EXPECT_FALSE(judge_request(head, arena).is_error());
  EXPECT_EQ(head.fields.find("x-client-cert-subject"), HeaderBlock::kNone);
  EXPECT_EQ(head.fields.find("x_client_cert_verify"), HeaderBlock::kNone);
  EXPECT_EQ(head.fields.find("client-cert"), HeaderBlock::kNone);
  EXPECT_NE(head.fields.find("x-client-id"), HeaderBlock::kNone);
  HeaderBlock trailers;
  trailers.add("x-client-cert-verify", "ok");
  trailers.add("x-sum", "1");
  EXPECT_FALSE(judge_trailers(trailers, base::Side::client).is_error());
  EXPECT_EQ(trailers.find("x-client-cert-verify"), HeaderBlock::kNone);
  EXPECT_NE(trailers.find("x-sum"), HeaderBlock::kNone);
}

}  // namespace
}  // namespace portunus::http
