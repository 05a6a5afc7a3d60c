// What the cookies of sticky pools without a `secret` are signed with: drawn by the kernel at the first
// start that needs it, and kept in a file of the state's folder (mode 0600) so that clients find their
// members again after a restart. Text, so that it can be given to another machine as its `secret`.
// Blocking; control thread.
#pragma once

#include <string>

#include "conf/model.h"
#include "supervisor/paths.h"

namespace portunus::proxy {

class StickySecret {
 public:
  static constexpr std::size_t kHexDigits = 64;

  // Read or made at the first call, and then the same whatever becomes of the file. Where it cannot be
  // kept, one line of the log says so, and it is good for as long as this process lives.
  [[nodiscard]] const std::string& in(const std::string& folder);

 private:
  std::string text_;
};

// Whether a pool is sticky and has no secret of its own.
[[nodiscard]] bool needs_sticky_secret(const conf::Model& model);

[[nodiscard]] inline std::string sticky_secret_path(const std::string& folder) {
  return supervisor::sticky_folder(folder) + "/key";
}

}  // namespace portunus::proxy
