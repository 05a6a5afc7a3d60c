#include "proxy/name_lookup.h"

#include <netdb.h>
#include <sys/socket.h>

#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "proxy/resolve.h"

namespace portunus::proxy {
namespace {

std::atomic<std::size_t> lookup_threads{0};

net::Address ask_resolver(const std::string& name) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;  // no address that cannot be reached from here
  addrinfo* found = nullptr;
  if (::getaddrinfo(name.c_str(), nullptr, &hints, &found) != 0 || found == nullptr) return {};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, &::freeaddrinfo);
  return choose_address(*found);
}

}  // namespace

struct NameLookup::Mailbox {
  std::mutex mutex;                      // of the loop's thread and the one that looks it up
  net::Loop* loop = nullptr;             // null: nobody waits any more
  NameLookupHandler* handler = nullptr;  // of the loop's thread alone
};

std::unique_ptr<NameLookup> NameLookup::start(net::Loop& loop,
                                              std::string name,
                                              NameLookupHandler& handler) {
  if (lookup_threads.fetch_add(1) >= kThreadsMax) {
    lookup_threads.fetch_sub(1);
    return nullptr;
  }
  const auto mailbox = std::make_shared<Mailbox>();
  mailbox->loop = &loop;
  mailbox->handler = &handler;
  try {
    std::thread([mailbox, name = std::move(name)] {
      const net::Address address = ask_resolver(name);
      lookup_threads.fetch_sub(1);
      const std::scoped_lock lock(mailbox->mutex);
      if (mailbox->loop == nullptr) return;
      mailbox->loop->post([mailbox, address] {
        if (mailbox->handler != nullptr) mailbox->handler->on_name_looked_up(address);
      });
    }).detach();
  } catch (const std::system_error&) {
    lookup_threads.fetch_sub(1);
    return nullptr;
  }
  return std::unique_ptr<NameLookup>(new NameLookup(mailbox));
}

NameLookup::NameLookup(std::shared_ptr<Mailbox> mailbox) : mailbox_(std::move(mailbox)) {}

NameLookup::~NameLookup() {
  const std::scoped_lock lock(mailbox_->mutex);
  mailbox_->loop = nullptr;
  mailbox_->handler = nullptr;
}

}  // namespace portunus::proxy
