#include "supervisor/good_files.h"

#include <utility>

namespace portunus::supervisor {

void GoodFiles::note_proof(std::uint64_t now_ns) {
  is_proven_ = is_proven_ || (since_ns_ != 0 && now_ns >= since_ns_ + kProvenNs);
}

void GoodFiles::take(Copy copy, bool is_of_files, std::uint64_t now_ns) {
  note_proof(now_ns);
  if (!good_.files.is_set() || copy.hash != good_.hash) {
    if (is_proven_) proven_ = std::move(good_);
    is_proven_ = false;
    since_ns_ = 0;
  }
  good_ = std::move(copy);
  if (since_ns_ == 0) since_ns_ = now_ns;
  is_handed_over_ = true;
  if (is_of_files) source_ = Source::files;
}

GoodFiles::Source GoodFiles::on_crash(const Run& run, std::uint64_t plan, std::uint64_t now_ns) {
  note_proof(now_ns);
  since_ns_ = 0;
  crashes_ = now_ns >= run.started_ns + kProvenNs ? 1 : crashes_ + 1;
  const bool is_good_to_blame = std::exchange(is_handed_over_, false) && source_ == Source::files;
  const Source before = source_;
  if (before == Source::settled) {
    if (!run.was_ready) source_ = Source::files;
    return source_;
  }
  source_ = Source::files;
  if (crashes_ >= kCrashesMax && settle(is_good_to_blame, plan)) {
    tried_us_ = run.started_us;
    source_ = Source::settled;
  } else if (before == Source::files && !run.was_ready && good_.files.is_set()) {
    source_ = Source::last_good;
  }
  return source_;
}

// True: good_ is what there is to settle on.
bool GoodFiles::settle(bool is_good_to_blame, std::uint64_t plan) {
  if (is_proven_ && !is_good_to_blame) return true;
  if (!proven_.files.is_set() || proven_.plan != plan || proven_.hash == good_.hash)
    return good_.files.is_set() && !is_good_to_blame;
  good_ = std::move(proven_);
  proven_ = {};
  is_proven_ = true;
  return true;
}

void GoodFiles::start_anew() {
  source_ = Source::files;
  crashes_ = 0;
  is_handed_over_ = false;
}

void GoodFiles::restore(Copy good, Copy proven, std::uint64_t now_ns) {
  good_ = std::move(good);
  proven_ = std::move(proven);
  if (good_.files.is_set()) since_ns_ = now_ns;
  is_handed_over_ = true;
}

}  // namespace portunus::supervisor
