// net::Stream against raw sockets over loopback.
#include "net/stream.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/loop_driver.h"

namespace portunus::net {
namespace {

using base::EndReason;
using test::LoopDriver;
using test::Peer;
using test::PeerListener;

// One stream and what its owner is told.
struct End final : StreamOwner {
  explicit End(LoopDriver& driver, std::string* common_order = nullptr, char own_name = '?')
      : order(common_order), name(own_name), stream(driver.loop, *this) {}
  void on_bytes(std::span<const char> bytes) override {
    in.append(bytes.data(), bytes.size());
    slices.push_back(bytes.size());
    if (order != nullptr) *order += name;
  }
  void on_end(base::Error why) override { ends.push_back(why.reason); }
  void on_drained() override { ++drained; }
  void on_closed() override { is_closed = true; }
  void on_connected(base::Error why) override {
    ++connected;
    failure = why;
  }

  std::string* order;
  char name;
  std::string in;
  std::vector<std::size_t> slices;
  std::vector<EndReason> ends;
  int drained = 0;
  int connected = 0;
  base::Error failure;
  bool is_closed = false;
  Stream stream;
};

class StreamTest : public testing::Test {
 protected:
  ~StreamTest() override {
    driver_.turn([&] {
      for (auto& end : ends_)
        end->stream.close();
    });
    for (auto& end : ends_)
      EXPECT_TRUE(driver_.run_until([&] { return end->is_closed; }));
    EXPECT_EQ(driver_.loop.chunks().in_use(), 0U);
  }
  End& make(std::string* order = nullptr, char name = '?') {
    ends_.push_back(std::make_unique<End>(driver_, order, name));
    return *ends_.back();
  }
  void dial(End& end, std::uint16_t port) {
    driver_.turn([&] {
      end.stream.connect(Address::parse_ip("127.0.0.1", port).value());
      EXPECT_EQ(end.connected, 0);
    });
    ASSERT_TRUE(driver_.run_until([&] { return end.connected == 1; }));
  }
  // A stream that stands and reads, and its peer.
  End& connect(std::string* order = nullptr, char name = '?') {
    End& end = make(order, name);
    listener_.listen();
    // The kernel would take megabytes for a peer that does not read.
    const int small = 64 * 1024;
    ::setsockopt(listener_.descriptor(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    dial(end, listener_.port());
    EXPECT_FALSE(end.failure.is_error()) << end.failure.detail;
    EXPECT_TRUE(driver_.run_until([&] { return listener_.peers.size() == ends_.size(); }));
    driver_.turn([&] { end.stream.set_reading(true); });
    return end;
  }
  Peer& peer() { return *listener_.peers.back(); }
  void write(End& end, std::string_view text) {
    driver_.turn([&] { end.stream.write(text); });
  }
  // Writes to a peer that does not read, until the socket is full.
  void block(End& end) {
    peer().reads = false;
    const std::string much(8'000'000, 'm');
    write(end, much);
    written_ += much;
    ASSERT_GT(end.stream.unsent(), Stream::kLowMark);
  }

  LoopDriver driver_;
  PeerListener listener_{driver_};
  std::vector<std::unique_ptr<End>> ends_;
  std::string written_;
};

// ---- connecting ----

TEST_F(StreamTest, ToldWhyItCannotConnect) {
  End& end = make();
  dial(end, listener_.port());
  EXPECT_EQ(end.failure.reason, EndReason::upstream_connect);
  EXPECT_EQ(end.failure.side, base::Side::upstream);
  EXPECT_EQ(end.failure.retry, base::Retry::unsent);
  EXPECT_STREQ(end.failure.detail, "connection refused");
}

// Not the member's fault; told in a later turn all the same.
TEST_F(StreamTest, WithoutADescriptor) {
  End& end = make();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  const rlimit none{static_cast<rlim_t>(lowest_free), before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  dial(end, listener_.port());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(end.failure.reason, EndReason::upstream_connect);
  EXPECT_EQ(end.failure.side, base::Side::internal);
  EXPECT_STREQ(end.failure.detail, "out of file descriptors");
}

TEST_F(StreamTest, ClosedWhileItConnects) {
  listener_.listen();
  End& end = make();
  driver_.turn([&] {
    end.stream.connect(Address::parse_ip("127.0.0.1", listener_.port()).value());
    end.stream.close();
    EXPECT_FALSE(end.is_closed);
  });
  EXPECT_TRUE(driver_.run_until([&] { return end.is_closed; }));
  EXPECT_EQ(end.connected, 0);
}

// ---- writing ----

TEST_F(StreamTest, KeepsTheOrderOfSmallAndLargeWrites) {
  End& end = connect();
  const std::size_t sizes[] = {
      1, 2'000, 300'000, 5, 0, Stream::kGatherMax, Stream::kGatherMax + 1, 17, 1'000'000};
  std::string expected;
  driver_.turn([&] {
    char letter = 'a';
    for (const std::size_t size : sizes) {
      const std::string text(size, letter++);
      end.stream.write(std::string_view(text));
      expected += text;
    }
  });
  EXPECT_TRUE(driver_.run_until([&] { return peer().in.size() >= expected.size(); }));
  EXPECT_TRUE(peer().in == expected);
  EXPECT_EQ(end.stream.unsent(), 0U);
  EXPECT_EQ(end.stream.bytes_sent(), expected.size());
}

TEST_F(StreamTest, SmallWritesLeaveTogether) {
  End& end = connect();
  driver_.turn([&] {
    end.stream.write(std::string_view("one "));
    end.stream.write(std::string_view("two"));
    EXPECT_EQ(end.stream.bytes_sent(), 0U);
  });
  write(end, " three");
  EXPECT_EQ(end.stream.bytes_sent(), 0U);
  driver_.step();
  EXPECT_EQ(end.stream.bytes_sent(), 13U);
  driver_.settle();
  EXPECT_EQ(peer().in, "one two three");
}

// The owner stops its source at a high mark and waits for on_drained().
TEST_F(StreamTest, TellsWhenABlockedPeerHasTakenIt) {
  End& end = connect();
  block(end);
  driver_.settle();
  EXPECT_EQ(end.drained, 0);
  write(end, "last");
  written_ += "last";
  EXPECT_EQ(end.stream.bytes_sent() + end.stream.unsent(), written_.size());
  peer().reads = true;
  EXPECT_TRUE(driver_.run_until([&] { return peer().in.size() >= written_.size(); }));
  EXPECT_TRUE(peer().in == written_);
  EXPECT_GE(end.drained, 1);
  EXPECT_EQ(end.stream.unsent(), 0U);
  EXPECT_EQ(end.stream.bytes_sent(), written_.size());
}

// ---- ending ----

TEST_F(StreamTest, HalfCloseComesBehindAllBytesAndReadsOn) {
  End& end = connect();
  block(end);
  driver_.turn([&] {
    end.stream.end_writing();
    end.stream.write(std::string_view("too late"));
  });
  peer().reads = true;
  EXPECT_TRUE(driver_.run_until([&] { return peer().has_end; }));
  EXPECT_TRUE(peer().in == written_);
  peer().send("an answer");
  driver_.settle();
  EXPECT_EQ(end.in, "an answer");
  EXPECT_TRUE(end.ends.empty());
}

TEST_F(StreamTest, FinishClosesWhenAllHasLeft) {
  for (const bool is_blocked : {false, true}) {
    End& end = connect();
    written_.clear();
    if (is_blocked) block(end);
    driver_.turn([&] {
      end.stream.write(std::string_view("end"));
      end.stream.finish();
      EXPECT_FALSE(end.stream.is_closing());
    });
    driver_.step();
    EXPECT_EQ(end.stream.is_closing(), !is_blocked);
    peer().reads = true;
    EXPECT_TRUE(driver_.run_until([&] { return end.is_closed && peer().is_over(); }));
    EXPECT_TRUE(peer().has_end);
    EXPECT_TRUE(peer().in == written_ + "end");
  }
}

TEST_F(StreamTest, CloseDropsWhatIsUnsent) {
  End& end = connect();
  block(end);
  driver_.turn([&] {
    end.stream.close();
    end.stream.close();
    EXPECT_FALSE(end.is_closed);
  });
  EXPECT_TRUE(driver_.run_until([&] { return end.is_closed; }));
  peer().reads = true;
  EXPECT_TRUE(driver_.run_until([&] { return peer().is_over(); }));
  EXPECT_LT(peer().in.size(), written_.size());
  EXPECT_EQ(end.drained, 0);
  EXPECT_TRUE(end.ends.empty());
}

TEST_F(StreamTest, AbortIsAReset) {
  End& end = connect();
  write(end, "half of it");
  driver_.settle();
  driver_.turn([&] { end.stream.abort(); });
  EXPECT_TRUE(driver_.run_until([&] { return end.is_closed && peer().is_over(); }));
  EXPECT_TRUE(peer().was_reset);
}

TEST_F(StreamTest, ThePeersEndLeavesTheOtherDirection) {
  End& end = connect();
  peer().send("bye");
  peer().end_writing();
  EXPECT_TRUE(driver_.run_until([&] { return !end.ends.empty(); }));
  EXPECT_EQ(end.in, "bye");
  EXPECT_EQ(end.ends, std::vector{EndReason::ok});
  EXPECT_FALSE(end.stream.is_reading());
  write(end, "still here");
  driver_.settle();
  EXPECT_EQ(peer().in, "still here");
}

TEST_F(StreamTest, AResetIsNoEnd) {
  End& end = connect();
  driver_.settle();
  peer().reset();
  EXPECT_TRUE(driver_.run_until([&] { return !end.ends.empty(); }));
  EXPECT_EQ(end.ends, std::vector{EndReason::upstream_reset});
}

// Nobody reads, so nobody else would notice; and once is enough, whatever is asked of it after.
TEST_F(StreamTest, AFailedWriteIsToldThoughReadingIsOff) {
  const std::string large(Stream::kGatherMax + 1, 'x');
  End& end = connect();
  driver_.turn([&] { end.stream.set_reading(false); });
  peer().reset();
  driver_.deliver();
  driver_.turn([&] {
    end.stream.write(std::string_view(large));
    EXPECT_TRUE(end.ends.empty());
  });
  driver_.step();
  EXPECT_EQ(end.ends, std::vector{EndReason::upstream_reset});
  driver_.turn([&] {
    end.stream.write(std::string_view("more"));
    end.stream.end_writing();
  });
  driver_.settle();
  EXPECT_EQ(end.ends.size(), 1U);
  driver_.turn([&] { end.stream.finish(); });
  EXPECT_TRUE(driver_.run_until([&] { return end.is_closed; }));
}

// An answer that came before the reset is not lost by a write that met the reset first.
TEST_F(StreamTest, WhatWasReceivedComesBeforeTheFailure) {
  End& end = connect();
  peer().send("an answer");
  peer().close();
  driver_.deliver();
  write(end, "x");  // the peer's kernel answers with a reset
  driver_.deliver();
  write(end, "y");
  EXPECT_TRUE(driver_.run_until([&] { return !end.ends.empty(); }));
  EXPECT_EQ(end.ends.size(), 1U);
  EXPECT_NE(end.in.find("an answer"), std::string::npos);
}

// ---- reading ----

TEST_F(StreamTest, PausedBytesStayInTheSocket) {
  End& end = connect();
  driver_.turn([&] { end.stream.set_reading(false); });
  peer().send("later");
  peer().end_writing();
  driver_.settle();
  EXPECT_EQ(end.in, "");
  EXPECT_TRUE(end.ends.empty());
  driver_.turn([&] { end.stream.set_reading(true); });
  driver_.settle();
  EXPECT_EQ(end.in, "later");
  EXPECT_EQ(end.ends, std::vector{EndReason::ok});
}

// A read that fills its buffer is followed by the other connections' turn, and the next may be larger.
TEST_F(StreamTest, AFastSenderLetsOthersHaveTheirTurn) {
  std::string order;
  End& a = connect(&order, 'a');
  Peer& sender = peer();
  End& b = connect(&order, 'b');
  const std::string much(1'500'000, 'x');
  sender.send(much);
  peer().send("b");
  driver_.deliver();
  EXPECT_TRUE(driver_.run_until([&] { return a.in.size() >= much.size(); }));
  EXPECT_TRUE(a.in == much);
  EXPECT_EQ(b.in, "b");
  EXPECT_LE(order.find('b'), 1U) << order;
  ASSERT_GT(a.slices.size(), 1U);
  EXPECT_EQ(a.slices[0], Loop::kReadMin);
  for (const std::size_t slice : a.slices)
    EXPECT_LE(slice, Loop::kReadBuffer);
  EXPECT_GT(*std::max_element(a.slices.begin(), a.slices.end()), Loop::kReadMin);
}

// What is kept for slow peers has a bound: beyond it nobody is read from in large pieces.
TEST_F(StreamTest, ReadsAreSmallWhileMuchIsKept) {
  base::ChunkQueue kept(driver_.loop.chunks());
  const std::string filling((Loop::kScarceChunks + 1) * base::Chunk::kCapacity, 'k');
  kept.append(std::string_view(filling));
  End& a = connect();
  const std::string much(1'000'000, 'x');
  peer().send(much);
  EXPECT_TRUE(driver_.run_until([&] { return a.in.size() >= much.size(); }));
  EXPECT_EQ(*std::max_element(a.slices.begin(), a.slices.end()), Loop::kReadMin);
  kept.clear();
}

}  // namespace
}  // namespace portunus::net
