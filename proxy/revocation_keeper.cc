#include "proxy/revocation_keeper.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace portunus::proxy {
namespace {

using base::LogLevel;

std::string key_of(const conf::ClientAuthority& authority) {
  return authority.file + '\0' + authority.crl_file;
}

// Of a good list, instead of one that has not ended; empty: nothing speaks against it.
const char* why_not_instead(const net::RevocationList& fresh,
                            const net::RevocationList& known,
                            std::int64_t now) {
  // It would shut everybody out.
  if (fresh.next_update() <= now) return "a list in it has ended";
  // Who has been revoked since would be let in.
  return fresh.is_older_than(known) ? "a list in it is older than the one in use" : "";
}

}  // namespace

bool RevocationKeeper::is_any_bad() const {
  return std::ranges::any_of(told_, [](const auto& each) { return !each.second.error.empty(); });
}

void RevocationKeeper::exchange(const net::ClientAuthority& authority,
                                net::SharedRevocationList list) {
  if (auto old = authority.exchange_revocations(std::move(list)))
    events_->on_revocations_retired(std::move(old));
}

void RevocationKeeper::set_model(const conf::Model& model, std::int64_t now) {
  std::unordered_map<std::string, Told> kept;
  for (const conf::ClientAuthority& each : model.client_authorities) {
    if (each.loaded == nullptr || each.crl_file.empty()) continue;
    Told& told = kept[key_of(each)] = told_[key_of(each)];
    const net::RevocationList* const known = each.loaded->revocations();
    if (each.revocations != nullptr &&
        (known == nullptr || known->number() < each.revocations->number())) {
      told.error.clear();
      exchange(*each.loaded, each.revocations);
    }
  }
  told_ = std::move(kept);
  look(model, now);
}

void RevocationKeeper::take(std::vector<net::FreshRevocations> fresh, std::int64_t now) {
  for (net::FreshRevocations& each : fresh) {
    Told& told = told_[each.authority_file + '\0' + each.file];
    const net::RevocationList* const known = each.authority->revocations();
    if (each.list != nullptr && known != nullptr && known->next_update() > now)
      each.error = why_not_instead(*each.list, *known, now);
    if (!each.error.empty()) {
      if (std::exchange(told.error, each.error) == each.error) continue;
      base::log(LogLevel::error, "tls", "revoked certificates {}: {}; the list before stays",
                each.file, each.error);
      continue;
    }
    told.error.clear();
    if (known != nullptr && each.list->lacks_one_of(*known)) {
      base::log(
          LogLevel::warn, "tls",
          "revoked certificates {}: an authority that had a list has none any more: its clients "
          "are refused",
          each.file);
    }
    base::log(LogLevel::info, "tls", "revoked certificates {} read again: {}", each.file,
              each.list->revoked_count());
    exchange(*each.authority, std::move(each.list));
  }
}

void RevocationKeeper::look(const conf::Model& model, std::int64_t now) {
  for (const conf::ClientAuthority& each : model.client_authorities) {
    const net::RevocationList* const list =
        each.loaded == nullptr ? nullptr : each.loaded->revocations();
    if (list == nullptr) continue;
    Told& told = told_[key_of(each)];
    if (list->next_update() <= now && std::exchange(told.ended, list->number()) != list->number()) {
      base::log(LogLevel::error, "tls",
                "revoked certificates {}: the list has ended: clients of its authority are refused "
                "until there is a newer one",
                each.crl_file);
    } else if (list->next_update() > now && list->due() <= now &&
               std::exchange(told.due, list->number()) != list->number()) {
      base::log(LogLevel::warn, "tls",
                "revoked certificates {}: the list ends in {} minutes, and there is no newer one: "
                "from then on clients of its authority are refused",
                each.crl_file, (list->next_update() - now) / 60);
    }
  }
}

std::vector<RevocationView> RevocationKeeper::views(const conf::Model& model) const {
  std::vector<RevocationView> out;
  for (const conf::ClientAuthority& each : model.client_authorities) {
    const net::RevocationList* const list =
        each.loaded == nullptr ? nullptr : each.loaded->revocations();
    if (list == nullptr) continue;
    const auto told = told_.find(key_of(each));
    out.push_back({each.file, each.crl_file, list->next_update(), list->revoked_count(),
                   told == told_.end() || told->second.error.empty()});
  }
  return out;
}

}  // namespace portunus::proxy
