// Exchanges the lists of certificates that the authorities of clients have taken back, and tells of what
// is wrong with them: a file that is no good is said once, a list that ends soon or has ended once, too.
// Control thread.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "conf/model.h"
#include "net/certificate_cache.h"
#include "net/client_authority.h"
#include "proxy/revocation_view.h"

namespace portunus::proxy {

class RevocationEvents {
 public:
  // Threads that shake hands may be looking into it in this turn of theirs.
  virtual void on_revocations_retired(net::SharedRevocationList list) = 0;

 protected:
  ~RevocationEvents() = default;
};

class RevocationKeeper {
 public:
  explicit RevocationKeeper(RevocationEvents& events) : events_(&events) {}
  ~RevocationKeeper() = default;
  RevocationKeeper(const RevocationKeeper&) = delete;
  RevocationKeeper& operator=(const RevocationKeeper&) = delete;

  // A configuration that begins to run, with what it has read.
  void set_model(const conf::Model& model, std::int64_t now);
  // Files that have changed.
  void take(std::vector<net::FreshRevocations> fresh, std::int64_t now);
  // Every now and then: whether one ends. `now`: seconds since 1970.
  void look(const conf::Model& model, std::int64_t now);
  // A file is no good, and may be so without a change of it.
  [[nodiscard]] bool is_any_bad() const;
  [[nodiscard]] std::vector<RevocationView> views(const conf::Model& model) const;

 private:
  struct Told {
    std::uint64_t due = 0;    // RevocationList::number()
    std::uint64_t ended = 0;  // the same
    std::string error{};      // of the file as it is now; empty: it is in use
  };
  void exchange(const net::ClientAuthority& authority, net::SharedRevocationList list);

  RevocationEvents* events_;
  std::unordered_map<std::string, Told> told_;  // by both files
};

}  // namespace portunus::proxy
