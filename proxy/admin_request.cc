#include "proxy/admin_request.h"

#include <array>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "conf/model.h"
#include "http/date.h"
#include "net/loop.h"
#include "proxy/admin_explain.h"
#include "proxy/admin_guard.h"
#include "proxy/admin_members.h"
#include "proxy/admin_services.h"
#include "proxy/admin_source.h"
#include "proxy/admin_views.h"
#include "proxy/service_texts.h"

namespace portunus::proxy {
namespace {

using base::Error;
using http::HeaderId;
using http::Method;

constexpr std::uint64_t kRequestBodyMax = std::uint64_t{64} * 1024;  // bytes; none needs more

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kPlain = "text/plain; charset=utf-8";
constexpr std::string_view kExposition = "text/plain; version=0.0.4; charset=utf-8";

enum class Endpoint : std::uint8_t {
  index,
  live,
  ready,
  metrics,
  status,
  pools,
  pool,
  services,
  certificates,
  explain,
  reload
};

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
    {"/v1/services", Endpoint::services},
    {"/v1/certificates", Endpoint::certificates},
    {"/v1/routes/explain", Endpoint::explain},
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

// A field that an answer has besides the usual ones.
struct ExtraField {
  std::string_view name{};
  std::string_view value{};
};

// One request to the admin interface. Ends itself with its stream.
class AdminRequest final : private http::StreamHandler,
                           private ReloadWaiter,
                           private DrainWaiter,
                           private ServiceOrderWaiter,
                           private net::Mortal {
 public:
  AdminRequest(net::Loop& loop,
               AdminSource& source,
               const conf::Admin& config,
               http::Stream& stream)
      : loop_(&loop),
        source_(&source),
        stream_(&stream),
        config_(&config),
        wait_over_(this,
                   [](void* self) { static_cast<AdminRequest*>(self)->on_drain_done(false); }) {}

  [[nodiscard]] http::StreamHandler& handler() { return *this; }

 private:
  // http::StreamHandler
  void on_head(http::Head& head, bool end) override {
    head_ = &head;
    if (head.body == http::BodyKind::length && head.content_length > kRequestBodyMax) {
      refuse(413, "no endpoint takes so large a body");
    } else if (end) {
      answer();
    } else if (head.expects_continue) {
      http::Head interim;
      interim.status = 100;
      stream_->send_head(interim, false);
    }
  }
  void on_body(std::span<const char> bytes, bool end) override {
    if (body_.size() + bytes.size() > kRequestBodyMax) {
      refuse(413, "no endpoint takes so large a body");
      return;
    }
    body_.append(bytes.data(), bytes.size());
    if (end) answer();
  }
  void on_trailers(const http::HeaderBlock& /*trailers*/) override { answer(); }
  void on_drained() override {}
  void on_reset(Error /*why*/) override { end(); }

  // ReloadWaiter
  void on_reload_done(const ReloadOutcome& outcome) override {
    waits_for_reload_ = false;
    reply(outcome.ok ? 200 : 422, kJson, reload_json(outcome));
  }

  // DrainWaiter, and the end of the patience.
  void on_drain_done(bool is_drained) override {
    stop_waiting();
    for (const PoolView& pool : source_->pools()) {
      if (pool.name != member_.pool) continue;
      for (const MemberView& member : pool.members) {
        if (member.name != member_.member) continue;
        reply(is_drained ? 200 : 504, kJson, member_json(pool.name, member, is_drained));
        return;
      }
    }
    refuse(404, "the member has gone meanwhile");
  }

  // ServiceOrderWaiter
  void on_ordered(const supervisor::OrderAnswer& answer) override {
    if (!order_) return;
    const supervisor::ServiceOrder order = std::move(*order_);
    order_.reset();
    if (answer.result == supervisor::OrderResult::taken) {
      reply(status_of(answer.result), kJson, order_json(order));
    } else {
      refuse(status_of(answer.result), answer.why);
    }
  }

  // net::Mortal
  void bury() override { delete this; }

  void answer() {
    const std::string_view foreign = find_foreign_sign(*head_, config_->listen.host);
    if (!foreign.empty()) {
      refuse(403, foreign);
      return;
    }
    const std::optional<Endpoint> endpoint = find_endpoint(head_->path);
    const bool is_probe = endpoint == Endpoint::live || endpoint == Endpoint::ready;
    if (lacks_token(*head_, is_probe, *config_)) {
      refuse(401, "this needs the token of the configuration: Authorization: Bearer TOKEN",
             {"www-authenticate", "Bearer"});
      return;
    }
    if (auto member = parse_member_path(head_->path)) {
      member_ = std::move(*member);
      answer_for_member();
      return;
    }
    if (head_->path.starts_with(kServicePrefix)) {
      order_service(head_->path.substr(kServicePrefix.size()));
      return;
    }
    if (!endpoint) {
      refuse(404, "no such endpoint; GET / lists them all");
      return;
    }
    const bool reads = head_->method == Method::get || head_->method == Method::head;
    if (*endpoint == Endpoint::reload || *endpoint == Endpoint::explain) {
      if (head_->method != Method::post) {
        refuse(405, "use POST", {"allow", "POST"});
      } else if (*endpoint == Endpoint::explain) {
        explain_request();
      } else {
        waits_for_reload_ = true;
        source_->reload(*this);
      }
    } else if (!reads) {
      refuse(405, "use GET", {"allow", "GET, HEAD"});
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
        show_pool(decode_path(head_->path.substr(kPoolPrefix.size())));
        return;
      case Endpoint::certificates:
        reply(
            200, kJson,
            certificates_json(source_->certificates(), source_->authority_file(), base::wall_us()));
        break;
      case Endpoint::services:
        reply(200, kJson, services_json(source_->services(), base::wall_us()));
        return;
      case Endpoint::explain:
      case Endpoint::reload:
        return;  // answer() does them
    }
  }

  void explain_request() {
    const auto question = read_question(body_);
    if (!question) {
      refuse(400, question.error());
      return;
    }
    const auto explanation = source_->explain(*question);
    if (explanation) {
      reply(200, kJson, explanation_json(*explanation));
    } else {
      refuse(422, explanation.error());
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

  void answer_for_member() {
    const bool reads = head_->method == Method::get || head_->method == Method::head;
    if (member_.verb.empty()) {
      if (reads) {
        show_member();
      } else {
        refuse(405, "use GET", {"allow", "GET, HEAD"});
      }
      return;
    }
    const std::optional<MemberCommand> command = command_of(member_.verb);
    if (!command) {
      refuse(404, "no such endpoint; GET / lists them all");
      return;
    }
    const bool is_weight = *command == MemberCommand::weigh;
    if (head_->method != (is_weight ? Method::put : Method::post)) {
      refuse(405, is_weight ? "use PUT" : "use POST", {"allow", is_weight ? "PUT" : "POST"});
      return;
    }
    MemberWish wish{member_.pool, member_.member, *command};
    const auto wait = parse_wait(head_->query);
    const auto weight = is_weight ? parse_weight(body_) : 0;
    if (!wait || !weight) {
      refuse(400, wait ? weight.error() : wait.error());
      return;
    }
    wish.weight = *weight;
    const auto done = source_->order(wish);
    if (!done) {
      refuse(404, done.error());
    } else if (*wait > 0 &&
               (*command == MemberCommand::drain || *command == MemberCommand::disable)) {
      waits_for_drain_ = true;
      loop_->timers().arm(wait_over_, *wait);
      source_->await_drained(member_.pool, member_.member, *this);
    } else {
      reply(200, kJson, member_json(member_.pool, *done));
    }
  }

  void show_member() {
    for (const PoolView& pool : source_->pools()) {
      if (pool.name != member_.pool) continue;
      for (const MemberView& member : pool.members) {
        if (member.name != member_.member) continue;
        reply(200, kJson, member_json(pool.name, member));
        return;
      }
    }
    refuse(404, "no such member; GET /v1/pools lists them all");
  }

  void order_service(std::string_view rest) {
    std::optional<supervisor::ServiceOrder> order = parse_service_path(rest);
    if (!order) {
      refuse(404, "no such endpoint; GET / lists them all");
      return;
    }
    if (head_->method != Method::post) {
      refuse(405, "use POST", {"allow", "POST"});
      return;
    }
    order->service = decode_path(order->service);
    if (const auto read = read_service_body(body_, *order); !read) {
      refuse(400, read.error());
      return;
    }
    order_ = std::move(order);
    if (source_->order_service(*order_, *this)) return;
    order_.reset();
    refuse(503, "there is no supervisor, so there are no services (`portunus run` has one)");
  }

  void refuse(std::uint16_t status, std::string_view message, ExtraField extra = {}) {
    reply(status, kJson, error_json(status, message), extra);
  }

  void reply(std::uint16_t status,
             std::string_view type,
             std::string_view body,
             ExtraField extra = {}) {
    http::Head head;
    head.status = status;
    head.body = http::BodyKind::length;
    head.content_length = body.size();
    head.fields.add(HeaderId::content_type, type);
    head.fields.add(HeaderId::date, http::date_now());
    head.fields.add(HeaderId::cache_control, "no-store");
    head.fields.add("x-content-type-options", "nosniff");
    if (!extra.value.empty()) head.fields.add(extra.name, extra.value);
    stream_->send_head(head, head_->method == Method::head);
    if (head_->method != Method::head) stream_->send_body(body, true);
    end();
  }

  void stop_waiting() {
    wait_over_.disarm();
    if (waits_for_drain_) source_->withdraw(static_cast<DrainWaiter&>(*this));
    waits_for_drain_ = false;
  }

  void end() {
    stop_waiting();
    if (waits_for_reload_) source_->withdraw(static_cast<ReloadWaiter&>(*this));
    if (order_) source_->withdraw_order(*this);
    order_.reset();
    waits_for_reload_ = false;
    loop_->bury(*this);
  }

  net::Loop* loop_;
  AdminSource* source_;
  http::Stream* stream_;
  http::Head* head_ = nullptr;
  const conf::Admin* config_;  // the door's, which outlives its streams
  std::string body_;
  MemberPath member_;  // that is meant, for the endpoints about one
  net::Deadline wait_over_;
  bool waits_for_drain_ = false;
  bool waits_for_reload_ = false;
  std::optional<supervisor::ServiceOrder> order_;  // waits for its answer
};

}  // namespace

http::StreamHandler* make_admin_request(net::Loop& loop,
                                        AdminSource& source,
                                        const conf::Admin& config,
                                        http::Stream& stream) {
  return &(new AdminRequest(loop, source, config, stream))->handler();
}

}  // namespace portunus::proxy
