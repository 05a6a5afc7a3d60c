// In which order answers leave that are ready at the same time (RFC 9218).
#include <nghttp2/nghttp2.h>

#include "tests/loop/h2_session_fixture.h"

namespace portunus::http {
namespace {

class H2Order : public H2SessionTest {
 protected:
  H2Order() { at_end_ = nullptr; }

  // Every stream has 40,000 bytes to send in one turn. The streams in the order of their frames,
  // without repetitions.
  std::string order_of(H2Peer& peer, std::string_view answers_say = {}, std::size_t which = 0) {
    driver_.turn([&] {
      for (std::size_t i = 0; i < handlers_.size(); ++i) {
        Head head;
        head.clear();
        head.status = 200;
        head.body = BodyKind::unknown;
        if (!answers_say.empty() && i == which) head.fields.add("priority", answers_say);
        handlers_[i]->stream->send_head(head, false);
        handlers_[i]->stream->send_body(body_, true);
      }
    });
    listen(peer);
    std::string order;
    std::uint32_t before = 0;
    for (const std::uint32_t id : peer.reader.data_order) {
      if (id != before) order += std::to_string(id) + " ";
      before = id;
    }
    return order;
  }
  std::unique_ptr<H2Peer> connect_wide() {
    auto peer = connect(h2_settings({{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}}));
    talk(*peer, h2_window(0, 1 << 20));
    return peer;
  }
  static std::string get(std::uint32_t id, std::string priority) {
    return h2_get(id, "/", {{"priority", std::move(priority)}});
  }
  static std::string update(std::uint32_t id, std::string_view field) {
    return h2_frame(NGHTTP2_PRIORITY_UPDATE, 0, 0, test::h2_number(id, 4) + std::string(field));
  }

  const std::string body_ = std::string(40'000, 'x');
};

TEST_F(H2Order, ByUrgencyAndThenByAge) {
  auto peer = connect_wide();
  talk(*peer, get(1, "u=5") + get(3, "u=1") + h2_get(5) + h2_get(7) + get(9, "u=0"));
  EXPECT_EQ(order_of(*peer), "9 3 5 7 1 ");
}

TEST_F(H2Order, IncrementalOnesTakeTurns) {
  auto peer = connect_wide();
  talk(*peer, get(1, "i") + get(3, "i"));
  EXPECT_EQ(order_of(*peer), "1 3 1 3 1 3 ");
}

TEST_F(H2Order, ByPriorityUpdate) {
  auto peer = connect_wide();
  // Of one that runs, and of one to come.
  talk(*peer, update(5, "u=0") + h2_get(1) + h2_get(3) + h2_get(5) + update(3, "u=1"));
  EXPECT_EQ(order_of(*peer), "5 3 1 ");
}

TEST_F(H2Order, AMemberMayKnowBetter) {
  auto peer = connect_wide();
  talk(*peer, h2_get(1) + h2_get(3) + get(5, "u=4"));
  EXPECT_EQ(order_of(*peer, "u=0", 2), "5 1 3 ");
}

TEST_F(H2Order, NonsenseChangesNothing) {
  auto peer = connect_wide();
  talk(*peer, get(1, "u=9,,;;") + get(3, "\"") + update(99, "u=") + h2_get(5));
  EXPECT_EQ(order_of(*peer), "1 3 5 ");
}

}  // namespace
}  // namespace portunus::http
