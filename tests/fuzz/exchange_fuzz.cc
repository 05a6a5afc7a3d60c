// Clients and members that say anything in any order and any cut, with half-closes, resets and pauses,
// around a real door, exchange and pool in one loop. Whatever happens: one record with one end_reason
// per exchange, what waits is bounded, and at the end every lease, message, chunk and connection is back
// (ProxyWorld checks these). The input is a list of steps; bytes come from it or from a list of
// messages.
#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "tests/support/proxy_world.h"

using namespace portunus;

namespace {

constexpr std::array<std::string_view, 14> kRequests{
    "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "GET /a?b HTTP/1.0\r\n\r\n",
    "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n123456789",
    "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\nx-t: 1\r\n\r\n",
    "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    "DELETE /x HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "\r\nGET /",
};
constexpr std::array<std::string_view, 14> kAnswers{
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\nx-t: 1\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nuntil the close",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n",
    "HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
    "HTTP/1.1 503 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP",
};

class Steps {
 public:
  Steps(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  [[nodiscard]] bool is_done() const { return at_ >= size_; }
  std::uint8_t next() { return is_done() ? std::uint8_t{0} : data_[at_++]; }
  std::string text(std::size_t count) {
    std::string taken;
    while (count-- > 0 && !is_done())
      taken.push_back(static_cast<char>(next()));
    return taken;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

class Play {
 public:
  Play(test::ProxyWorld& world, Steps& steps) : world_(world), steps_(steps) {}

  void step() {
    const std::uint8_t what = steps_.next();
    const bool by_client = (what & 1) != 0;
    test::Peer* peer = by_client ? client() : member();
    switch ((what >> 1) % 12) {
      case 0:
      case 1:
      case 2:
      case 3:
        say(peer, message(by_client));
        return;
      case 4:
        say(peer, steps_.text(steps_.next() % 32));
        return;
      case 5:
        say(peer, std::string(std::size_t{steps_.next()} * 1024, 'x'));
        return;
      case 6:
        if (peer != nullptr) peer->end_writing();
        return;
      case 7:
        if (peer != nullptr && steps_.next() % 4 == 0) peer->reset();
        return;
      case 8:
        if (peer != nullptr) peer->reads = !peer->reads;
        return;
      case 9:
        if (clients_.size() < 6)
          clients_.push_back(test::Peer::connect_to(world_.driver, world_.port()));
        return;
      default:
        run();
        return;
    }
  }
  void run() {
    for (int i = 0; i < 3; ++i)
      world_.driver.step();
    // Per connection: one side's stash or unsent bytes, the other's, a head; all have bounds.
    const std::size_t most = (clients_.size() + 1) * 2 * (http::kUnsentHigh + 4 * 128 * 1024);
    test::demand(world_.driver.loop.chunks().in_use() * sizeof(base::Chunk) <= most + 1'000'000,
                 "what waits is bounded");
  }
  void close_clients() { clients_.clear(); }

 private:
  test::Peer* client() {
    if (clients_.empty()) {
      clients_.push_back(test::Peer::connect_to(world_.driver, world_.port()));
    }
    return clients_[steps_.next() % clients_.size()].get();
  }
  test::Peer* member() {
    std::vector<test::Peer*> all;
    for (auto& listener : world_.members) {
      for (auto& peer : listener->peers) {
        if (peer->descriptor() >= 0) all.push_back(peer.get());
      }
    }
    return all.empty() ? nullptr : all[steps_.next() % all.size()];
  }
  std::string message(bool by_client) {
    const auto& list = by_client ? kRequests : kAnswers;
    std::string text(list[steps_.next() % list.size()]);
    const std::uint8_t cut = steps_.next();
    if (cut < 64) text.resize(cut % (text.size() + 1));
    return text;
  }
  void say(test::Peer* peer, std::string_view bytes) {
    if (peer != nullptr && peer->descriptor() >= 0 && !peer->has_unsent()) peer->send(bytes);
  }

  test::ProxyWorld& world_;
  Steps& steps_;
  std::vector<std::unique_ptr<test::Peer>> clients_;
};

void check_records(test::ProxyWorld& world, std::set<std::string>& ids) {
  for (const std::string& line : world.records()) {
    const std::string_view word = "\"end_reason\":\"";
    const std::size_t at = line.find(word);
    test::demand(at != std::string::npos && line.find(word, at + 1) == std::string::npos,
                 "a record has one end_reason");
    const std::size_t id = line.find("\"request_id\":\"");
    if (id != std::string::npos) {
      const std::string text = line.substr(id + 14, line.find('"', id + 14) - id - 14);
      test::demand(ids.insert(text).second, "an exchange has one record");
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Steps steps(data, std::min<std::size_t>(size, 2'000));
  test::ProxyWorld world(2);
  world.members[0]->listen();
  const std::uint8_t settings = steps.next();
  if ((settings & 1) != 0) world.members[1]->listen();
  if ((settings & 2) != 0) world.model->pools[0].max_connections_per_upstream = 1;
  if ((settings & 4) != 0) world.model->limits.body_bytes = 1'000;
  if ((settings & 8) != 0) world.model->pools[0].overload.max_pending = 1;
  world.start(true);
  std::set<std::string> ids;
  {
    Play play(world, steps);
    while (!steps.is_done()) {
      play.step();
      check_records(world, ids);
    }
    play.run();
    if ((settings & 16) != 0) {  // else the door cuts them off at its end
      play.close_clients();
      world.driver.settle();
    }
    world.driver.turn([&] { world.door().shut_down(); });
    test::demand(world.driver.run_until([&] { return world.exchanges_context.running == 0; }),
                 "every exchange ends");
    check_records(world, ids);
  }
  test::demand(world.exchanges.live() == 0, "no exchange is left");
  return 0;
}
