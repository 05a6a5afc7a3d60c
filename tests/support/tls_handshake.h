// A TLS client and a server in one thread, joined in memory: what a handshake comes to, without
// sockets.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

namespace portunus::test {

struct TlsClient {
  std::string server_name = {};
  std::vector<std::string> protocols = {};  // ALPN
  int max_version = TLS1_3_VERSION;
  std::string signatures = {};  // as SSL_set1_sigalgs_list(3)
  bool asks_for_status = false;
  SSL_SESSION* session = nullptr;
  // What it shows when it is asked; PEM. Empty: nothing.
  std::string certificate = {};
  std::string key = {};
};

struct TlsOutcome {
  bool is_good = false;
  std::string error;  // the client's, such as "tlsv1 unrecognized name"
  std::string protocol;
  std::string version;
  std::string common_name;  // of the server's certificate
  bool is_rsa = false;
  std::string staple;  // with it
  bool is_resumed = false;
  bool is_asked = false;     // for a certificate
  std::string server_error;  // ours, when it was the server that gave up
  // To be freed by whoever has it; null when the server gave no ticket.
  std::shared_ptr<SSL_SESSION> session;
};

// `inspect` sees the server's side when hands are shaken.
[[nodiscard]] TlsOutcome shake_hands(SSL_CTX* server,
                                     const TlsClient& client,
                                     void (*inspect)(const SSL* server, void* argument) = nullptr,
                                     void* argument = nullptr);

}  // namespace portunus::test
