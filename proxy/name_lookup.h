// One name looked up by the system's resolver, on a thread of its own: a resolver that hangs holds up
// nobody, and the end of the process least of all, since nobody waits for that thread. Its owner lives on
// a loop's thread, where the answer comes in a later turn; destroyed before, it hears nothing.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "net/address.h"
#include "net/loop.h"

namespace portunus::proxy {

class NameLookupHandler {
 public:
  // Unset: there is no such name, or no address. The look-up may be destroyed in here.
  virtual void on_name_looked_up(const net::Address& address) = 0;

 protected:
  ~NameLookupHandler() = default;
};

class NameLookup {
 public:
  // Threads at a time, those that nobody waits for included.
  static constexpr std::size_t kThreadsMax = 64;

  // Null: too many are under way.
  [[nodiscard]] static std::unique_ptr<NameLookup> start(net::Loop& loop,
                                                         std::string name,
                                                         NameLookupHandler& handler);
  ~NameLookup();
  NameLookup(const NameLookup&) = delete;
  NameLookup& operator=(const NameLookup&) = delete;

 private:
  struct Mailbox;
  explicit NameLookup(std::shared_ptr<Mailbox> mailbox);

  std::shared_ptr<Mailbox> mailbox_;
};

}  // namespace portunus::proxy
