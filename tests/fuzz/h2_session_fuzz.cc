// Frames into a session, whole ones or bytes of any kind, with exchanges that answer at once, late,
// in parts or not at all. Nothing may be left when the connection is over, and no event may come after
// the end (RecorderHandler looks at that).
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/h2_shared.h"
#include "http/server_connection.h"
#include "tests/support/h2_client.h"
#include "tests/support/h2_pieces.h"
#include "tests/support/loop_driver.h"
#include "tests/support/recorder.h"

using namespace portunus;

namespace {

void demand(bool holds) {
  if (!holds) std::abort();
}

class World final : public http::StreamAcceptor, public http::ServerConnectionOwner {
 public:
  World() {
    context_.h2 = &shared_;
    context_.has_h1 = false;
    context_.requests_max = 200;
    shared_.limits.stream_window = 1000;
    shared_.limits.connection_window = 70'000;
  }

  void run(const std::vector<std::string>& pieces, std::uint8_t how) {
    int ends[2];
    make_pair(ends);
    how_ = how;
    connection_ = connections_.make(context_);
    driver_.turn(
        [&] { connection_->accept(ends[0], net::Address::parse_ip("127.0.0.1", 1).value(), 0); });
    {
      test::Peer peer(driver_, ends[1]);
      test::H2Reader reader;
      for (const std::string& piece : pieces) {
        peer.send(piece);
        step();
        reader.feed(peer.take());
        act();
      }
      step();
      if ((how & 64) != 0 && connection_ != nullptr) {
        driver_.turn([&] { connection_->drain(); });
        step();
      }
      if ((how & 128) != 0 && connection_ != nullptr) {
        driver_.turn([&] {
          connection_->shut_down(
              {base::EndReason::shutdown, base::Side::internal, base::Retry::no, ""});
        });
        step();
      }
      reader.feed(peer.take());
    }
    demand(driver_.run_until([&] { return connection_ == nullptr; }));
    handlers_.clear();
    demand(shared_.streams.live() == 0 && shared_.sessions.live() == 0);
    demand(inbounds_.live() == 0 && driver_.loop.chunks().in_use() == 0);
  }

  http::StreamHandler* on_stream(http::Stream& stream, const http::ClientInfo&) override {
    handlers_.push_back(std::make_unique<test::RecorderHandler>());
    test::RecorderHandler& handler = *handlers_.back();
    handler.stream = &stream;
    if ((how_ & 1) != 0) {
      handler.at_head = [this](test::RecorderHandler& mine) {
        answer(mine);
      };
    } else if ((how_ & 2) != 0) {
      handler.at_end = [this](test::RecorderHandler& mine) {
        if (!mine.expects_silence) answer(mine);
      };
    } else if ((how_ & 4) != 0) {
      handler.at_body = [](test::RecorderHandler& mine) {
        mine.stream->set_reading(false);
      };
    }
    return &handler;
  }
  void on_refused(const http::ClientInfo&,
                  const http::Head&,
                  base::Error why,
                  std::uint16_t,
                  std::string_view) override {
    demand(why.is_error());
  }
  void on_connection_gone(http::ServerConnection& connection) override {
    demand(&connection == connection_);
    connections_.destroy(connection_);
    connection_ = nullptr;
  }

 private:
  static void make_pair(int (&ends)[2]) {
    const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = test::loopback(0);
    socklen_t size = sizeof address;
    demand(::bind(listening, reinterpret_cast<sockaddr*>(&address), size) == 0);
    demand(::listen(listening, 1) == 0);
    ::getsockname(listening, reinterpret_cast<sockaddr*>(&address), &size);
    ends[1] = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    demand(::connect(ends[1], reinterpret_cast<sockaddr*>(&address), size) == 0);
    ends[0] = ::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    demand(ends[0] >= 0);
    ::close(listening);
  }

  void step() {
    for (int i = 0; i < 3; ++i)
      driver_.step();
  }

  void answer(test::RecorderHandler& handler) {
    if (handler.status == -1) return;  // the end of a tunnel
    if (handler.last->upgrade && (how_ & 8) != 0 && handler.has_end) {
      http::Head head;
      head.clear();
      head.status = 101;
      head.upgrade = true;
      handler.stream->send_head(head, false);
      handler.has_end = false;  // the tunnel has one of its own
      handler.status = -1;
      return;
    }
    const bool is_done = handler.has_end || handler.is_reset;
    test::answer(*handler.stream, driver_.loop.chunks(), 200, std::string(3000, 'x'),
                 (how_ & 16) != 0);
    if (!is_done) handler.expects_silence = true;
    handler.status = -1;
  }

  // What exchanges do later: go on reading, or give up.
  void act() {
    driver_.turn([&] {
      for (auto& handler : handlers_) {
        if (handler->is_reset || handler->status == -1 || handler->expects_silence) continue;
        if ((how_ & 4) != 0) handler->stream->set_reading(true);
        if ((how_ & 32) != 0) {
          handler->stream->reset({});
          handler->expects_silence = true;
        }
      }
    });
  }

  test::LoopDriver driver_;
  base::Slab<http::Inbound> inbounds_;
  http::H2Shared shared_;
  base::Slab<http::ServerConnection> connections_;
  http::ServerContext context_{driver_.loop, inbounds_, *this, *this, {}};
  http::ServerConnection* connection_ = nullptr;
  std::vector<std::unique_ptr<test::RecorderHandler>> handlers_;
  std::uint8_t how_ = 0;
};

// Frames that are likely to be right.
std::string special_frame(std::uint8_t type,
                          std::uint8_t flags,
                          std::uint32_t id,
                          const std::string& payload) {
  if (type == 0xf0) return test::h2_get(id);
  if (type == 0xf1) return test::h2_headers(id, test::h2_request("POST", "/"), false);
  if (type == 0xf2) {
    return test::h2_headers(id,
                            {{":method", "CONNECT"},
                             {":protocol", "websocket"},
                             {":scheme", "http"},
                             {":authority", "x"},
                             {":path", "/"}},
                            false);
  }
  if (type != 0xf4) return {};
  return test::h2_headers(id, test::h2_request("GET", "/", {{payload, "x"}, {"x", payload}}),
                          (flags & 1) != 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  static World& world = *new World;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  std::vector<std::string> pieces{std::string(test::kH2Preface) + test::h2_settings()};
  test::h2_add_pieces(text, data[1], special_frame, pieces);
  world.run(pieces, data[0]);
  return 0;
}
