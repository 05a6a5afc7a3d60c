#include "proxy/staple_keeper.h"

#include <uv.h>

#include <algorithm>
#include <ctime>
#include <expected>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/resolve.h"

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
struct StapleKeeper::Entry final : http::FetchHandler, base::ListHook<> {
  Entry(StapleKeeper& owner, std::expected<net::OcspRequest, std::string> asks)
      : keeper(&owner), request(std::move(asks)), due(this, [](void* self) {
          auto* entry = static_cast<Entry*>(self);
          entry->keeper->queue(*entry);
        }) {}
  void on_fetch_done(const http::FetchResult& result) override {
    fetch = nullptr;
    keeper->on_answer(*this, result);
  }
  [[nodiscard]] const net::Certificate& certificate() const { return *holders.front(); }
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
  std::expected<net::OcspRequest, std::string> request;
  std::vector<net::SharedCertificate> holders;
  std::vector<net::SharedCertificate> next_holders;  // while set_certificates() goes through all
  net::SharedStaple staple;
  bool is_revoked = false;
  std::uint32_t failures = 0;  // in a row
  std::string why;             // of the last one
  net::Deadline due;
  http::Fetch* fetch = nullptr;
  Lookup* lookup = nullptr;
};

// Ends by itself, maybe after its entry.
struct StapleKeeper::Lookup {
  uv_getaddrinfo_t request{};
  StapleKeeper* keeper;
  Entry* entry;  // null: nobody waits for it any more

  static void on_done(uv_getaddrinfo_t* request, int status, addrinfo* found) {
    const std::unique_ptr<Lookup> held(static_cast<Lookup*>(request->data));
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, &uv_freeaddrinfo);
    const net::Loop::Turn turn(*held->keeper->loop_);
    if (held->entry == nullptr) {
      --held->keeper->open_;
      held->keeper->start_queued();
      return;
    }
    held->entry->lookup = nullptr;
    held->keeper->on_looked_up(
        *held->entry, status == 0 && found != nullptr ? choose_address(*found) : net::Address{});
  }
};

StapleKeeper::StapleKeeper(net::Loop& loop, StapleEvents& events)
    : loop_(&loop), events_(&events), fetcher_(loop), random_(base::monotonic_ns()) {}

StapleKeeper::~StapleKeeper() = default;

void StapleKeeper::set_certificates(std::span<const net::SharedCertificate> certificates) {
  for (const net::SharedCertificate& each : certificates) {
    if (each == nullptr || each->ocsp_url().empty()) continue;
    std::unique_ptr<Entry>& place = entries_[each->fingerprint()];
    // A file that has got its issuer since.
    const bool is_new = place == nullptr || (!place->request && place->next_holders.empty());
    if (is_new) {
      if (place != nullptr) retire(*place);
      place = std::make_unique<Entry>(*this, net::make_ocsp_request(*each));
      if (!place->request) place->why = place->request.error();
    }
    place->next_holders.push_back(each);
    if (is_new && place->request) queued_.push_back(*place);
  }
  for (auto& [fingerprint, entry] : entries_) {
    if (entry->next_holders.empty()) {
      retire(*entry);
      continue;
    }
    entry->take_next();
  }
  std::erase_if(entries_, [](const auto& each) { return each.second->holders.empty(); });
  start_queued();
}

// It goes, and nothing of it will come back.
void StapleKeeper::retire(Entry& entry) {
  publish(entry, nullptr);
  entry.holders.clear();
  if (entry.fetch != nullptr) {
    std::exchange(entry.fetch, nullptr)->cancel();
    --open_;
  }
  if (entry.lookup != nullptr) {
    entry.lookup->entry = nullptr;
    uv_cancel(reinterpret_cast<uv_req_t*>(&std::exchange(entry.lookup, nullptr)->request));
  }
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

void StapleKeeper::start_queued() {
  while (open_ < kOpenMax) {
    Entry* const entry = queued_.pop_front();
    if (entry == nullptr) return;
    ++open_;
    look_up(*entry);
  }
}

void StapleKeeper::look_up(Entry& entry) {
  auto lookup = std::make_unique<Lookup>();
  lookup->request.data = lookup.get();
  lookup->keeper = this;
  lookup->entry = &entry;
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  const int failure = uv_getaddrinfo(loop_->uv(), &lookup->request, &Lookup::on_done,
                                     entry.request->host.c_str(), nullptr, &hints);
  if (failure != 0) {
    fail(entry, uv_strerror(failure));
    return;
  }
  entry.lookup = lookup.release();
}

void StapleKeeper::on_looked_up(Entry& entry, const net::Address& address) {
  if (!address.is_set()) {
    fail(entry, "the responder's name cannot be resolved: " + entry.request->host);
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
    fail(entry, result.error.detail);
  } else if (result.head->status != 200) {
    fail(entry, "the responder answers with status " + std::to_string(result.head->status));
  } else if (result.is_truncated) {
    fail(entry, "the answer is too large");
  } else {
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
  --open_;
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

// What was believed before stays until it ends.
void StapleKeeper::fail(Entry& entry, std::string why) {
  --open_;
  ++counts_.failed;
  if (entry.failures == 0) {
    base::log(LogLevel::warn, "tls", "certificate {}: OCSP: {}: {}",
              shown_name(entry.certificate()), entry.certificate().ocsp_url(), why);
  }
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
  if (entry.staple && entry.staple->next_update > now) {
    view.state = "good";
    view.this_update = entry.staple->this_update;
    view.next_update = entry.staple->next_update;
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
