#include "proxy/worker.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/crash.h"

namespace portunus::proxy {
namespace {

// Between two looks at what is due in this thread: handing log lines over, pools to drop.
constexpr std::uint64_t kTickMs = 200;

http::H2Limits h2_limits_of(const conf::Limits& wanted) {
  using http::H2Abuse;
  http::H2Limits limits;
  limits.concurrent_streams = wanted.h2_concurrent_streams;
  const auto allow = [&limits](H2Abuse kind, const conf::H2Budget& budget) {
    limits.allowances[static_cast<std::size_t>(kind)] = {budget.burst, budget.per_second};
  };
  const conf::H2Budgets& budgets = wanted.h2_budgets;
  allow(H2Abuse::client_resets, budgets.client_resets);
  allow(H2Abuse::server_resets, budgets.server_resets);
  allow(H2Abuse::settings, budgets.settings);
  allow(H2Abuse::pings, budgets.pings);
  allow(H2Abuse::priorities, budgets.priorities);
  allow(H2Abuse::empty_frames, budgets.empty_frames);
  allow(H2Abuse::window_updates, budgets.window_updates);
  allow(H2Abuse::header_bombs, budgets.header_bombs);
  allow(H2Abuse::streams, budgets.streams);
  return limits;
}

}  // namespace

Worker::Worker(const Setup& setup)
    : setup_(setup),
      random_(base::monotonic_ns() * 0x9E3779B97F4A7C15ULL + setup.index),
      clients_context_{loop_, inbounds_, {}, &h2_},
      pool_context_{loop_, clients_context_, h1_connections_, random_, setup.index},
      credentials_(loop_, setup.passwords),
      exchange_context_{loop_,   exchanges_, random_, setup.metrics, setup.access_log,
                        nullptr, {},         0},
      overload_(exchange_context_, setup.memory),
      tick_(this, [](void* self) { static_cast<Worker*>(self)->on_tick(); }) {
  // Members may send larger heads than clients may: cookies and policies add up.
  clients_context_.limits.header_bytes = 64 * 1024;
  clients_context_.limits.header_count = 110;
  exchange_context_.credentials = &credentials_;
  pool_context_.owner = this;
  pool_context_.report_suspect = [](void* self, const SharedMember& member) {
    static_cast<Worker*>(self)->setup_.events.on_suspect(member);
  };
  pool_context_.report_conduct = [](void* self, const SharedMember& member) {
    static_cast<Worker*>(self)->setup_.events.on_conduct(member);
  };
  pool_context_.report_idle = [](void* self) {
    static_cast<Worker*>(self)->setup_.events.on_member_idle();
  };
  pool_context_.make_room = [](void* self) {
    static_cast<Worker*>(self)->make_room_for_member();
  };
  pool_context_.room_freed = [](void* self) {
    static_cast<Worker*>(self)->resume_own_doors();
  };
  pool_context_.wake_thread = [](void* self, std::size_t thread, PoolTurn turn) {
    static_cast<Worker*>(self)->setup_.events.give_turn(thread, std::move(turn));
  };
}

Worker::~Worker() {
  join();
  doors_.clear();
  generations_.clear();
  pools_.clear();
}

void Worker::start() {
  thread_ = std::thread([this] { run(); });
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::run() {
  const std::string name = "worker-" + std::to_string(setup_.index);  // allow(string): once
  pthread_setname_np(pthread_self(), name.c_str());
  base::use_crash_stack();
  arm_tick();
  loop_.run();
  setup_.access_log.flush();
}

void Worker::apply(SharedGeneration generation, std::vector<int> sockets) {
  loop_.post([this, generation = std::move(generation), sockets = std::move(sockets)]() mutable {
    apply_now(std::move(generation), sockets);
  });
}

void Worker::apply_now(SharedGeneration generation, const std::vector<int>& sockets) {
  if (is_draining_) {
    for (const int descriptor : sockets) {
      if (descriptor >= 0) ::close(descriptor);
    }
    return;
  }
  LocalGeneration* previous = exchange_context_.current;
  generations_.push_back(std::make_unique<LocalGeneration>());
  LocalGeneration& local = *generations_.back();
  local.shared = std::move(generation);
  h2_.limits = h2_limits_of(local.shared->model->limits);
  overload_.configure(local.shared->model->overload);
  local.owner = this;
  local.on_unused = [](void* self, LocalGeneration& unused) {
    static_cast<Worker*>(self)->drop(unused);
  };
  const std::uint64_t number = local.shared->number;
  apply_pools(local);
  exchange_context_.current = &local;
  apply_doors(local, previous, sockets);
  if (previous != nullptr) {
    previous->is_current = false;
    if (previous->pins == 0) drop(*previous);
  }
  drop_unused_pools();
  setup_.events.on_generation_applied(setup_.index, number);
}

void Worker::apply_pools(LocalGeneration& local) {
  const Generation& shared = *local.shared;
  std::unordered_map<std::string_view, Pool*> known;
  known.reserve(pools_.size());
  for (const auto& pool : pools_)
    known.emplace(pool->name(), pool.get());
  local.pools.reserve(shared.model->pools.size());
  for (std::size_t i = 0; i < shared.model->pools.size(); ++i) {
    const conf::Pool& settings = shared.model->pools[i];
    const auto place = known.find(settings.name);
    Pool* pool = place == known.end() ? nullptr : place->second;
    if (pool == nullptr) {
      pools_.push_back(std::make_unique<Pool>(pool_context_, settings.name));
      pool = pools_.back().get();
    }
    pool->configure(settings, shared.members[i], shared.pool_shares[i], shared.upstream_tls[i],
                    shared.sticky_secret);
    ++pool->uses;
    local.pools.push_back(pool);
  }
}

bool Worker::swap_members(MemberSwaps swaps) {
  return loop_.post([this, swaps = std::move(swaps)] { swap_members_now(swaps); });
}

void Worker::swap_members_now(const MemberSwaps& swaps) {
  const LocalGeneration* current = exchange_context_.current;
  // A thread that is about to end takes no further generation.
  if (current != nullptr && current->shared->number == swaps.generation) {
    for (const MemberSwaps::Swap& swap : swaps.swaps)
      current->pools[swap.pool]->set_members(swap.members);
  }
  setup_.events.on_members_swapped(setup_.index, swaps.round);
}

void Worker::swap_tls(SharedTlsSetup tls, std::uint64_t generation) {
  loop_.post([this, generation, tls = std::move(tls)] {
    const LocalGeneration* current = exchange_context_.current;
    if (current == nullptr || current->shared->number != generation) return;
    for (const auto& door : doors_) {
      if (!door->is_draining()) door->show(tls);
    }
  });
}

void Worker::apply_doors(const LocalGeneration& local,
                         LocalGeneration* previous,
                         const std::vector<int>& sockets) {
  const std::vector<conf::Listener>& listeners = local.shared->model->listeners;
  for (const auto& door : doors_) {
    const bool stays = std::any_of(listeners.begin(), listeners.end(), [&](const auto& listener) {
      return listener.address == door->config().address;
    });
    if (!stays) door->drain(previous);
  }
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    if (sockets[i] >= 0) {
      doors_.push_back(
          std::make_unique<Door>(exchange_context_, servers_, inbounds_, *this, listeners[i]));
      doors_.back()->speak_h2(h2_);
    }
    for (const auto& door : doors_) {
      if (door->is_draining() || !(door->config().address == listeners[i].address)) continue;
      door->configure(*local.shared, i);
      // A failure has been told by the control thread's own attempt to bind; it stays closed.
      if (sockets[i] >= 0 && !door->is_open()) static_cast<void>(door->open(sockets[i]));
    }
  }
}

void Worker::drop(LocalGeneration& generation) {
  const auto place = std::find_if(generations_.begin(), generations_.end(),
                                  [&](const auto& known) { return known.get() == &generation; });
  if (place == generations_.end()) return;
  for (Pool* pool : generation.pools) {
    if (--pool->uses == 0) {
      pool->retire();
      has_unused_pools_ = true;
    }
  }
  save_settings(generation);
  // Freeing a large configuration takes its time: not on this thread.
  setup_.events.on_generation_unused(std::move(generation.shared));
  generations_.erase(place);
  drop_unused_pools();
}

// A pool has the settings of the latest generation that named it, which may go before an older one
// whose exchanges still use the pool.
void Worker::save_settings(const LocalGeneration& going) {
  const std::vector<conf::Pool>& theirs = going.shared->model->pools;
  bool is_needed = false;
  for (std::size_t i = 0; i < theirs.size(); ++i) {
    const Pool& pool = *going.pools[i];
    is_needed = is_needed || (pool.uses > 0 && &pool.settings() == &theirs[i]);
  }
  if (!is_needed) return;
  std::unordered_map<const conf::Pool*, Pool*> orphans;
  for (std::size_t i = 0; i < theirs.size(); ++i) {
    if (going.pools[i]->uses > 0) orphans.emplace(&theirs[i], going.pools[i]);
  }
  for (const auto& other : generations_) {
    if (other.get() == &going) continue;
    for (std::size_t i = 0; i < other->pools.size(); ++i) {
      Pool& pool = *other->pools[i];
      if (orphans.contains(&pool.settings())) {
        pool.move_settings(other->shared->model->pools[i]);
      }
    }
  }
}

// A pool ends when no generation of this thread names it and its connections are gone.
void Worker::drop_unused_pools() {
  if (!has_unused_pools_) return;
  has_unused_pools_ = false;
  std::erase_if(pools_, [&](const std::unique_ptr<Pool>& pool) {
    if (pool->uses > 0) return false;
    if (!pool->has_open_connections()) return true;
    has_unused_pools_ = true;  // the next tick looks again
    return false;
  });
}

void Worker::drain() {
  loop_.post([this] { drain_now(); });
}

void Worker::drain_now() {
  if (is_draining_) return;
  is_draining_ = true;
  // Copied: a door that is empty already goes at once.
  std::vector<Door*> open;
  open.reserve(doors_.size());
  for (const auto& door : doors_)
    open.push_back(door.get());
  for (Door* door : open)
    door->drain(nullptr);
  end_when_empty();
}

void Worker::shut_down() {
  loop_.post([this] { shut_down_now(); });
}

void Worker::shut_down_now() {
  is_draining_ = true;
  std::vector<Door*> open;
  open.reserve(doors_.size());
  for (const auto& door : doors_)
    open.push_back(door.get());
  for (Door* door : open)
    door->shut_down();
  end_when_empty();
}

// Lets go of the room in any case: this thread may have ended meanwhile.
class Worker::TurnTask final : public net::Task {
 public:
  TurnTask(Worker& worker, PoolTurn turn) : worker_(&worker), turn_(std::move(turn)) {}
  ~TurnTask() override { let_go(); }
  TurnTask(const TurnTask&) = delete;
  TurnTask& operator=(const TurnTask&) = delete;

