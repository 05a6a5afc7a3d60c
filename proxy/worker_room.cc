// How many connections a thread may have: who is closed for whom, and when clients are let in again.
#include <algorithm>

#include "proxy/worker.h"

namespace portunus::proxy {

// A quarter stays free for the connections to members.
bool Worker::is_full_of_clients() const {
  return clients() >= setup_.descriptors_max - setup_.descriptors_max / 4;
}

bool Worker::is_full() const {
  return clients() + pool_context_.open_connections >= setup_.descriptors_max;
}

bool Worker::has_room() {
  if (!is_full_of_clients() && !is_full()) return true;
  set_crowded(true);
  // The end of whatever goes resumes accepting.
  const bool is_one_going =
      (!is_full_of_clients() && close_an_idle_member_connection()) || close_an_idle_client();
  overload_.note_descriptors(!is_one_going);
  return false;
}

void Worker::make_room_for_member() {
  if (is_full() && !close_an_idle_member_connection()) static_cast<void>(close_an_idle_client());
}

bool Worker::close_an_idle_member_connection() {
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    if (pools_[next_to_close_++ % pools_.size()]->close_an_idle_one()) return true;
  }
  return false;
}

bool Worker::close_an_idle_client() {
  return std::ranges::any_of(doors_, [](const auto& door) { return door->close_an_idle_client(); });
}

void Worker::set_crowded(bool is_crowded) {
  if (!is_crowded) overload_.note_descriptors(false);
  is_crowded_ = is_crowded;
  pool_context_.is_crowded = is_crowded && !is_full_of_clients();
  for (const auto& door : doors_)
    door->set_crowded(is_crowded);
}

// Who waits is let in by the events that free a descriptor. Those are all known, but to be deaf for
// one that is not would be for ever.
void Worker::look_at_crowd() {
  resume_own_doors();
  const bool is_anybody_waiting = std::any_of(
      doors_.begin(), doors_.end(), [](const auto& door) { return door->waits_for_room(); });
  if (!is_anybody_waiting) set_crowded(false);
}

void Worker::resume_own_doors() {
  if (is_draining_) return;
  for (const auto& door : doors_)
    door->resume();
}

void Worker::on_client_opened() {
  clients_.store(clients_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void Worker::on_client_closed() {
  clients_.store(clients_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  resume_own_doors();
}

void Worker::on_share_freed() {
  setup_.events.wake_doors();
}

void Worker::resume_doors() {
  loop_.post([this] { resume_own_doors(); });
}

}  // namespace portunus::proxy
