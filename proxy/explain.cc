#include "proxy/explain.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "base/arena.h"
#include "http/h1_parser.h"
#include "http/inbound.h"
#include "http/reply.h"
#include "proxy/address_rules.h"
#include "proxy/balance_key.h"
#include "proxy/cors.h"
#include "proxy/rate_limiter.h"
#include "proxy/rewrite.h"
#include "proxy/split.h"

namespace portunus::proxy {
namespace {

constexpr std::size_t kFieldsMax = 100;

// The URL's parts; views into it.
struct Target {
  std::string_view scheme;  // may be empty
  std::string_view authority;
  std::string_view rest;  // path and query; may be empty
  std::optional<std::uint16_t> port;
};

std::optional<std::uint16_t> port_of(std::string_view authority) {
  const std::size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos || authority.ends_with(']')) return std::nullopt;
  std::uint32_t port = 0;
  for (const char c : authority.substr(colon + 1)) {
    if (c < '0' || c > '9' || port > 65535) return std::nullopt;
    port = port * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return port <= 65535 ? std::optional(static_cast<std::uint16_t>(port)) : std::nullopt;
}

std::expected<Target, std::string> split_url(std::string_view url) {
  const bool has_control =
      std::ranges::any_of(url, [](char c) { return static_cast<unsigned char>(c) <= 0x20; });
  Target target;
  if (const std::size_t at = url.find("://"); at != std::string_view::npos) {
    target.scheme = url.substr(0, at);
    url.remove_prefix(at + 3);
    if (target.scheme != "http" && target.scheme != "https") {
      return std::unexpected("url: http:// or https://");
    }
  }
  url = url.substr(0, url.find('#'));
  const std::size_t end = std::min(url.find_first_of("/?"), url.size());
  target.authority = url.substr(0, end);
  target.rest = url.substr(end);
  if (target.authority.empty() || has_control) {
    return std::unexpected("url: scheme://host/path, without spaces");
  }
  target.port = port_of(target.authority);
  return target;
}

// The index of the one that such a client would connect to.
std::expected<std::size_t, std::string> find_listener(const conf::Model& model,
                                                      const Target& target,
                                                      const std::string& name) {
  const std::vector<conf::Listener>& all = model.listeners;
  const auto index_if = [&](const auto& is_it) -> std::optional<std::size_t> {
    const auto found = std::ranges::find_if(all, is_it);
    if (found == all.end()) return std::nullopt;
    return static_cast<std::size_t>(found - all.begin());
  };
  if (!name.empty()) {
    const auto named = index_if([&](const auto& each) { return each.name == name; });
    if (named) return *named;
    return std::unexpected("there is no listener `" + name + "`");
  }
  const auto fits = [&](const conf::Listener& each) {
    return target.scheme.empty() || each.is_tls == (target.scheme == "https");
  };
  if (target.port) {
    const auto found =
        index_if([&](const auto& each) { return each.address.port == *target.port && fits(each); });
    if (found) return *found;
    return std::unexpected(
        fmt::format("no listener takes {}connections at port {}",
                    target.scheme.empty() ? "" : std::string(target.scheme) + " ", *target.port));
  }
  const bool wants_tls = target.scheme != "http";
  if (const auto found = index_if([&](const auto& each) { return each.is_tls == wants_tls; })) {
    return *found;
  }
  if (target.scheme.empty() && !all.empty()) return 0;
  return std::unexpected(fmt::format("no listener takes {} connections", target.scheme));
}

// Stops at the end of the head, with whatever body it announces.
class HeadSink final : public http::H1ParserSink {
 public:
  explicit HeadSink(http::H1Parser& parser) : parser_(parser) {}
  void on_message_head() override { parser_.stop(); }
  void on_message_body(std::span<const char> /*bytes*/) override {}

 private:
  http::H1Parser& parser_;
};

std::expected<std::string, std::string> request_text(const ExplainQuestion& question,
                                                     const Target& target) {
  const auto is_bad = [](std::string_view text) {
    return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
  };
  if (question.method.empty() || is_bad(question.method) ||
      question.method.find(' ') != std::string::npos) {
    return std::unexpected("method: a word such as GET");
  }
  const std::string_view slash = target.rest.starts_with('/') ? "" : "/";
  std::string text = fmt::format("{} {}{} HTTP/1.1\r\nHost: {}\r\n", question.method, slash,
                                 target.rest, target.authority);
  if (question.fields.size() > kFieldsMax) return std::unexpected("headers: too many");
  for (const std::string& field : question.fields) {
    if (field.find(':') == std::string::npos || is_bad(field)) {
      return std::unexpected("headers: each as `Name: value`");
    }
    text += field + "\r\n";
  }
  return text + "\r\n";
}

// One question on its way: the request as the data plane would see it, and what becomes of it.
class Explainer {
 public:
  Explainer(const Generation& generation,
            std::span<const SharedMemberList> lists,
            const net::Address& client,
            std::size_t listener)
      : generation_(generation), lists_(lists), client_(client), listener_(listener) {
    inbound_.head.arena = &inbound_.arena;
    out_.listener = listening().name;
  }

