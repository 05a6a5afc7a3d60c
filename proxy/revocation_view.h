// What machines are shown of the lists of certificates that the authorities of clients have taken back.
// Pure functions; control thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "proxy/metrics_text.h"

namespace portunus::proxy {

// A list that is in use.
struct RevocationView {
  std::string authority;  // its file
  std::string file;
  std::int64_t next_update = 0;  // seconds since 1970
  std::uint64_t revoked = 0;
  bool is_current = true;  // else its file holds something that is no good by now
};

void render_revocations(std::span<const RevocationView> lists, MetricsText& out);

}  // namespace portunus::proxy
