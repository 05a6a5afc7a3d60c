#include "supervisor/link.h"

#include <unistd.h>

namespace portunus::supervisor {
namespace {

constexpr std::uint64_t kAliveEveryMs = 1'000;
constexpr int kFirstMs = 5'000;

}  // namespace

Link::Link(net::Loop& loop, Notifier& notifier, int channel, LinkHandler& handler)
    : loop_(loop), notifier_(notifier), handler_(handler) {
  if (channel >= 0) channel_ = std::make_unique<Channel>(*loop.uv(), channel, *this);
}

void Link::ready(std::string_view status) {
  if (!send(Message(Kind::ready, std::string(status)))) notifier_.ready(status);
}

void Link::reloading() {
  if (!send(Message(Kind::reloading))) notifier_.reloading();
}

void Link::stopping() {
  if (!send(Message(Kind::stopping))) notifier_.stopping();
}

void Link::alive() {
  if (!send(Message(Kind::alive))) notifier_.alive();
}

std::uint64_t Link::alive_every_ms() const {
  return channel_ ? kAliveEveryMs : notifier_.alive_every_ms();
}

bool Link::send(const Message& message, std::span<const int> descriptors) {
  return channel_ != nullptr && channel_->send(encode(message), descriptors);
}

void Link::wait_for_first() {
  if (channel_) channel_->wait(kFirstMs);
}

void Link::stop() {
  if (channel_) channel_->close();
}

void Link::on_packet(std::string_view text, std::vector<int> descriptors) {
  const net::Loop::Turn turn(loop_);
  const auto message = decode(text);
  if (!message) {
    for (const int each : descriptors)
      ::close(each);
    return;
  }
  handler_.on_message(*message, std::move(descriptors));
}

void Link::on_channel_closed() {
  const net::Loop::Turn turn(loop_);
  handler_.on_supervisor_gone();
}

}  // namespace portunus::supervisor
