// Clients that come back to the member that answered them before (sticky.h).
#include "base/clock.h"
#include "proxy/exchange.h"

namespace portunus::proxy {
namespace {

std::uint64_t wall_s() {
  return base::wall_us() / 1'000'000;
}

}  // namespace

// Of a split: the pool that the client has a good cookie of, as long as that has a share at all.
std::size_t Exchange::pool_of_cookie() const {
  for (const conf::PoolShare& share : route_->forward().shares) {
    Sticky* const sticky = generation_->pools[share.pool]->sticky();
    if (share.weight == 0 || sticky == nullptr) continue;
    if (sticky->read(request_->fields, wall_s()).id != 0) return share.pool;
  }
  return Sticky::kNobody;
}

void Exchange::find_own_member() {
  Sticky& sticky = *pool_->sticky();
  const Sticky::Named named = sticky.read(request_->fields, wall_s());
  affinity_.sticky = named.id;
  is_cookie_due_ = named.is_due;
  // Until its member has answered.
  sticky_ = named.id == 0 ? StickyResult::miss : StickyResult::lost;
  sticky.strip(request_->fields, *request_->arena);
}

// Says in the answer whom the client is to come back to, where it does not know.
void Exchange::name_member(http::Head& head) {
  Sticky* const sticky = pool_->sticky();
  const std::uint64_t id = attempt_.sticky_id();
  if (sticky == nullptr || id == 0) return;  // a reload has ended it, or the member is going
  if (id == affinity_.sticky) {
    sticky_ = StickyResult::hit;
    if (!is_cookie_due_) return;
  } else if (attempt_.keeps_client()) {
    return;  // its own member was full at that moment: what it keeps for the client is still there
  }
  // One whose answers are errors is nobody to stay with.
  if (head.status >= 500 || is_for_shared_caches(head.fields)) return;
  sticky->add(id, scheme_ == "https", wall_s(), *head.arena, head.fields);
}

}  // namespace portunus::proxy
