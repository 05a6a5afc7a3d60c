// A configuration being loaded on a thread of the pool, so that the control thread goes on probing
// and answering meanwhile. Internal to control.
#pragma once

#include <uv.h>

#include <optional>
#include <string>
#include <vector>

#include "conf/load.h"
#include "proxy/control.h"
#include "proxy/resolve.h"
#include "proxy/route_table.h"

namespace portunus::proxy {

struct Control::LoadJob {
  uv_work_t work{};
  Control* control = nullptr;
  std::string file;
  bool keeps_copy = false;
  net::CertificateCache* certificates = nullptr;  // never null
  bool only_if_changed = false;  // a file event: nothing happens when the contents are as before
  // The files of the last load, and its hash, when no `include` with a wildcard could name others now:
  // a large configuration need not be read in full to see that it is the same.
  std::vector<std::string> known_files;
  std::string known_hash;
  bool is_unchanged = false;
  // What runs, when it is what those files said: then certificates alone can be exchanged.
  SharedGeneration running;
  SharedTlsSetup tls;
  std::shared_ptr<const net::TicketKeys> tickets;
  SharedTlsSetup fresh_tls;  // the outcome, instead of `loaded`
  std::string fresh_hash;    // of its certificates
  conf::LoadResult loaded;
  std::optional<RouteTable> routes;
  ResolvedNames names;

  void read_certificates_again();
};

// What waits for the supervisor's answer.
struct Control::Awaited {
  conf::LoadResult loaded;
  RouteTable routes;
  ResolvedNames names;
};

}  // namespace portunus::proxy
