#include "proxy/staple_keeper.h"

#include <algorithm>
#include <ctime>
#include <expected>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/name_lookup.h"

namespace portunus::proxy {
namespace {

using base::LogLevel;

constexpr std::uint64_t kAnswerTimeoutMs = 10'000;

std::uint64_t now_ms() {
  return base::monotonic_ns() / 1'000'000;
}

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
  [[nodiscard]] const net::OcspRequest& request() const { return (*requests)[responder]; }
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
  std::expected<std::vector<net::OcspRequest>, std::string> requests =
      std::unexpected(std::string());
  std::size_t responder = 0;          // whose turn it is, in `requests`: the last one that was good
  std::size_t failed_responders = 0;  // of these, since the last pause
  std::vector<net::SharedCertificate> holders;
  net::SharedCertificate judge;  // one of them, with its issuer where any has it
  std::vector<net::SharedCertificate> next_holders;  // while set_certificates() goes through all
  net::SharedStaple staple;
  std::int64_t this_update = 0;  // of the newest answer that was believed; 0 = none
  std::int64_t next_update = 0;
  bool is_open = false;   // looking up or fetching
  std::string open_host;  // then where
  std::string open_url;
  bool is_revoked = false;
  std::uint32_t failures = 0;  // in a row
  std::string why;             // of the last one
  StapleLog::Fault fault;
  StapleLog::Fault lack;  // of a staple that it needs
  bool needs_staple = false;
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
  if (!told_.is_empty()) forget_responders();
  start_queued();
}

// Those that no certificate names any more.
void StapleKeeper::forget_responders() {
  std::unordered_set<std::string> named;
  for (const auto& [fingerprint, entry] : entries_) {
    if (!entry->requests) continue;
    for (const net::OcspRequest& each : *entry->requests)
      named.insert(each.authority());
  }
  told_.retain(named);
}

// Who asks for all that hold it: one whose file has the issuer, which another's may lack, or get later.
void StapleKeeper::choose(Entry& entry) {
  if (entry.requests && std::ranges::find(entry.holders, entry.judge) != entry.holders.end())
    return;
  const bool had_request = entry.requests.has_value();
  for (const net::SharedCertificate& each : entry.holders) {
    entry.judge = each;
    entry.requests = net::make_ocsp_requests(*each);
    if (entry.requests) break;
  }
  entry.needs_staple = net::needs_staple(entry.certificate());
  if (entry.requests) {
    if (entry.responder >= entry.requests->size()) entry.responder = 0;
    if (!had_request) entry.why.clear();
    if (entry.is_idle()) queued_.push_back(entry);
    return;
  }
  if (entry.why != entry.requests.error()) {
    entry.why = entry.requests.error();
    base::log(LogLevel::warn, "tls", "certificate {}: OCSP: {}", shown_name(entry.certificate()),
              entry.why);
    note_lack(entry);
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
    if (!entry->requests) continue;  // its file has lost the issuer
    std::size_t& at_host = open_at_[entry->request().authority()];
    if (at_host >= kOpenPerHostMax) {
      put_off.push_back(*entry);
      continue;
    }
    ++at_host;
    ++open_;
    entry->is_open = true;
    entry->open_host = entry->request().authority();
    entry->open_url = entry->request().url;
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
  if (const auto address = net::Address::parse_ip(entry.request().host, 0)) {
    on_looked_up(entry, *address);
    return;
  }
  entry.lookup = NameLookup::start(*loop_, entry.request().host, entry);
  if (entry.lookup == nullptr) {
    fail_responder(entry, "too many names are being looked up");
    return;
  }
  schedule(entry, kAnswerTimeoutMs);
}

void StapleKeeper::on_looked_up(Entry& entry, const net::Address& address) {
  if (!entry.requests || !address.is_set()) {
    if (entry.requests) {
      fail_responder(entry, "the responder's name cannot be resolved: " + entry.request().host);
    } else {
      fail(entry, entry.requests.error());
    }
    start_queued();
    return;
  }
  http::FetchRequest request;
  request.address = address;
  request.address.set_port(entry.request().port);
  request.host = entry.request().authority();
  request.target = entry.request().target;
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
  entry.failed_responders = 0;
  entry.why.clear();
  entry.fault.end();
  schedule(entry, 1'000 * static_cast<std::uint64_t>(net::ocsp_refresh_after(
                              answer.staple, std::time(nullptr), chance())));
  if (answer.is_revoked) {
    ++counts_.revoked;
    entry.why = "revoked";
    if (!std::exchange(entry.is_revoked, true)) {
      base::log(LogLevel::error, "tls", "certificate {} is revoked, says {}: replace it",
                shown_name(entry.certificate()), entry.open_url);
    }
    publish(entry, nullptr);
    return;
  }
  ++counts_.good;
  entry.is_revoked = false;
  entry.lack.end();
  publish(entry, std::make_shared<const net::OcspStaple>(std::move(answer.staple)));
}

// One line for all certificates that name it.
void StapleKeeper::fail_responder(Entry& entry, std::string why) {
  if (told_.is_silence_news(entry.open_host, now_ms())) {
    base::log(LogLevel::warn, "tls",
              "OCSP: {}: {}; asked for certificate {}, and not told again for others",
              entry.open_url, why, shown_name(entry.certificate()));
  }
  try_later(entry, std::move(why));
}

void StapleKeeper::note_answer(const Entry& entry) {
  if (told_.is_answer_news(entry.open_host))
    base::log(LogLevel::info, "tls", "OCSP: {} answers again", entry.open_url);
}

void StapleKeeper::fail(Entry& entry, std::string why) {
  if (entry.fault.is_news(why, now_ms())) {
    base::log(LogLevel::warn, "tls", "certificate {}: OCSP: {}: {}",
              shown_name(entry.certificate()), entry.open_url, why);
  }
  try_later(entry, std::move(why));
}

// What was believed before stays until it ends.
void StapleKeeper::try_later(Entry& entry, std::string why) {
  close(entry);
  ++counts_.failed;
  entry.why = std::move(why);
  if (entry.staple && entry.staple->next_update <= std::time(nullptr)) publish(entry, nullptr);
  if (entry.requests) {
    entry.responder = (entry.responder + 1) % entry.requests->size();
    if (++entry.failed_responders < entry.requests->size()) {
      queued_.push_back(entry);
      return;
    }
  }
  entry.failed_responders = 0;
  note_lack(entry);
  const unsigned doublings = std::min(entry.failures++, 20U);
  const std::uint64_t pause = std::min(kRetryMs << doublings, kRetryMaxMs);
  schedule(entry, pause + static_cast<std::uint64_t>(static_cast<double>(pause) * chance() / 4));
}

// Clients that know of must-staple refuse it then.
void StapleKeeper::note_lack(Entry& entry) {
  if (!entry.needs_staple || entry.staple || !entry.lack.is_news({}, now_ms())) return;
  base::log(LogLevel::error, "tls",
            "certificate {} has to be stapled (must-staple), and there is no answer to staple: "
            "clients may refuse it",
            shown_name(entry.certificate()));
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
  view.responder = entry.requests ? entry.request().url : certificate.ocsp_url();
  view.is_required = entry.needs_staple;
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
