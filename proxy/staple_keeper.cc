#include "proxy/staple_keeper.h"

#include <algorithm>
#include <ctime>
#include <expected>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/name_lookup.h"

namespace portunus::proxy {
namespace {

using base::LogLevel;

constexpr std::uint64_t kAnswerTimeoutMs = 10'000;

std::string_view shown_name(const net::Certificate& certificate) {
  return certificate.names().empty() ? std::string_view("without a name")
                                     : certificate.names().front();
}

}  // namespace

// What is known of one certificate, however many files hold it.
struct StapleKeeper::Entry final : http::FetchHandler, NameLookupHandler, base::ListHook<> {
  explicit Entry(StapleKeeper& owner)
      : keeper(&owner), due(this, [](void* self) {
          auto* entry = static_cast<Entry*>(self);
          entry->keeper->on_due(*entry);
        }) {}
  void on_fetch_done(const http::FetchResult& result) override {
    fetch = nullptr;
    keeper->on_answer(*this, result);
  }
  void on_name_looked_up(const net::Address& address) override {
    lookup = nullptr;
    due.disarm();
    keeper->on_looked_up(*this, address);
  }
  [[nodiscard]] const net::Certificate& certificate() const { return *judge; }
  [[nodiscard]] bool is_idle() const { return !is_open && !is_linked() && !due.is_armed(); }
  // What is not shown any more has no staple either.
  void take_next() {
    holders.swap(next_holders);
    for (const net::SharedCertificate& each : std::exchange(next_holders, {})) {
      if (std::ranges::find(holders, each) == holders.end()) each->set_staple(nullptr);
    }
    for (const net::SharedCertificate& each : holders)
      each->set_staple(staple.get());
  }