  void run() override {
    let_go();
    for (const auto& pool : worker_->pools_)
      pool->take_turn(turn_);
  }

 private:
  void let_go() {
    if (turn_.let_go() && turn_.member->is_leaving()) worker_->setup_.events.on_member_idle();
  }

  Worker* worker_;
  PoolTurn turn_;
};

void Worker::take_turn(PoolTurn turn) {
  loop_.post(std::unique_ptr<net::Task>(std::make_unique<TurnTask>(*this, std::move(turn))));
}

void Worker::wake_for_members() {
  loop_.post([this] {
    for (const auto& pool : pools_) {
      pool->wake_waiters();
      pool->wake_for_members();
    }
  });
}

// The loop ends by itself once the last handle is closed.
void Worker::end_when_empty() {
  if (!is_draining_ || is_ending_ || !doors_.empty() || exchange_context_.running > 0) return;
  is_ending_ = true;
  for (const auto& pool : pools_)
    pool->close_all();
  setup_.access_log.flush();
  setup_.events.on_drained(setup_.index);
  loop_.stop();
}

void Worker::on_tick() {
  setup_.access_log.flush_if_due(loop_.now_ms());
  for (const auto& door : doors_)
    door->tell_h2_counts();
  for (const auto& pool : pools_)
    pool->tell_counts();
  drop_unused_pools();
  end_when_empty();
  if (is_crowded_) look_at_crowd();
  watch_overload();
  if (!is_ending_) arm_tick();
}

void Worker::arm_tick() {
  tick_due_ms_ = loop_.now_ms() + kTickMs;
  loop_.timers().arm(tick_, kTickMs);
}

void Worker::watch_overload() {
  const std::size_t held =
      loop_.chunks().in_use() * sizeof(base::Chunk) + inbounds_.live() * sizeof(http::Inbound) +
      exchanges_.live() * sizeof(Exchange) + exchange_context_.auth_calls.live() * sizeof(AuthCall);
  const std::uint64_t now_ms = loop_.now_ms();
  // A deadline may be a slot late by itself.
  const std::uint64_t due_ms = tick_due_ms_ + net::TimerWheel::kSlotMs;
  overload_.look(held, now_ms > due_ms ? now_ms - due_ms : 0);
  const bool accepts_now = overload_.accepts();
  if (accepts_now && !has_accepted_) resume_own_doors();
  has_accepted_ = accepts_now;
}

void Worker::on_door_empty(Door& door) {
  // Called from within the door: it goes at the end of the turn.
  struct Burial final : net::Mortal {
    Burial(Worker& w, Door& d) : worker(w), door(d) {}
    void bury() override {
      const std::unique_ptr<Burial> self(this);
      std::erase_if(worker.doors_, [&](const auto& known) { return known.get() == &door; });
      worker.end_when_empty();
    }
    Worker& worker;
    Door& door;
  };
  loop_.bury(*new Burial(*this, door));  // allow(new): once per door; bury() takes it
}

}  // namespace portunus::proxy
