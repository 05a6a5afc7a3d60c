#include "proxy/pool.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/proxy_protocol.h"

namespace portunus::proxy {
namespace {

using base::Error;

// Between two lines of the log about failures of TLS with one member.
constexpr std::uint64_t kTellTlsNs = std::uint64_t{10} * 1'000'000'000;

}  // namespace

// ---- MemberSlot ----

MemberSlot::MemberSlot(Pool& pool, SharedMember member)
    : pool_(&pool),
      member_(std::move(member)),
      h1_(*this, pool.context_->clients, pool.context_->h1_connections),
      h2_(*this, pool.context_->clients) {}

void MemberSlot::on_opening() {
  PoolContext& context = *pool_->context_;
  if (context.make_room != nullptr) context.make_room(context.owner);
  ++open_;
  ++context.open_connections;
  member_->connections.fetch_add(1, std::memory_order_relaxed);
}

void MemberSlot::on_dialled(PoolWaiter& waiter, Error failure) {
  waiter.on_dialled(failure);
}

void MemberSlot::on_dial_failed(Error failure) {
  pool_->on_dial_failed(*this, failure);
}

void MemberSlot::on_gone() {
  pool_->on_gone(*this);
}

// ---- Pool ----

Pool::Pool(PoolContext& context, std::string name) : context_(&context), name_(std::move(name)) {}

Pool::~Pool() {
  CHECK(!has_open_connections());
}

void Pool::configure(const conf::Pool& settings,
                     SharedMemberList members,
                     SharedPoolShare share,
                     net::SharedTlsClient tls,
                     std::string_view secret) {
  adopt(std::move(share));
  if (tls_ != tls) {
    tls_ = std::move(tls);
    for (auto& slot : slots_)
      use_tls(*slot);
  }
  if (settings_ != nullptr && settings_->protocol != settings.protocol) {
    for (auto& slot : slots_)
      close_idle_of(*slot);
  }
  const bool same_policy = settings_ != nullptr && balancer_ != nullptr &&
                           settings_->balance == settings.balance &&
                           settings_->hash_on == settings.hash_on &&
                           settings_->hash_bound_ratio == settings.hash_bound_ratio;
  const bool same_sticky = settings_ != nullptr && settings_->sticky == settings.sticky;
  const bool same_members = members_ == members;
  is_closing_ = false;  // it may have left the configuration and come back
  settings_ = &settings;
  if (!same_policy) {
    tell_counts();
    balancer_ = make_balancer(settings);
  }
  if (!same_sticky) {
    sticky_.reset();
    if (settings.sticky) {
      sticky_ = std::make_unique<Sticky>(
          *settings.sticky, settings.sticky->secret.empty() ? secret : settings.sticky->secret,
          name_);
    }
  }
  if (same_policy && same_sticky && same_members) {
    wake_waiters();  // each member may have more room now
    return;
  }
  set_members(std::move(members));
}

void Pool::set_members(SharedMemberList members) {
  // The balancer looks at the old list's members until it has the new one.
  const SharedMemberList before = std::exchange(members_, std::move(members));
  std::unordered_map<const health::Member*, MemberSlot*> known;
  for (auto& slot : slots_) {
    slot->is_listed_ = false;
    known.emplace(slot->member_.get(), slot.get());
  }
  // Those that leave are not waited for: other threads would give us turns for nothing.
  if (queued_ > 0) mark_waiting(false);
  listed_.clear();
  for (const MemberEntry& entry : members_->entries) {
    MemberSlot*& slot = known[entry.member.get()];
    if (slot == nullptr) {
      slots_.push_back(std::make_unique<MemberSlot>(*this, entry.member));
      slot = slots_.back().get();
      use_tls(*slot);
    }
    slot->is_listed_ = true;
    slot->is_draining_ = entry.is_draining;
    listed_.push_back(slot);
  }
  balancer_->set_members(*members_);
  if (sticky_ != nullptr) {
    sticky_->set_members(*members_);
    for (std::size_t i = 0; i < listed_.size(); ++i)
      listed_[i]->sticky_id_ = sticky_->id_at(i);
  }
  close_unwanted();
  wake_waiters();
  wake_for_members();
}

// What was verified otherwise, or not at all, is not used again.
void Pool::use_tls(MemberSlot& slot) {
  close_idle_of(slot);
  slot.tls_.client = tls_;
  if (tls_ != nullptr) slot.tls_.host = net::host_of(slot.member_->name);
  slot.resumption_.keep_for(tls_.get());
}

// Another share of the same name: the pool had left the configuration and come back while attempts
// waited. They are counted where they will be taken off.
void Pool::adopt(SharedPoolShare share) {
  if (share_ == share) return;
  const auto count = static_cast<std::uint32_t>(waiting());
  if (share_ != nullptr) share_->pending.fetch_sub(count, std::memory_order_relaxed);
  share->pending.fetch_add(count, std::memory_order_relaxed);
  const auto queued = static_cast<std::uint32_t>(queued_);
  if (share_ != nullptr) share_->queued.fetch_sub(queued, std::memory_order_relaxed);
  share->queued.fetch_add(queued, std::memory_order_relaxed);
  if (share_ != nullptr) share_->requests.fetch_sub(places_);
  share->requests.fetch_add(places_);
  const std::uint64_t own = std::uint64_t{1} << context_->thread;
  if (share_ != nullptr) share_->waiting_threads.fetch_and(~own);
  if (queued_ > 0) share->waiting_threads.fetch_or(own);
  share_ = std::move(share);
}

void Pool::tell_counts() {
  if (balancer_ == nullptr) return;
  const std::uint64_t count = balancer_->take_passed_over();
  if (count > 0) share_->passed_over.fetch_add(count, std::memory_order_relaxed);
}

void Pool::retire() {
  close_idle();
  settings_ = nullptr;
}

// Idle connections of members that have left or drain are closed; busy ones when they come back.
void Pool::close_unwanted() {
  for (std::size_t i = slots_.size(); i-- > 0;) {
    MemberSlot& slot = *slots_[i];
    if (slot.is_listed_ && !slot.is_draining_) continue;
    close_idle_of(slot);
    if (!slot.is_listed_ && slot.open_ == 0 && slot.leased_ == 0) forget(slot);
  }
}

void Pool::forget(MemberSlot& slot) {
  const auto place = std::find_if(slots_.begin(), slots_.end(),
                                  [&](const auto& known) { return known.get() == &slot; });
  if (place == slots_.end()) return;
  std::swap(*place, slots_.back());
  slots_.pop_back();
}

PickResult Pool::pick(const PickInput& input, std::size_t& index) {
  const PickResult result = pick_own_first(input, index);
  if (result != PickResult::none) return result;
  PickInput any = input;
  any.takes_suspects = true;
  return pick_own_first(any, index);
}

// The member that the client's cookie names, when it can be used at once: a client does not wait for
// room there while others have some. One that is a backup is for those moments only in which nobody
// else is up.
PickResult Pool::pick_own_first(const PickInput& input, std::size_t& index) {
  if (sticky_ == nullptr || input.sticky == 0)
    return balancer_->pick(input, context_->random, index);
  const std::size_t own = sticky_->find(input.sticky);
  const bool is_usable =
      own != Sticky::kNobody && standing_of(*listed_[own]->member_, input) == Standing::usable;
  const std::vector<MemberEntry>& entries = members_->entries;
  if (is_usable && !entries[own].is_backup) {
    index = own;
    return PickResult::picked;
  }
  const PickResult result = balancer_->pick(input, context_->random, index);
  if (is_usable && result == PickResult::picked && entries[index].is_backup) index = own;
  return result;
}

bool Pool::keeps_client(const PickInput& input) const {
  if (sticky_ == nullptr || input.sticky == 0) return false;
  const std::size_t own = sticky_->find(input.sticky);
  return own != Sticky::kNobody && !members_->entries[own].is_backup &&
         standing_of(*listed_[own]->member_, input) != Standing::unselectable;
}

PickResult Pool::lease(const PickInput& input, LeaseWish wish, Lease& lease) {
  if (is_at_bound()) return hold_back();
  std::size_t index = 0;
  PickResult result = pick(input, index);
  bool is_trial = false;
  while (result == PickResult::picked && listed_[index]->member_->trials.is_limited()) {
    is_trial = listed_[index]->member_->trials.take();
    if (is_trial) break;
    result = pick(input, index);  // another thread has taken the last one
  }
  if (result != PickResult::picked) return result;
  MemberSlot& slot = *listed_[index];
  if (!take_place(lease)) {
    if (is_trial) give_trial(slot);
    return hold_back();
  }
  lease = {.slot = &slot, .is_trial = is_trial, .has_place = lease.has_place};
  slot.member_->in_flight.fetch_add(1, std::memory_order_relaxed);
  ++slot.leased_;
  ++leases_;
  // What a connection has said of one client must not stand for another.
  if (settings_->proxy_protocol != net::ProxyVersion::none) return result;
  lease.from = &connections(slot);
  lease.stream = lease.from->lend(wish);
  lease.is_reused = lease.stream != nullptr;
  return result;
}

Connections& Pool::connections(MemberSlot& slot) const {
  if (settings_->protocol == conf::UpstreamProtocol::h1) return slot.h1_;
  return slot.h2_;
}

// Settings may change while it is open: it ends with its request whatever they are by then.
std::size_t Pool::introduce(const http::ClientInfo& client, std::span<char> text) const {
  if (settings_->proxy_protocol == net::ProxyVersion::none) return 0;
  const net::Address local =
      client.local.is_set() ? client.local : net::Address::local_of(client.descriptor);
  return net::write_proxy_header(settings_->proxy_protocol, client.source, local, text);
}

void Pool::dial(Lease& lease, PoolWaiter& waiter, const http::ClientInfo& client) {
  MemberSlot& slot = *lease.slot;
  char text[net::kProxyHeaderRoom];
  const std::size_t size = introduce(client, text);
  const conf::PoolTimeouts& timeouts = settings_->timeouts;
  lease.from = &connections(slot);
  lease.stream =
      &lease.from->dial({.address = &slot.member_->address,
                         .tls = &slot.tls_,
                         .resumption = &slot.resumption_,
                         .times = {base::whole_ms(timeouts.connect), base::whole_ms(timeouts.tls)},
                         .first = {text, size}},
                        waiter);
}

void Pool::on_dial_failed(MemberSlot& slot, Error failure) {
  if (failure.reason == base::EndReason::upstream_tls) tell_tls_failure(slot, failure);
  // Our own shortage says nothing about the member.
  if (failure.side != base::Side::internal &&
      !slot.member_->is_suspect.exchange(true, std::memory_order_relaxed) &&
      context_->report_suspect != nullptr) {
    context_->report_suspect(context_->owner, slot.member_);
  }
}

void Pool::on_gone(MemberSlot& slot) {
  --slot.open_;
  --context_->open_connections;
  slot.member_->connections.fetch_sub(1, std::memory_order_relaxed);
  PoolContext& context = *context_;
  if (!slot.is_listed_ && slot.open_ == 0 && slot.leased_ == 0) forget(slot);
  if (context.is_crowded) context.room_freed(context.owner);
}

void Pool::tell_tls_failure(MemberSlot& slot, Error failure) {
  const std::uint64_t now = context_->loop.now_ns();
  if (slot.tls_told_ns_ != 0 && now - slot.tls_told_ns_ < kTellTlsNs) return;
  slot.tls_told_ns_ = now;
  base::log(base::LogLevel::warn, "tls", "pool {}: no connection to {}: {}", name_,
            slot.member_->name, failure.detail);
}

void Pool::note(Lease& lease, health::Outcome outcome) {
  if (!settings_->passive.is_on && !settings_->breaker.is_on) return;
  const SharedMember& member = lease.slot->member_;
  outcome.is_trial = std::exchange(lease.is_trial, false);
  if (member->conduct.note(outcome, *settings_)) tell_conduct(member);
}

void Pool::tell_conduct(const SharedMember& member) {
  if (context_->report_conduct == nullptr || member->conduct.is_told.exchange(true)) return;
  context_->report_conduct(context_->owner, member);
}

void Pool::give_trial(MemberSlot& slot) {
  slot.member_->trials.give();
  tell_conduct(slot.member_);  // somebody may wait for it
}

bool Pool::is_broken() const {
  return std::ranges::any_of(listed_, [](const MemberSlot* slot) {
    const health::Member& member = *slot->member_;
    return member.is_broken.load(std::memory_order_relaxed) && !member.is_leaving();
  });
}

void Pool::close_idle_of(MemberSlot& slot) {
  slot.h1_.close_idle();
  slot.h2_.close_idle();
}

bool Pool::close_an_idle_one() {
  return std::ranges::any_of(slots_, [](const auto& slot) {
    return slot->h1_.close_an_idle_one() || slot->h2_.close_an_idle_one();
  });
}

void Pool::close_idle() {
  is_closing_ = true;
  for (auto& slot : slots_)
    close_idle_of(*slot);
}

void Pool::close_all() {
  close_idle();
  for (auto& slot : slots_) {
    slot->h1_.close_all();
    slot->h2_.close_all();
  }
}

bool Pool::has_open_connections() const {
  return std::any_of(slots_.begin(), slots_.end(),
                     [](const auto& slot) { return slot->open_ > 0 || slot->leased_ > 0; });
}

}  // namespace portunus::proxy
