#include "discovery/source.h"

#include <utility>
#include <vector>

#include "discovery/source_entry.h"

namespace portunus::discovery {
namespace {

// Lists that change often are written once in a while, and not all in one turn.
constexpr std::uint64_t kSaveAfterMs = 1'000;
constexpr std::size_t kSavesAtOnce = 16;

}  // namespace

const char* name_of(ListSource source) {
  switch (source) {
    case ListSource::none:
      return "none";
    case ListSource::snapshot:
      return "snapshot";
    case ListSource::consul:
      return "consul";
  }
  return "";
}

ConsulSource::ConsulSource(net::Loop& loop, http::Fetcher& fetcher, ConsulEvents& events)
    : loop_(&loop),
      events_(&events),
      client_(loop, fetcher),
      gather_(std::make_unique<uv_timer_t>().release()),
      save_(this, [](void* self) { static_cast<ConsulSource*>(self)->save(); }) {
  uv_timer_init(loop.uv(), gather_);
  gather_->data = this;
}

ConsulSource::~ConsulSource() {
  stop();
}

void ConsulSource::stop() {
  if (std::exchange(is_stopped_, true)) return;
  entries_.clear();
  save_.disarm();
  net::Deferred::unlink();
  uv_close(reinterpret_cast<uv_handle_t*>(gather_), [](uv_handle_t* handle) {
    const std::unique_ptr<uv_timer_t> owned(reinterpret_cast<uv_timer_t*>(handle));
  });
  gather_ = nullptr;
}

void ConsulSource::set(ConsulAgent agent, const std::vector<ServiceQuery>& wanted) {
  if (is_stopped_) return;
  const bool is_changed = !(agent == client_.agent());
  const bool has_other_agents = agent.endpoints != client_.agent().endpoints ||
                                agent.tls != client_.agent().tls ||
                                agent.tls_host != client_.agent().tls_host;
  std::map<std::string, std::unique_ptr<Entry>> old = std::exchange(entries_, {});
  std::vector<Entry*> fresh;
  std::vector<Entry*> stay;
  for (const ServiceQuery& query : wanted) {
    std::string key = key_of(query);
    if (entries_.contains(key)) continue;
    if (auto known = old.extract(key)) {
      stay.push_back(known.mapped().get());
      entries_.insert(std::move(known));
    } else {
      auto entry = std::make_unique<Entry>(*this, query, key);
      fresh.push_back(entry.get());
      entries_.emplace(std::move(key), std::move(entry));
    }
  }
  old.clear();  // their connections are there for the new ones
  client_.set(std::move(agent), entries_.size());
  if (!fresh.empty()) is_round_open_ = true;
  if (is_changed) {
    for (Entry* entry : stay)
      entry->watch.change(has_other_agents);
  }
  for (Entry* entry : fresh)
    entry->start();
  if (is_round_open_) loop_->defer(*this);
}

// ---- telling ----

void ConsulSource::note_change(Entry& entry) {
  if (entry.is_list_new && entry.told_ms != 0 && loop_->now_ms() - entry.told_ms < kGatherMs) {
    if (uv_is_active(reinterpret_cast<const uv_handle_t*>(gather_)) == 0) {
      uv_timer_start(gather_, &on_gathered, kGatherMs, 0);
    }
    return;
  }
  loop_->defer(*this);
}

void ConsulSource::on_gathered(uv_timer_t* timer) {
  auto& self = *static_cast<ConsulSource*>(timer->data);
  const net::Loop::Turn turn(*self.loop_);
  self.tell(true);
}

void ConsulSource::on_turn_end() {
  tell(false);
}

// A handler may call any method: nothing of entries_ is held over an event.
void ConsulSource::tell(bool is_gathered) {
  struct News {
    std::string key;
    InstanceList list;
  };
  std::vector<News> lists;
  std::vector<std::pair<ServiceStatus, KeptReason>> kept;
  const std::uint64_t now_ms = loop_->now_ms();
  for (const auto& [key, entry] : entries_) {
    if (std::exchange(entry->is_kept_new, false)) {
      ServiceStatus status = entry->status();
      if (status.kept != entry->told_kept) kept.emplace_back(std::move(status), entry->told_kept);
    }
    if (!entry->is_list_new) continue;
    if (!is_gathered && entry->told_ms != 0 && now_ms - entry->told_ms < kGatherMs) continue;
    entry->is_list_new = false;
    entry->told_ms = now_ms;
    lists.push_back({key, entry->status().instances});
  }
  for (const News& news : lists) {
    if (!is_stopped_) events_->on_instances(news.key, news.list);
  }
  for (const auto& [status, was] : kept) {
    if (!is_stopped_) events_->on_kept(status, was);
  }
  note_first_tries();
}

void ConsulSource::note_first_tries() {
  if (!is_round_open_ || is_stopped_) return;
  for (const auto& [key, entry] : entries_) {
    if (!entry->has_tried) return;
  }
  is_round_open_ = false;
  events_->on_first_lists();
}

// ---- saving ----

void ConsulSource::save_later() {
  if (!client_.agent().snapshots.empty() && !save_.is_armed()) {
    loop_->timers().arm(save_, kSaveAfterMs);
  }
}

void ConsulSource::save() {
  const std::string& folder = client_.agent().snapshots;
  if (folder.empty()) return;
  std::size_t saved = 0;
  for (const auto& [key, entry] : entries_) {
    if (saved == kSavesAtOnce) {
      save_later();
      return;
    }
    if (entry->save(folder)) ++saved;
  }
}

// ---- asking ----

std::optional<ServiceStatus> ConsulSource::status(const std::string& key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  return found->second->status();
}

std::vector<ServiceStatus> ConsulSource::statuses() const {
  std::vector<ServiceStatus> all;
  all.reserve(entries_.size());
  for (const auto& [key, entry] : entries_)
    all.push_back(entry->status());
  return all;
}

InstanceList ConsulSource::instances(const std::string& key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return nullptr;
  ServiceStatus status = found->second->status();
  return status.source == ListSource::none ? nullptr : std::move(status.instances);
}

}  // namespace portunus::discovery
