// A configuration being loaded on a thread of the pool, so that the control thread goes on probing
// and answering meanwhile. Certificates alone need none when they change: load_job.cc. Internal to
// control.
#pragma once

#include <uv.h>

#include <optional>
#include <string>
#include <vector>

#include "conf/load.h"
#include "net/certificate_cache.h"
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
  ChangedFiles changed;          // then: which ones may be other ones now
  // The files of the last load, and its hash, when no `include` with a wildcard could name others now:
  // a large configuration need not be read in full to see that it is the same.
  std::vector<std::string> known_files;
  std::string known_hash;
  // What runs; null before the first. Its certificates are renewed whatever becomes of the files.
  SharedGeneration running;
  bool is_running_on_known = false;  // those files are what it was made of
  bool is_let_be = false;            // those files are not to be loaded
  SharedTlsSetup tls;
  std::shared_ptr<const net::TicketKeys> tickets;
  SharedTlsSetup fresh_tls;  // an outcome: set when one of them is another one now
  std::string fresh_hash;    // of its certificates
  // An outcome, too: newer lists of revoked certificates, for authorities of what runs.
  std::vector<net::FreshRevocations> fresh_revocations;
  bool is_loaded = false;  // the other: the files were read, and these are set
  conf::LoadResult loaded;
  std::optional<RouteTable> routes;
  ResolvedNames names;

  // On a thread of the pool.
  void work_off();

 private:
  [[nodiscard]] bool has_known_text() const;
  [[nodiscard]] std::vector<net::CertificateFiles> running_files() const;
  void load();
  [[nodiscard]] bool renew_certificates();
  void renew_revocations();
};

// What waits for the supervisor's answer.
struct Control::Awaited {
  conf::LoadResult loaded;
  RouteTable routes;
  ResolvedNames names;
};

}  // namespace portunus::proxy