  StapleKeeper* keeper;
  std::expected<net::OcspRequest, std::string> request = std::unexpected(std::string());
  std::vector<net::SharedCertificate> holders;
  net::SharedCertificate judge;  // one of them, with its issuer where any has it
  std::vector<net::SharedCertificate> next_holders;  // while set_certificates() goes through all
  net::SharedStaple staple;
  std::int64_t this_update = 0;  // of the newest answer that was believed; 0 = none
  std::int64_t next_update = 0;
  bool is_open = false;   // looking up or fetching
  std::string open_host;  // then where
  bool is_revoked = false;
  std::uint32_t failures = 0;  // in a row
  std::string why;             // of the last one
  net::Deadline due;
  http::Fetch* fetch = nullptr;
  std::unique_ptr<NameLookup> lookup;
};

StapleKeeper::StapleKeeper(net::Loop& loop, StapleEvents& events)
    : loop_(&loop), events_(&events), fetcher_(loop), random_(base::monotonic_ns()) {}

StapleKeeper::~StapleKeeper() = default;

void StapleKeeper::set_certificates(std::span<const net::SharedCertificate> certificates) {
  for (const net::SharedCertificate& each : certificates) {
    if (each == nullptr || each->ocsp_url().empty()) continue;
    std::unique_ptr<Entry>& place = entries_[each->fingerprint()];
    if (place == nullptr) place = std::make_unique<Entry>(*this);
    place->next_holders.push_back(each);
  }
  for (auto& [fingerprint, entry] : entries_) {
    if (entry->next_holders.empty()) {
      retire(*entry);
      continue;
    }
    entry->take_next();
    choose(*entry);
  }
  std::erase_if(entries_, [](const auto& each) { return each.second->holders.empty(); });
  if (!silent_.empty()) forget_responders();
  start_queued();
}

// Those that no certificate names any more.
void StapleKeeper::forget_responders() {
  std::unordered_set<std::string> named;
  for (const auto& [fingerprint, entry] : entries_) {
    if (entry->request) named.insert(entry->request->authority());
  }
  std::erase_if(silent_, [&](const std::string& each) { return !named.contains(each); });
}

// Who asks for all that hold it: one whose file has the issuer, which another's may lack, or get later.
void StapleKeeper::choose(Entry& entry) {
  if (entry.request && std::ranges::find(entry.holders, entry.judge) != entry.holders.end()) return;
  const bool had_request = entry.request.has_value();
  for (const net::SharedCertificate& each : entry.holders) {
    entry.judge = each;
    entry.request = net::make_ocsp_request(*each);
    if (entry.request) break;
  }
  if (entry.request) {
    if (!had_request) entry.why.clear();
    if (entry.is_idle()) queued_.push_back(entry);
    return;
  }
  if (entry.why != entry.request.error()) {
    entry.why = entry.request.error();
    base::log(LogLevel::warn, "tls", "certificate {}: OCSP: {}", shown_name(entry.certificate()),
              entry.why);
  }
}

// It goes, and nothing of it will come back.
void StapleKeeper::retire(Entry& entry) {
  publish(entry, nullptr);
  entry.holders.clear();
  if (entry.fetch != nullptr) std::exchange(entry.fetch, nullptr)->cancel();
  entry.lookup = nullptr;
  close(entry);
}

void StapleKeeper::stop() {
  for (auto& [fingerprint, entry] : entries_)
    retire(*entry);
  entries_.clear();
  fetcher_.close_all();
}

void StapleKeeper::queue(Entry& entry) {
  queued_.push_back(entry);
  start_queued();
}

// Of a pause, or of a look-up that takes too long.
void StapleKeeper::on_due(Entry& entry) {
  if (entry.lookup == nullptr) {
    queue(entry);
    return;
  }
  entry.lookup = nullptr;
  on_looked_up(entry, {});
}

// One responder that does not answer must not hold up the others'.
void StapleKeeper::start_queued() {
  base::IntrusiveList<Entry> put_off;
  while (open_ < kOpenMax) {
    Entry* const entry = queued_.pop_front();
    if (entry == nullptr) break;
    if (!entry->request) continue;  // its file has lost the issuer
    std::size_t& at_host = open_at_[entry->request->authority()];
    if (at_host >= kOpenPerHostMax) {
      put_off.push_back(*entry);
      continue;
    }
    ++at_host;
    ++open_;
    entry->is_open = true;
    entry->open_host = entry->request->authority();
    look_up(*entry);
  }
  while (Entry* const entry = put_off.pop_front())
    queued_.push_back(*entry);
}

void StapleKeeper::close(Entry& entry) {
  if (!std::exchange(entry.is_open, false)) return;
  --open_;
  const auto at = open_at_.find(entry.open_host);
  if (at != open_at_.end() && --at->second == 0) open_at_.erase(at);
}

void StapleKeeper::look_up(Entry& entry) {
  if (const auto address = net::Address::parse_ip(entry.request->host, 0)) {
    on_looked_up(entry, *address);
    return;
  }
  entry.lookup = NameLookup::start(*loop_, entry.request->host, entry);
  if (entry.lookup == nullptr) {
    fail_responder(entry, "too many names are being looked up");
    return;
  }
  schedule(entry, kAnswerTimeoutMs);
}

void StapleKeeper::on_looked_up(Entry& entry, const net::Address& address) {
  if (!entry.request || !address.is_set()) {
    if (entry.request) {
      fail_responder(entry, "the responder's name cannot be resolved: " + entry.request->host);
    } else {
      fail(entry, entry.request.error());
    }
    start_queued();
    return;
  }
  http::FetchRequest request;
  request.address = address;
  request.address.set_port(entry.request->port);
  request.host = entry.request->authority();
  request.target = entry.request->target;
  request.user_agent = "portunus";
  request.timeout_ms = kAnswerTimeoutMs;
  request.body_max = net::kOcspAnswerMax;
  entry.fetch = &fetcher_.start(std::move(request), entry);
}

void StapleKeeper::on_answer(Entry& entry, const http::FetchResult& result) {
  if (result.error.is_error()) {
    fail_responder(entry, result.error.detail);
  } else if (result.head->status != 200) {
    fail_responder(entry,
                   "the responder answers with status " + std::to_string(result.head->status));
  } else if (result.is_truncated) {
    fail(entry, "the answer is too large");
  } else {
    note_answer(entry);
    auto answer = net::read_ocsp_answer(entry.certificate(), result.body, std::time(nullptr));
    if (answer) {
      succeed(entry, *std::move(answer));
    } else {
      fail(entry, std::move(answer.error()));
    }
  }
  start_queued();
}

void StapleKeeper::succeed(Entry& entry, net::OcspAnswer answer) {
  // Whoever has kept an answer could take back what a newer one says.
  if (answer.staple.this_update < entry.this_update) {
    fail(entry, "the answer is older than what is known");
    return;
  }
  close(entry);
  entry.this_update = answer.staple.this_update;
  entry.next_update = answer.staple.next_update;
  entry.failures = 0;
  entry.why.clear();
  schedule(entry, 1'000 * static_cast<std::uint64_t>(net::ocsp_refresh_after(
                              answer.staple, std::time(nullptr), chance())));
  if (answer.is_revoked) {
    ++counts_.revoked;
    entry.why = "revoked";
    if (!std::exchange(entry.is_revoked, true)) {
      base::log(LogLevel::error, "tls", "certificate {} is revoked, says {}: replace it",
                shown_name(entry.certificate()), entry.certificate().ocsp_url());
    }
    publish(entry, nullptr);
    return;
  }
  ++counts_.good;
  entry.is_revoked = false;
  publish(entry, std::make_shared<const net::OcspStaple>(std::move(answer.staple)));
}

