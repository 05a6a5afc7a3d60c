// Frames of a member into a connection to it, whole ones or bytes of any kind, with exchanges that send
// bodies, pause, give up or are taken back. Nothing may be left when the connection is over, and no
// event may come after the end (RecorderHandler looks at that).
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/h2_client.h"
#include "http/h2_shared.h"
#include "tests/support/h2_client.h"
#include "tests/support/h2_pieces.h"
#include "tests/support/loop_driver.h"
#include "tests/support/recorder.h"

using namespace portunus;

namespace {

constexpr std::size_t kCalls = 6;

void demand(bool holds) {
  if (!holds) std::abort();
}

struct Call {
  http::H2ClientStream* stream = nullptr;
  test::RecorderHandler handler;
};

class World final : public http::H2ClientOwner {
 public:
  World() { member_.listen(); }

  void run(const std::vector<std::string>& pieces, std::uint8_t how) {
    how_ = how;
    driver_.turn([&] {
      client_ = shared_.clients.make(context_, *this);
      client_->connect(net::Address::parse_ip("127.0.0.1", member_.port()).value(), 2'000);
    });
    demand(driver_.run_until([&] { return is_connected_ && !member_.peers.empty(); }));
    for (std::size_t i = 0; i < kCalls; ++i)
      ask(i);
    for (const std::string& piece : pieces) {
      member_.peers.front()->send(piece);
      step();
      member_.peers.front()->take();
      act();
    }
    if ((how & 64) != 0) member_.peers.front()->close();
    step();
    driver_.turn([&] {
      for (auto& call : calls_)
        release(*call);
      if (client_ != nullptr) (how_ & 128) != 0 ? client_->leave() : client_->close();
    });
    step();
    member_.peers.clear();
    demand(driver_.run_until([&] { return client_ == nullptr; }));
    step();  // buries what was given back
    calls_.clear();
    is_connected_ = false;
    demand(shared_.client_streams.live() == 0 && shared_.clients.live() == 0);
    demand(inbounds_.live() == 0 && driver_.loop.chunks().in_use() == 0);
  }

  void on_client_connected(http::H2Client&, base::Error failure) override {
    demand(!failure.is_error());
    is_connected_ = true;
  }
  void on_client_gone(http::H2Client& client) override {
    demand(&client == client_);
    shared_.clients.destroy(client_);
    client_ = nullptr;
  }

 private:
  void step() {
    for (int i = 0; i < 3; ++i)
      driver_.step();
  }

  static void release(Call& call) {
    if (call.stream != nullptr) std::exchange(call.stream, nullptr)->release();
  }

  void ask(std::size_t i) {
    calls_.push_back(std::make_unique<Call>());
    Call& call = *calls_.back();
    if ((how_ & 1) != 0) {
      call.handler.at_end = [&call](test::RecorderHandler&) {
        release(call);
      };
    }
    if ((how_ & 2) != 0) {
      call.handler.at_body = [&call](test::RecorderHandler&) {
        call.stream->set_reading(false);
      };
    }
    if ((how_ & 4) != 0) {
      call.handler.at_head = [&call](test::RecorderHandler& mine) {
        release(call);
        mine.expects_silence = true;
      };
    }
    driver_.turn([&] {
      if (client_ == nullptr || !client_->has_room()) return;
      call.stream = &client_->lend();
      call.stream->begin(call.handler);
      http::Head head;
      head.clear();
      head.method = i % 3 == 0 ? http::Method::head : http::Method::post;
      head.method_text = http::name_of(head.method);
      head.path = "/";
      head.body = i % 2 == 0 ? http::BodyKind::none : http::BodyKind::unknown;
      call.stream->send_head(head, i % 2 == 0);
      const std::string body(100'000, 'x');
      if (i % 2 == 1) call.stream->send_body({body.data(), body.size()}, i % 4 == 1);
    });
    step();
  }

  // What exchanges do later: go on reading, or give up.
  void act() {
    driver_.turn([&] {
      for (auto& call : calls_) {
        if (call->stream == nullptr || call->handler.is_reset) continue;
        if ((how_ & 2) != 0) call->stream->set_reading(true);
        if ((how_ & 8) != 0 && !call->handler.has_end) {
          call->stream->reset({});
          call->handler.expects_silence = true;
        }
        if ((how_ & 16) != 0) {
          release(*call);
          call->handler.expects_silence = true;
        }
      }
    });
  }

  test::LoopDriver driver_;
  test::PeerListener member_{driver_};
  base::Slab<http::Inbound> inbounds_;
  http::H2Shared shared_;
  http::ClientContext context_{driver_.loop, inbounds_, {}, &shared_};
  http::H2Client* client_ = nullptr;
  std::vector<std::unique_ptr<Call>> calls_;
  bool is_connected_ = false;
  std::uint8_t how_ = 0;
};

// Frames that are likely to be right.
std::string special_frame(std::uint8_t type,
                          std::uint8_t flags,
                          std::uint32_t id,
                          const std::string& payload) {
  const bool end = (flags & 1) != 0;
  if (type == 0xf0) return test::h2_headers(id, {{":status", "200"}}, end);
  if (type == 0xf1) return test::h2_headers(id, {{":status", "103"}}, end);
  if (type == 0xf2) return test::h2_headers(id, {{":status", "204"}}, end);
  if (type == 0xf4) {
    return test::h2_headers(id, {{":status", "200"}, {payload, "x"}, {"x", payload}}, end);
  }
  if (type == 0xf5) return test::h2_headers(id, {{"x-t", payload}}, true);
  return {};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  static World& world = *new World;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  std::vector<std::string> pieces{test::h2_settings()};
  test::h2_add_pieces(text, data[1], special_frame, pieces);
  world.run(pieces, data[0]);
  return 0;
}
