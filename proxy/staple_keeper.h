// Keeps what responders say of the certificates that clients are shown (net/ocsp.h): asks for it, a few
// at a time, and again before it ends; a certificate's staple is what was last believed. A responder that
// fails is asked again with longer and longer pauses, and nothing else comes of it: it holds up neither
// the others' answers (kOpenPerHostMax) nor the end of the process, and the log tells of it once, however
// many certificates name it. Where a certificate names several responders the next one is asked when one
// fails. Control thread; nothing here blocks
// it. stop() comes before Loop::stop(), and the object outlives Loop::run().
//
//   queued -> looking up -> fetching -> waiting (refresh or retry) -> queued
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/intrusive_list.h"
#include "http/fetch.h"
#include "net/certificate.h"
#include "net/loop.h"
#include "net/ocsp.h"
#include "proxy/certificate_view.h"
#include "proxy/staple_log.h"

namespace portunus::proxy {

class StapleEvents {
 public:
  // No certificate has it any more. Threads that shake hands may be copying it in this turn of theirs.
  virtual void on_staple_retired(net::SharedStaple staple) = 0;

 protected:
  ~StapleEvents() = default;
};

class StapleKeeper {
 public:
  // However many certificates there are: look-ups and fetches at a time.
  static constexpr std::size_t kOpenMax = 16;
  // Of these at one responder.
  static constexpr std::size_t kOpenPerHostMax = 4;
  // From the first failure in a row on, twice as long each time.
  static constexpr std::uint64_t kRetryMs = 5'000;
  static constexpr std::uint64_t kRetryMaxMs = 3'600'000;

  StapleKeeper(net::Loop& loop, StapleEvents& events);
  ~StapleKeeper();
  StapleKeeper(const StapleKeeper&) = delete;
  StapleKeeper& operator=(const StapleKeeper&) = delete;

  // What clients are shown from now on. Those that name no responder are left alone; what is known of
  // one stays, also when its file has been read again. In a turn of the loop.
  void set_certificates(std::span<const net::SharedCertificate> certificates);
  // Forgets everything; cancels what runs.
  void stop();

  // None: it names no responder, or is not among those that are shown. `now`: seconds since 1970.
  [[nodiscard]] std::optional<OcspView> view(const net::Certificate& certificate,
                                             std::int64_t now) const;
  [[nodiscard]] const OcspCounts& counts() const { return counts_; }

 private:
  struct Entry;

  void queue(Entry& entry);
  void on_due(Entry& entry);
  void start_queued();
  void choose(Entry& entry);
  void look_up(Entry& entry);
  void close(Entry& entry);
  void on_looked_up(Entry& entry, const net::Address& address);
  void on_answer(Entry& entry, const http::FetchResult& result);
  void succeed(Entry& entry, net::OcspAnswer answer);
  // The responder has not answered, or what it has answered is no good for this certificate.
  void fail_responder(Entry& entry, std::string why);
  void fail(Entry& entry, std::string why);
  void try_later(Entry& entry, std::string why);
  void note_answer(const Entry& entry);
  void note_lack(Entry& entry);
  void forget_responders();
  void publish(Entry& entry, net::SharedStaple staple);
  void retire(Entry& entry);
  void schedule(Entry& entry, std::uint64_t after_ms);
  [[nodiscard]] double chance();

  net::Loop* loop_;
  StapleEvents* events_;
  http::Fetcher fetcher_;
  std::unordered_map<std::string, std::unique_ptr<Entry>> entries_;  // by fingerprint
  base::IntrusiveList<Entry> queued_;
  std::size_t open_ = 0;                                  // looking up or fetching
  std::unordered_map<std::string, std::size_t> open_at_;  // of these, by responder
  StapleLog told_;
  OcspCounts counts_;
  std::uint64_t random_;
};

}  // namespace portunus::proxy
