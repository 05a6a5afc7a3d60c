// On which configuration the next proxy is started: on the files as they are, or on a copy of one
// that was good (conf/sealed_files.h), which a proxy hands over when it runs on it. Copies are kept
// unread. No clock and no process of its own: the caller says what happens. Supervisor's thread.
//
//   source      the next proxy                          after a crash of such a proxy
//   files       reads the files                         last_good, when it was not ready
//   last_good   is on the copy, takes the files over    files
//               as soon as they are right
//   settled     is on the copy, and lets the files be   the same; files, when it was not ready
//               until they change or somebody asks
//
// Settled it is after kCrashesMax crashes in a row, none of which came later than kProvenNs after its
// start: on the last copy that has run for kProvenNs, if the supervisor's own part (listeners,
// services) is still the same; else on the last one, unless that is what crashes.
#pragma once

#include <cstdint>
#include <string>

#include "conf/sealed_files.h"

namespace portunus::supervisor {

class GoodFiles {
 public:
  static constexpr std::uint32_t kCrashesMax = 5;
  static constexpr std::uint64_t kProvenNs = 10'000'000'000;

  enum class Source : std::uint8_t { files, last_good, settled };

  struct Copy {
    conf::SealedFiles files;
    std::string hash;        // of what is in it, as the proxy says
    std::uint64_t plan = 0;  // number of the supervisor's part that belongs to it
  };

  struct Run {
    bool was_ready = false;
    std::uint64_t started_ns = 0;  // monotonic
    std::uint64_t started_us = 0;  // wall clock
  };

  // The proxy runs on it. `is_of_files`: it has just been read from them.
  void take(Copy copy, bool is_of_files, std::uint64_t now_ns);
  // Decides; `plan` is the number of the day.
  Source on_crash(const Run& run, std::uint64_t plan, std::uint64_t now_ns);
  // Another proxy is started on the files, whatever was before: an upgrade.
  void start_anew();
  // After a re-execution.
  void restore(Copy good, Copy proven, std::uint64_t now_ns);

  [[nodiscard]] Source source() const { return source_; }
  // For the next proxy; -1: the files.
  [[nodiscard]] int descriptor() const {
    return source_ == Source::files ? -1 : good_.files.descriptor();
  }
  // Wall clock; when settled: what the files have been since then has been tried.
  [[nodiscard]] std::uint64_t tried_us() const { return tried_us_; }
  [[nodiscard]] const Copy& good() const { return good_; }
  [[nodiscard]] const Copy& proven() const { return proven_; }

 private:
  void note_proof(std::uint64_t now_ns);
  [[nodiscard]] bool settle(bool is_good_to_blame, std::uint64_t plan);

  Source source_ = Source::files;
  Copy good_;                    // the last one that a proxy was on
  Copy proven_;                  // the last other one that ran for kProvenNs
  bool is_proven_ = false;       // good_ has, too
  bool is_handed_over_ = false;  // good_ is the present proxy's
  std::uint64_t since_ns_ = 0;   // that the present proxy runs on good_; 0: it does not yet
  std::uint64_t tried_us_ = 0;
  std::uint32_t crashes_ = 0;  // in a row
};

}  // namespace portunus::supervisor