// One line for all certificates that name it.
void StapleKeeper::fail_responder(Entry& entry, std::string why) {
  if (silent_.insert(entry.open_host).second) {
    base::log(LogLevel::warn, "tls",
              "OCSP: {}: {}; asked for certificate {}, and not told again for others",
              entry.certificate().ocsp_url(), why, shown_name(entry.certificate()));
  }
  try_later(entry, std::move(why));
}

void StapleKeeper::note_answer(const Entry& entry) {
  if (silent_.erase(entry.open_host) > 0)
    base::log(LogLevel::info, "tls", "OCSP: {} answers again", entry.certificate().ocsp_url());
}

void StapleKeeper::fail(Entry& entry, std::string why) {
  if (entry.failures == 0) {
    base::log(LogLevel::warn, "tls", "certificate {}: OCSP: {}: {}",
              shown_name(entry.certificate()), entry.certificate().ocsp_url(), why);
  }
  try_later(entry, std::move(why));
}

// What was believed before stays until it ends.
void StapleKeeper::try_later(Entry& entry, std::string why) {
  close(entry);
  ++counts_.failed;
  entry.why = std::move(why);
  const unsigned doublings = std::min(entry.failures++, 20U);
  if (entry.staple && entry.staple->next_update <= std::time(nullptr)) publish(entry, nullptr);
  const std::uint64_t pause = std::min(kRetryMs << doublings, kRetryMaxMs);
  schedule(entry, pause + static_cast<std::uint64_t>(static_cast<double>(pause) * chance() / 4));
}

void StapleKeeper::publish(Entry& entry, net::SharedStaple staple) {
  for (const net::SharedCertificate& each : entry.holders)
    each->set_staple(staple.get());
  std::swap(entry.staple, staple);
  if (staple) events_->on_staple_retired(std::move(staple));
}

void StapleKeeper::schedule(Entry& entry, std::uint64_t after_ms) {
  loop_->timers().arm(entry.due, after_ms);
}

// From 0 to 1, so that not all ask at once; no secret.
double StapleKeeper::chance() {
  random_ = random_ * 6364136223846793005U + 1442695040888963407U;
  return static_cast<double>(random_ >> 40U) / static_cast<double>(1U << 24U);
}

std::optional<OcspView> StapleKeeper::view(const net::Certificate& certificate,
                                           std::int64_t now) const {
  if (certificate.ocsp_url().empty()) return std::nullopt;
  const auto found = entries_.find(certificate.fingerprint());
  if (found == entries_.end()) return std::nullopt;
  const Entry& entry = *found->second;
  OcspView view;
  view.responder = certificate.ocsp_url();
  view.error = entry.why;
  view.this_update = entry.this_update;
  view.next_update = entry.next_update;  // also when that has passed
  if (entry.staple && entry.staple->next_update > now) {
    view.state = "good";
  } else if (entry.is_revoked) {
    view.state = "revoked";
  } else if (!entry.why.empty()) {
    view.state = "failed";
  }
  if (entry.due.is_armed())
    view.next_fetch_in_s = static_cast<std::int64_t>(loop_->timers().left_ms(entry.due) / 1'000);
  return view;
}

}  // namespace portunus::proxy
