#include "proxy/admin_request.h"

#include <array>
#include <charconv>
#include <optional>
#include <string>

#include "base/clock.h"
#include "http/date.h"
#include "net/loop.h"
#include "proxy/admin_guard.h"
#include "proxy/admin_source.h"
#include "proxy/admin_views.h"

namespace portunus::proxy {
namespace {

using base::Error;
using http::HeaderId;
using http::Method;

constexpr std::uint64_t kRequestBodyMax = std::uint64_t{64} * 1024;  // bytes; no endpoint reads any

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kPlain = "text/plain; charset=utf-8";
constexpr std::string_view kExposition = "text/plain; version=0.0.4; charset=utf-8";

enum class Endpoint : std::uint8_t { index, live, ready, metrics, status, pools, pool, reload };

struct EndpointPath {
  std::string_view path;
  Endpoint endpoint;
};

constexpr auto kEndpoints = std::to_array<EndpointPath>({
    {"/", Endpoint::index},
    {"/livez", Endpoint::live},
    {"/healthz", Endpoint::live},
    {"/health", Endpoint::live},
    {"/ping", Endpoint::live},
    {"/readyz", Endpoint::ready},
    {"/metrics", Endpoint::metrics},
    {"/v1/status", Endpoint::status},
    {"/v1/pools", Endpoint::pools},
    {"/v1/config/reload", Endpoint::reload},
});
constexpr std::string_view kPoolPrefix = "/v1/pools/";

std::optional<Endpoint> find_endpoint(std::string_view path) {
  for (const EndpointPath& known : kEndpoints) {
    if (known.path == path) return known.endpoint;
  }
  if (path.starts_with(kPoolPrefix) && path.size() > kPoolPrefix.size()) return Endpoint::pool;
  return std::nullopt;
}

// Percent-decoded; a broken escape stays as it is (and then names no pool).
std::string decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    if (text[i] == '%' && i + 2 < text.size()) {
      const char* digits = text.data() + i + 1;
      if (std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
        out += static_cast<char>(byte);
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

// One request to the admin interface. Ends itself with its stream.
class AdminRequest final : private http::StreamHandler, private ReloadWaiter, private net::Mortal {
 public:
  AdminRequest(net::Loop& loop,
               AdminSource& source,
               std::string_view listen_host,
               http::Stream& stream)
      : loop_(&loop), source_(&source), stream_(&stream), listen_host_(listen_host) {}

  [[nodiscard]] http::StreamHandler& handler() { return *this; }

 private:
  // http::StreamHandler
  void on_head(http::Head& head, bool end) override {
    head_ = &head;
    if (head.body == http::BodyKind::length && head.content_length > kRequestBodyMax) {
      refuse(413, "no endpoint takes a body");
    } else if (end) {
      answer();
    } else if (head.expects_continue) {
      http::Head interim;
      interim.status = 100;
      stream_->send_head(interim, false);
    }
  }
  void on_body(std::span<const char> bytes, bool end) override {
    received_ += bytes.size();
    if (received_ > kRequestBodyMax) {
      refuse(413, "no endpoint takes a body");
    } else if (end) {
      answer();
    }
  }
  void on_trailers(const http::HeaderBlock& /*trailers*/) override { answer(); }
  void on_drained() override {}
  void on_reset(Error /*why*/) override { end(); }

  // ReloadWaiter
  void on_reload_done(const ReloadOutcome& outcome) override {
    waits_for_reload_ = false;
    reply(outcome.ok ? 200 : 422, kJson, reload_json(outcome));
  }

  // net::Mortal
  void bury() override { delete this; }

  void answer() {
    const std::string_view foreign = find_foreign_sign(*head_, listen_host_);
    if (!foreign.empty()) {
      refuse(403, foreign);
      return;
    }
    const std::optional<Endpoint> endpoint = find_endpoint(head_->path);
    if (!endpoint) {
      refuse(404, "no such endpoint; GET / lists them all");
      return;
    }
    const bool reads = head_->method == Method::get || head_->method == Method::head;
    if (*endpoint == Endpoint::reload) {
      if (head_->method != Method::post) {
        refuse(405, "use POST", "POST");
        return;
      }
      waits_for_reload_ = true;
      source_->reload(*this);
    } else if (!reads) {
      refuse(405, "use GET", "GET, HEAD");
    } else {
      show(*endpoint);
    }
  }

  void show(Endpoint endpoint) {
    switch (endpoint) {
      case Endpoint::index:
        reply(200, kPlain, index_text());
        return;
      case Endpoint::live:
        reply(200, kPlain, "ok\n");
        return;
      case Endpoint::ready: {
        const std::string reason(source_->not_ready_reason());
        reply(reason.empty() ? 200 : 503, kPlain, (reason.empty() ? "ready" : reason) + '\n');
        return;
      }
      case Endpoint::metrics:
        reply(200, kExposition, source_->metrics_text());
        return;
      case Endpoint::status:
        reply(200, kJson,
              status_json(source_->status(), source_->not_ready_reason(), base::wall_us()));
        return;
      case Endpoint::pools:
        reply(200, kJson, pools_json(source_->pools()));
        return;
      case Endpoint::pool:
        show_pool(decode(head_->path.substr(kPoolPrefix.size())));
        return;
      case Endpoint::reload:
        return;  // answer() does it
    }
  }

  void show_pool(const std::string& name) {
    for (const PoolView& pool : source_->pools()) {
      if (pool.name != name) continue;
      reply(200, kJson, pool_json(pool));
      return;
    }
    refuse(404, "no such pool; GET /v1/pools lists them all");
  }

  void refuse(std::uint16_t status, std::string_view message, std::string_view allow = {}) {
    reply(status, kJson, error_json(status, message), allow);
  }

  void reply(std::uint16_t status,
             std::string_view type,
             std::string_view body,
             std::string_view allow = {}) {
    http::Head head;
    head.status = status;
    head.body = http::BodyKind::length;
    head.content_length = body.size();
    head.fields.add(HeaderId::content_type, type);
    head.fields.add(HeaderId::date, http::date_now());
    head.fields.add(HeaderId::cache_control, "no-store");
    head.fields.add("x-content-type-options", "nosniff");
    if (!allow.empty()) head.fields.add("allow", allow);
    stream_->send_head(head, head_->method == Method::head);
    if (head_->method != Method::head) stream_->send_body(body, true);
    end();
  }

  void end() {
    if (waits_for_reload_) source_->withdraw(*this);
    waits_for_reload_ = false;
    loop_->bury(*this);
  }

  net::Loop* loop_;
  AdminSource* source_;
  http::Stream* stream_;
  http::Head* head_ = nullptr;
  std::string_view listen_host_;  // the door's, which outlives its streams
  std::uint64_t received_ = 0;    // bytes of a body that nobody reads
  bool waits_for_reload_ = false;
};

}  // namespace

http::StreamHandler* make_admin_request(net::Loop& loop,
                                        AdminSource& source,
                                        std::string_view listen_host,
                                        http::Stream& stream) {
  return &(new AdminRequest(loop, source, listen_host, stream))->handler();
}

}  // namespace portunus::proxy
