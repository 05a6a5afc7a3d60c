// What the control thread knows of members and the next process is to know: it is told to the
// supervisor when it changes, and taken over at the start.
#include <unistd.h>

#include <utility>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "proxy/control.h"
#include "supervisor/member_keeper.h"

namespace portunus::proxy {
namespace {

using base::LogLevel;
using health::MemberState;

constexpr std::size_t kSizeMax = supervisor::MemberKeeper::kSizeMax;

std::string key_of(const std::string& pool, const std::string& name, const std::string& address) {
  return pool + '\n' + name + '\n' + address;
}

}  // namespace

// Before there is a generation: who is built gets it.
void Control::recall(int descriptor) {
  const auto kept = read_kept(descriptor, kSizeMax);
  auto memory = kept ? decode_memory(kept->text) : std::unexpected(kept.error());
  if (!memory) {
    base::log(LogLevel::warn, "proxy", "what was known of members is ignored: {}", memory.error());
    return;
  }
  for (MemberOrders::Entry& entry : memory->orders)
    static_cast<void>(builder_.orders().set(entry.pool, entry.name, entry.order));
  const std::uint64_t now_us = base::wall_us();
  // A clock that has been set back makes it of unknown age.
  const bool is_fresh = kept->changed_us <= now_us && now_us - kept->changed_us <= kHealthAgeMaxUs;
  remembered_.clear();
  for (RememberedHealth& health : memory->health) {
    if (!is_fresh) break;
    std::string key = key_of(health.pool, health.name, health.address);
    remembered_.insert_or_assign(std::move(key), std::move(health));
  }
  base::log(LogLevel::info, "proxy", "takes over: health of {} members{}, orders about {}",
            remembered_.size(), is_fresh ? "" : " (too old)", memory->orders.size());
}

// Null: nothing, or of another process at that address.
const RememberedHealth* Control::remembered(const health::Member& member) const {
  const auto known = remembered_.find(key_of(member.pool, member.name, member.address.text()));
  if (known == remembered_.end()) return nullptr;
  const DynamicMembers::Replica* const replica = builder_.dynamic().find(member);
  const std::uint32_t life =
      replica == nullptr ? 0 : replicas_.life_of(replica->service, replica->port);
  return known->second.life == life ? &known->second : nullptr;
}

void Control::remind(std::vector<health::ProbeTarget>& targets) const {
  for (health::ProbeTarget& target : targets) {
    const RememberedHealth* const known = remembered(*target.member);
    if (known == nullptr) continue;
    target.known = {known->is_up, known->since_us, known->reason, known->was_up};
  }
}

// Once its members are judged.
void Control::resume_held() {
  const std::uint64_t now_us = base::wall_us();
  for (const SharedMemberList& list : lists_) {
    for (const MemberEntry& entry : list->entries) {
      const RememberedHealth* const known = remembered(*entry.member);
      if (known != nullptr && known->held) judge_.resume(*entry.member, *known->held, now_us);
    }
  }
}

MemberMemory Control::collect_memory() const {
  MemberMemory memory;
  for (const health::MemberSnapshot& one : prober_.snapshot()) {
    const bool is_up = one.status.state == MemberState::up;
    if (!is_up && one.status.state != MemberState::down) continue;
    const health::Member& member = *one.member;
    const DynamicMembers::Replica* const replica = builder_.dynamic().find(member);
    memory.health.push_back(
        {.pool = member.pool,
         .name = member.name,
         .address = member.address.text(),
         .is_up = is_up,
         .since_us = one.status.since_us,
         .reason = one.status.reason,
         .life = replica == nullptr ? 0 : replicas_.life_of(replica->service, replica->port),
         .was_up = one.status.was_up,
         .held = judge_.held(member)});
  }
  memory.orders = builder_.orders().all();
  return memory;
}

void Control::note_change() {
  if (!link_.is_supervised() || memory_due_.is_armed()) return;
  loop_.timers().arm(memory_due_, kMemoryDelayMs);
}

void Control::tell_memory() {
  memory_due_.disarm();
  const bool is_running = state_ == State::ready || state_ == State::announcing;
  if (!is_running || !link_.is_supervised()) return;
  const std::string text = encode(collect_memory(), kSizeMax);
  const std::uint64_t hash = base::stable_hash(text);
  if (hash == std::exchange(told_memory_, hash)) return;
  const int file = make_sealed_file(text);
  if (file < 0 || !link_.send(supervisor::Message(supervisor::Kind::remember), {&file, 1})) {
    base::log(LogLevel::warn, "proxy", "what is known of members cannot be handed over");
    told_memory_ = 0;
  }
  if (file >= 0) ::close(file);
}

}  // namespace portunus::proxy
