// One data-plane thread without a thread: loop, pools, generation, and on wish a door on a free port,
// between members and clients that the test plays (loop_driver.h). A route `/*` leads to one pool of
// `members`. At its end everything must be back where it came from. Header only.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/access_log_buffer.h"
#include "proxy/door.h"
#include "proxy/exchange.h"
#include "proxy/generation_builder.h"
#include "proxy/metrics.h"
#include "tests/support/loop_driver.h"
#include "tests/support/recorder.h"

namespace portunus::test {

inline void demand(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

// The client's side of an exchange: its request's memory and the stream that takes the answer.
struct RecordedClient {
  explicit RecordedClient(base::ChunkPool& chunks) : arena(chunks) {
    head.clear();
    head.arena = &arena;
  }
  base::Arena arena;
  http::Head head;
  RecorderStream stream;
  http::StreamHandler* exchange = nullptr;
};

class ProxyWorld final : public proxy::DoorOwner {
 public:
  explicit ProxyWorld(std::size_t member_count = 1) {
    model = std::make_unique<conf::Model>();
    model->listeners.push_back({.name = "web", .address = {"127.0.0.1", 0}, .declared_at = {}});
    model->access_log.format = conf::AccessLogFormat::json;
    conf::Pool pool;
    pool.name = "app";
    pool.balance = conf::Balance::round_robin;
    pool.retry.window = base::Milliseconds(300);
    pool.retry.pause = base::Milliseconds(1000);  // each member once
    for (std::size_t i = 0; i < member_count; ++i) {
      members.push_back(std::make_unique<PeerListener>(driver));
      pool.upstreams.push_back({{"127.0.0.1", members.back()->port()}, 1, false});
    }
    model->pools.push_back(std::move(pool));
    conf::Site site;
    site.name = "*";
    site.hosts = {"*"};
    site.listeners = {0};
    conf::Route route;
    route.name = "all";
    route.match.paths = {{"/", true}};
    conf::Forward forward;
    forward.shares = {{0, 1}};
    route.action = forward;
    site.routes.push_back(std::move(route));
    model->sites.push_back(std::move(site));
    log_shared.format = conf::AccessLogFormat::json;
    exchanges_context.credentials = &credentials;
  }
  ~ProxyWorld() {
    passwords.stop();
    if (door_) {
      driver.turn([&] { door_->shut_down(); });
      demand(driver.run_until([&] { return is_door_empty_; }), "the door empties");
    }
    demand(driver.run_until([&] { return exchanges_context.running == 0; }), "exchanges end");
    if (pool_) {
      for (const auto& entry : generation->members[0]->entries) {
        demand(entry.member->in_flight.load() == 0, "every lease is returned");
        demand(entry.member->waiting_threads.load() == 0, "nobody waits");
      }
      demand(pool_->queue_length() == 0, "the queue is empty");
      demand(exchanges_context.kept_bytes == 0, "kept bodies are let go");
      demand(generation->pool_shares[0]->pending.load() == 0, "nobody is pending");
      demand(generation->pool_shares[0]->requests.load() == 0, "every place is given back");
      demand(generation->pool_shares[0]->waiting_threads.load() == 0, "nobody waits for a place");
      driver.turn([&] { pool_->close_all(); });
      demand(driver.run_until([&] { return !pool_->has_open_connections(); }), "connections close");
    }
    demand(context.open_connections == 0, "connections are counted down");
    demand(local.pins == 0, "nobody holds the generation");
    demand(inbounds.live() == 0, "messages are back");
    demand(driver.loop.chunks().in_use() == 0, "chunks are back");
    local.is_current = true;
  }
  ProxyWorld(const ProxyWorld&) = delete;
  ProxyWorld& operator=(const ProxyWorld&) = delete;

  // After the model has been changed as the test wants it.
  void start(bool with_door = false) {
    proxy::RouteTable routes = proxy::RouteTable::build(*model);
    const proxy::ResolvedNames names = proxy::resolve_members(*model);
    auto built = builder.build(std::move(model), std::move(routes), names, nullptr);
    demand(built.has_value(), "the generation is built");
    generation = *built;
    for (const auto& entry : generation->members[0]->entries) {
      entry.member->state = health::MemberState::up;
    }
    pool_ = std::make_unique<proxy::Pool>(context, "app");
    pool_->configure(generation->model->pools[0], generation->members[0],
                     generation->pool_shares[0]);
    local.shared = generation;
    local.pools = {pool_.get()};
    exchanges_context.current = &local;
    if (with_door) open_door();
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] proxy::Pool& pool() { return *pool_; }
  [[nodiscard]] proxy::Door& door() { return *door_; }
  [[nodiscard]] health::Member& member(std::size_t i) {
    return *generation->members[0]->entries[i].member;
  }

  // A request by a recorded client; its body, if any, is sent with body().
  std::unique_ptr<RecordedClient> request(http::Method method,
                                          std::string_view path = "/",
                                          http::BodyKind kind = http::BodyKind::none,
                                          std::uint64_t length = 0,
                                          bool upgrade = false) {
    auto client = std::make_unique<RecordedClient>(driver.loop.chunks());
    driver.turn([&] {
      http::Head& head = client->head;
      head.method = method;
      head.method_text = http::name_of(method);
      head.path = path;
      head.authority = head.host = "example.org";
      head.fields.add(http::HeaderId::host, "example.org");
      head.body = kind;
      head.content_length = length;
      if (upgrade) {
        head.upgrade = true;
        head.upgrade_token = "websocket";
        head.fields.add(http::HeaderId::upgrade, "websocket");
        head.fields.add(http::HeaderId::connection, "upgrade");
      }
      const auto peer = net::Address::parse_ip("192.0.2.1", 1234).value();
      client->exchange = make_exchange(client->stream, peer);
      client->exchange->on_head(head, kind == http::BodyKind::none);
    });
    driver.settle();
    return client;
  }
  // Needs a turn; its on_head() is the caller's.
  http::StreamHandler* make_exchange(http::Stream& stream, const net::Address& peer) {
    return exchanges.make(exchanges_context, local, stream,
                          http::ClientInfo{.peer = peer, .source = peer},
                          proxy::ListenerKey{0, generation->listener_ids[0]});
  }
  void body(RecordedClient& client, std::string_view bytes, bool end) {
    driver.turn([&] { client.exchange->on_body({bytes.data(), bytes.size()}, end); });
    driver.settle();
  }
  void reset(RecordedClient& client) {
    driver.turn([&] {
      client.exchange->on_reset(
          {base::EndReason::client_closed, base::Side::client, base::Retry::no, "gone"});
    });
    driver.settle();
  }
  // The connections that a member has taken, the last one first opened last.
  Peer& connection(std::size_t member = 0, std::size_t i = 0) {
    return *members[member]->peers.at(i);
  }

  // The access log's lines since the last call: one per exchange that has ended.
  std::vector<std::string> records() {
    std::vector<std::string> lines;
    access_log.flush();
    while (proxy::AccessLogBuffer::Block* block = access_log.take_full()) {
      std::string_view text(block->bytes.data(), block->size);
      while (!text.empty()) {
        const std::size_t end = text.find('\n');
        lines.emplace_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      }
      access_log.give_back(block);
    }
    return lines;
  }

  // proxy::DoorOwner
  [[nodiscard]] bool has_room() override { return true; }
  void on_client_opened() override { ++clients; }
  void on_client_closed() override { --clients; }
  void on_share_freed() override {}
  void on_door_empty(proxy::Door& /*door*/) override { is_door_empty_ = true; }

  LoopDriver driver;
  std::vector<std::unique_ptr<PeerListener>> members;
  std::unique_ptr<conf::Model> model;  // until start()
  proxy::Metrics metrics;
  proxy::MetricsShard& shard = metrics.add_shard();
  proxy::AccessLogShared log_shared;
  proxy::AccessLogBuffer access_log{log_shared};
  proxy::GenerationBuilder builder{metrics.registry()};
  std::shared_ptr<proxy::Generation> generation;
  proxy::Random random{42};
  base::Slab<http::Inbound> inbounds;
  base::Slab<http::ServerConnection> servers;
  base::Slab<http::H1Client> connections;
  base::Slab<proxy::Exchange> exchanges;
  http::H2Shared h2;
  http::ClientContext clients_context{driver.loop, inbounds, {}, &h2};
  proxy::PoolContext context{driver.loop, clients_context, connections, random};
  proxy::ExchangeContext exchanges_context{driver.loop, exchanges, random, shard, access_log,
                                           nullptr,     {},        0,      0};
  proxy::PasswordChecker passwords;
  proxy::Credentials credentials{driver.loop, passwords};
  proxy::LocalGeneration local;
  int clients = 0;

 private:
  void open_door() {
    const auto here = net::Address::parse_ip("127.0.0.1", 0).value();
    const int descriptor = net::open_listening_socket(here, false).value();
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    door_ = std::make_unique<proxy::Door>(exchanges_context, servers, inbounds, *this,
                                          generation->model->listeners[0]);
    door_->configure(*generation, 0);
    demand(door_->open(descriptor), "the door opens");
  }

  std::unique_ptr<proxy::Pool> pool_;
  std::unique_ptr<proxy::Door> door_;
  bool is_door_empty_ = false;
  std::uint16_t port_ = 0;
};

}  // namespace portunus::test
