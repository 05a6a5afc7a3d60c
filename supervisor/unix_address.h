// The address of a Unix socket's file. A path that is too long for the kernel's structure goes by its
// folder, which is held open meanwhile. No state else; any thread.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <string>

namespace portunus::supervisor {

class UnixAddress {
 public:
  explicit UnixAddress(const std::string& path);
  ~UnixAddress();
  UnixAddress(const UnixAddress&) = delete;
  UnixAddress& operator=(const UnixAddress&) = delete;

  // False: errno says why.
  [[nodiscard]] bool is_set() const { return size_ > 0; }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  [[nodiscard]] socklen_t size() const { return size_; }

 private:
  sockaddr_un address_{};
  socklen_t size_ = 0;
  int folder_ = -1;
};

}  // namespace portunus::supervisor
