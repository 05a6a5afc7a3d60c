// Keeps what a proxy knows of members for the next one: opaque bytes in a descriptor that cannot be
// changed, and a copy in the folder of the state, for the next start of the whole. What is in it is
// the proxy's matter (proxy/member_memory.h): it is never read here. The time of its last change says
// until when it was true, so it is renewed while that proxy lives.
//
// The copy is written when the bytes change, at most once a second, in one step (rename), without
// fsync: a power cut may cost the last of it, and a checksum tells. A copy that cannot be written is
// told once and tried again every kRetryMs. Supervisor's thread.
#pragma once

#include <uv.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "supervisor/timer.h"

namespace portunus::supervisor {

class MemberKeeper {
 public:
  static constexpr std::size_t kSizeMax = std::size_t{4} * 1024 * 1024;  // bytes
  static constexpr std::uint64_t kWriteEveryMs = 1'000;
  static constexpr std::uint64_t kRenewEveryMs = 10'000;
  static constexpr std::uint64_t kRetryMs = 30'000;

  explicit MemberKeeper(uv_loop_t& loop);
  ~MemberKeeper();
  MemberKeeper(const MemberKeeper&) = delete;
  MemberKeeper& operator=(const MemberKeeper&) = delete;

  // Where the copy is. Takes it up, unless something is kept already.
  void open(const std::string& folder);
  // From a proxy, or from the supervisor that this process was before; the descriptor is ours from now
  // on. False: it is no sealed file of at most kSizeMax bytes, and is closed.
  bool take(int descriptor);
  void adopt(int descriptor);
  // The proxy that it is from lives: what it says still holds.
  void renew();
  // For the next proxy, or -1. Stays ours.
  [[nodiscard]] int descriptor() const { return descriptor_; }
  // Now, when it is due: before the end.
  void flush();

 private:
  void write();
  // False: errno says why.
  [[nodiscard]] bool copy_to(const std::string& path) const;
  void replace(int descriptor);

  int descriptor_ = -1;
  std::string path_;  // empty: there is no folder
  bool is_written_ = true;
  bool has_failed_ = false;  // and has been told
  std::uint64_t written_ms_ = 0;
  std::uint64_t renewed_ms_ = 0;
  uv_loop_t& loop_;
  Timer due_;
};

}  // namespace portunus::supervisor
