// The compression of a member's answer. Its bytes go through an encoder in the callback that brought
// them; what the encoder makes goes to the client at once, so that nothing but the encoder's window is
// kept and back-pressure is as without it. Where the length is not known the member may be telling things
// as they happen: then the end of each turn flushes. A known length is on its way already, and flushing
// would only cost bytes.
#include "proxy/compression.h"
#include "proxy/exchange.h"
#include "proxy/vary.h"

namespace portunus::proxy {

using base::EndReason;
using base::Retry;
using base::Side;
using http::Encoder;

namespace {

// Compressing a byte takes about so many times as long as passing it on: when a poll has compressed
// much, what is read after it comes in very small pieces, and other connections have their turn.
constexpr std::size_t kCostOfByte = 16;

}  // namespace

void Exchange::begin_compression(http::Head& head, bool end) {
  const conf::Compression& rule = *route_->compression;
  if (head.status == 304) {
    weaken_known_etag(*request_, *head.arena, head);
    // As the answer has it that is known (RFC 9110 section 15.4.5); which one that is, nobody says here.
    static_cast<void>(add_vary(head.fields, "Accept-Encoding", "accept-encoding"));
    return;
  }
  const bool is_head = request_->method == http::Method::head;
  if (end && !is_head) return;
  const CompressionChoice choice = choose_compression(rule, coding_, *request_, head);
  // Without room for Vary a cache would give it to clients that cannot read it.
  if (!choice.varies || !add_vary(head.fields, "Accept-Encoding", "accept-encoding") ||
      !choice.coding)
    return;
  if (!is_head) {
    encoder_ = context_->encoders.lend(*choice.coding, static_cast<http::EncoderLevel>(rule.level));
    if (encoder_ == nullptr) {
      metrics().compression_busy(*choice.coding);
      return;
    }
  }
  flushes_each_turn_ = head.body == http::BodyKind::unknown;
  if (!announce_coding(*choice.coding, *head.arena, head) && encoder_ != nullptr) {
    context_->encoders.give_back(encoder_);
    encoder_ = nullptr;
  }
}

bool Exchange::encode(std::span<const char> bytes, Encoder::Until until) {
  plain_bytes_ += bytes.size();
  const std::span<char> out = context_->encoders.out();
  while (true) {
    const auto step = encoder_->encode(bytes, until, out);
    if (!step) {
      fail({EndReason::internal, Side::internal, Retry::no, "no memory to compress"});
      return false;
    }
    bytes = bytes.subspan(step->taken);
    bytes_out_ += step->made;
    if (step->made > 0) client_->send_body(out.first(step->made), false);
    if (step->is_done) return true;
  }
}

void Exchange::send_compressed(std::span<const char> bytes, bool end) {
  loop().count_work(bytes.size() * kCostOfByte);
  if (!encode(bytes, end ? Encoder::Until::ended : Encoder::Until::taken)) return;
  if (end) {
    finish(EndReason::ok);
    client_->send_body({}, true);
    return;
  }
  if (flushes_each_turn_) loop().defer(*this);
  throttle_member();
}

void Exchange::flush_compressed() {
  if (encode({}, Encoder::Until::flushed)) throttle_member();
}

void Exchange::end_compression() {
  metrics().compressed(encoder_->coding(), plain_bytes_, bytes_out_);
  context_->encoders.give_back(encoder_);
  encoder_ = nullptr;
}

}  // namespace portunus::proxy
