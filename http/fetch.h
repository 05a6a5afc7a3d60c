// One request and its bounded answer over a connection of its own: for probes, discovery and ACME.
// Not for the path of a request. A Fetcher belongs to one loop and thread and outlives Loop::run();
// a Fetch belongs to its Fetcher and ends itself. Every failure is FetchResult::error, told once by
// on_fetch_done() in a later turn; the deadline covers everything from connecting to the last byte.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/intrusive_list.h"
#include "base/slab.h"
#include "http/h1_client.h"
#include "http/h2_client.h"
#include "http/h2_shared.h"
#include "net/address.h"
#include "net/loop.h"
#include "net/tls_client.h"

namespace portunus::http {

struct FetchField {
  std::string name;  // lower case
  std::string value;
};

struct FetchRequest {
  net::Address address;
  net::TlsTarget tls;      // of https
  bool speaks_h2 = false;  // HTTP/2: in the clear known beforehand, over TLS agreed on by ALPN
  Method method = Method::get;
  std::string host;                // the Host field
  std::string target;              // path and query, begins with '/'
  std::string user_agent;          // empty = none is sent
  std::vector<FetchField> fields;  // further ones; neither framing nor connection
  std::string body;                // sent with its length when not empty
  std::string first;               // goes ahead of everything, such as a PROXY header
  std::uint64_t timeout_ms = 5'000;
  // More of the answer's body is not kept and not waited for; 0 = only the head is of interest.
  std::size_t body_max = std::size_t{64} * 1024;
};

struct FetchResult {
  base::Error error;           // ok: the answer came, whatever its status
  const Head* head = nullptr;  // of the answer, if it came; lives until on_fetch_done() returns
  const HeaderBlock* trailers = nullptr;  // those behind the body, if they came; as the head
  std::string_view body{};                // at most body_max bytes; lives as long as the head
  bool is_truncated = false;              // there was more
  // Timed out, but noticed so much later than due that the loop must have stood still: the answer
  // may lie unread in the socket.
  bool is_late = false;
  std::uint64_t duration_ns = 0;
};

class FetchHandler {
 public:
  virtual void on_fetch_done(const FetchResult& result) = 0;

 protected:
  ~FetchHandler() = default;
};

class Fetcher;

//   connecting -> waiting -> done
//   waiting -> lingering -> done: the handler has its result; the rest of the answer is read and
//   dropped
//                                 for a moment, so that the member sees an end and not a reset
class Fetch final : public base::ListHook<Fetch>,
                    private H1ClientOwner,
                    private H2ClientOwner,
                    private StreamHandler,
                    private net::Mortal {
 public:
  Fetch(Fetcher& fetcher, ClientContext& context, FetchRequest request, FetchHandler& handler);

  // No result will come; the object must not be used any more.
  void cancel();

 private:
  friend class Fetcher;
  enum class Phase : std::uint8_t { connecting, waiting, lingering, done };

  // H1ClientOwner
  void on_client_connected(H1Client& client, base::Error failure) override;
  void on_client_stale(H1Client& client) override;
  void on_client_gone(H1Client& client) override;
  // H2ClientOwner
  void on_client_connected(H2Client& client, base::Error failure) override;
  void on_client_gone(H2Client& client) override;
  // StreamHandler
  void on_head(Head& head, bool end) override;
  void on_body(std::span<const char> bytes, bool end) override;
  void on_trailers(const HeaderBlock& trailers) override;
  void on_drained() override {}
  void on_reset(base::Error why) override;
  // net::Mortal
  void bury() override;

  void begin();
  void on_connected(base::Error failure);
  void send_request(ClientStream& stream);
  void on_deadline();
  void keep(std::span<const char> bytes);
  void report(base::Error error, bool is_late);
  void finish(base::Error error, bool is_late = false);
  void finish_early();
  void close();

  Fetcher* fetcher_;
  FetchHandler* handler_;
  FetchRequest request_;
  const Head* head_ = nullptr;
  const HeaderBlock* trailers_ = nullptr;
  std::string body_;
  std::size_t dropped_ = 0;  // bytes, while lingering
  std::uint64_t begun_ns_ = 0;
  std::uint64_t due_ms_ = 0;
  Phase phase_ = Phase::connecting;
  bool is_truncated_ = false;
  net::Deadline deadline_;
  std::optional<H1Client> h1_;  // one of the two
  std::optional<H2Client> h2_;
  H2ClientStream* stream_ = nullptr;  // of h2_, as long as it is lent
};

class Fetcher {
 public:
  explicit Fetcher(net::Loop& loop, MessageLimits limits = {});
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;
  ~Fetcher() = default;

  // From a turn of the loop (its clock is then true). on_fetch_done() follows in a later turn; the
  // Fetch is valid until then or until cancel().
  Fetch& start(FetchRequest request, FetchHandler& handler);
  // Cancels all that run, and ends all that linger; before Loop::stop().
  void close_all();
  [[nodiscard]] std::size_t open() const { return fetches_.live(); }

 private:
  friend class Fetch;

  net::Loop* loop_;
  base::Slab<Inbound> inbounds_;
  H2Shared h2_;
  ClientContext context_;
  base::Slab<Fetch> fetches_;
  base::IntrusiveList<Fetch, Fetch> running_;
};

}  // namespace portunus::http