  Explanation run(std::string_view text);

 private:
  [[nodiscard]] const conf::Model& model() const { return *generation_.model; }
  [[nodiscard]] const conf::Listener& listening() const { return model().listeners[listener_]; }
  [[nodiscard]] std::string_view scheme() const { return listening().is_tls ? "https" : "http"; }
  void refuse(const base::Error& why);
  void name_site(const Route& route);
  [[nodiscard]] bool admits(const Route& route);
  void tell_limits(const Route& route);
  void act(const RouteMatch& match);
  void list_pools(const RouteMatch& match);
  void tell_cookies(const conf::Forward& forward);
  [[nodiscard]] ExplainedPool judge_pool(std::size_t index) const;

  const Generation& generation_;
  std::span<const SharedMemberList> lists_;
  net::Address client_;
  std::size_t listener_;
  base::ChunkPool chunks_;
  http::Inbound inbound_{chunks_};
  Random random_{1};
  Explanation out_;
};

Explanation Explainer::run(std::string_view text) {
  const http::MessageLimits limits{
      .header_bytes = static_cast<std::uint32_t>(model().limits.header_bytes),
      .header_count = model().limits.header_count,
      .uri_bytes = static_cast<std::uint32_t>(model().limits.uri_bytes)};
  HeadSink sink(inbound_.parser);
  inbound_.parser.start_request(inbound_.arena, inbound_.head, sink, limits);
  const auto progress = inbound_.parser.feed(text);
  const http::Head& head = inbound_.head;
  out_.method = head.method_text;
  out_.host = head.host;
  out_.path = head.path;
  if (progress.result == http::H1Parser::Result::failed) {
    refuse(inbound_.parser.error());
    return std::move(out_);
  }
  if (generation_.routes.has_cors() && !asked_method(head).empty()) {
    out_.notes.emplace_back(
        "a browser's question: with `cors`, the route of the method that it asks about answers");
  }
  const RouteMatch match = generation_.routes.find(listener_, head);
  if (match.route == nullptr) {
    refuse({base::EndReason::rejected_no_route, base::Side::client, base::Retry::no,
            "no route matches"});
    return std::move(out_);
  }
  name_site(*match.route);
  if (admits(*match.route)) act(match);
  return std::move(out_);
}

void Explainer::refuse(const base::Error& why) {
  out_.outcome = "refuse";
  out_.status = http::error_status(why, inbound_.head);
  out_.reason = why.detail;
}

void Explainer::name_site(const Route& route) {
  out_.route = route.name;
  for (const conf::Site& site : model().sites) {
    const auto is_it = [&](const conf::Route& each) {
      return &each == route.config;
    };
    if (std::ranges::any_of(site.routes, is_it)) out_.site = site.name;
  }
}

// As Exchange::admit(), without taking anything from anybody.
bool Explainer::admits(const Route& route) {
  if (route.addresses != nullptr && !route.addresses->admits(client_)) {
    refuse({base::EndReason::rejected_address, base::Side::client, base::Retry::no,
            "the client's address is not allowed"});
    return false;
  }
  tell_limits(route);
  const http::Head& head = inbound_.head;
  if (route.body_bytes_max != 0 && head.body == http::BodyKind::length &&
      head.content_length > route.body_bytes_max) {
    refuse({base::EndReason::rejected_body_size, base::Side::client, base::Retry::no,
            "body too large"});
    return false;
  }
  return true;
}

void Explainer::tell_limits(const Route& route) {
  if (route.priority != static_cast<std::uint8_t>(conf::Priority::normal)) {
    const bool is_low = route.priority == static_cast<std::uint8_t>(conf::Priority::low);
    out_.notes.emplace_back(is_low ? "of low priority: refused first when Portunus is short"
                                   : "of high priority: served even when Portunus is short");
  }
  if (route.client_rule != nullptr)
    out_.notes.emplace_back("the site asks for a client certificate");
  if (route.basic_auth != nullptr)
    out_.notes.emplace_back("a name and a password are asked for (`basic_auth`)");
  if (route.forward_auth != nullptr) {
    out_.notes.push_back(fmt::format("the pool `{}` is asked whether it may go on (`forward_auth`)",
                                     model().pools[route.forward_auth->pool].name));
  }
  if (route.limiter != nullptr) {
    const conf::RateLimit& rule = route.limiter->rule();
    out_.notes.push_back(fmt::format("a rate limit holds: {} requests, burst {}{}", rule.requests,
                                     rule.burst, rule.report_only ? ", reported only" : ""));
  }
}

void Explainer::act(const RouteMatch& match) {
  switch (match.route->action) {
    case RouteAction::forward:
      out_.outcome = "forward";
      out_.upstream_path = upstream_path(match, inbound_.head, inbound_.arena);
      list_pools(match);
      tell_cookies(match.route->forward());
      return;
    case RouteAction::redirect:
      out_.outcome = "redirect";
      out_.status = match.route->redirect().code;
      out_.location = redirect_location(match, inbound_.head, scheme(), inbound_.arena);
      return;
    case RouteAction::respond:
      out_.outcome = "respond";
      out_.status = match.route->respond().status;
      return;
  }
}

void Explainer::list_pools(const RouteMatch& match) {
  const conf::Forward& forward = match.route->forward();
  const bool is_drawn = forward.split_by.by == conf::SplitBy::request && forward.shares.size() > 1;
  const std::size_t chosen =
      choose_share(forward, match.route->weight_sum,
                   split_point(forward.split_by, inbound_.head, client_, random_));
  if (is_drawn) out_.notes.emplace_back("the pool is drawn anew for each request");
  for (std::size_t i = 0; i < forward.shares.size(); ++i) {
    ExplainedPool pool = judge_pool(forward.shares[i].pool);
    pool.share = static_cast<double>(forward.shares[i].weight) / match.route->weight_sum;
    pool.is_chosen = !is_drawn && i == chosen;
    out_.pools.push_back(std::move(pool));
  }
}

// Who is kept by a cookie goes where that says, which only its secret tells.
void Explainer::tell_cookies(const conf::Forward& forward) {
  const auto is_sticky = [&](const conf::PoolShare& share) {
    return model().pools[share.pool].sticky.has_value();
  };
  if (std::ranges::any_of(forward.shares, is_sticky)) {
    out_.notes.emplace_back(
        "for a client without a cookie of the pool: one that has it goes there");
  }
}

ExplainedPool Explainer::judge_pool(std::size_t index) const {
  constexpr std::array kWhy{"the least loaded for its weight", "each in turn, by weight",
                            "the less loaded of two drawn at random",
                            "the one that the key falls to"};
  const conf::Pool& pool = model().pools[index];
  const MemberList& members = *lists_[index];
  ExplainedPool out{.index = index};
  std::array<char, net::Address::kTextMax> text{};
  const std::string_view client_ip{text.data(), client_.write_ip(text.data())};
  const std::unique_ptr<Balancer> balancer = make_balancer(pool);
  balancer->set_members(members);
  PickInput input;
  input.key = balance_key(pool, inbound_.head, client_ip);
  input.in_flight_max = pool.max_connections_per_upstream;
  std::size_t at = 0;
  Random random = random_;
  PickResult result = balancer->pick(input, random, at);
  if (result == PickResult::none) {
    input.takes_suspects = true;
    result = balancer->pick(input, random, at);
  }
  if (pool.overload.adaptive.is_on || pool.overload.max_requests != 0) {
    const PoolShare& share = *generation_.pool_shares[index];
    if (share.requests.load() >= share.bound(pool.overload)) result = PickResult::all_full;
  }
  switch (result) {
    case PickResult::picked:
      out.next = members.entries[at].member->name;
      out.why = kWhy.at(static_cast<std::size_t>(pool.balance));
      break;
    case PickResult::all_full:
      out.why =
          "there is no room at the members, or under the bound of the pool's `overload`: it waits "
          "in the queue";
      break;
    case PickResult::none:
      out.why = "no member can be used: it waits for one";
      break;
  }
  return out;
}

}  // namespace

std::expected<Explanation, std::string> explain(const Generation& generation,
                                                std::span<const SharedMemberList> lists,
                                                const ExplainQuestion& question) {
  const auto target = split_url(question.url);
  if (!target) return std::unexpected(target.error());
  const auto client = net::Address::parse_ip(question.client, 0);
  if (!client) return std::unexpected("client: an IP address");
  const auto listener = find_listener(*generation.model, *target, question.listener);
  if (!listener) return std::unexpected(listener.error());
  const auto text = request_text(question, *target);
  if (!text) return std::unexpected(text.error());
  return Explainer(generation, lists, *client, *listener).run(*text);
}

}  // namespace portunus::proxy
