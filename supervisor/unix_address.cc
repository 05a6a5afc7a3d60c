#include "supervisor/unix_address.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace portunus::supervisor {

UnixAddress::UnixAddress(const std::string& path) {
  std::string name = path;
  if (name.size() >= sizeof address_.sun_path) {
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    folder_ = ::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder_ < 0) return;
    name = "/proc/self/fd/" + std::to_string(folder_) + '/' +
           (slash == std::string::npos ? path : path.substr(slash + 1));
  }
  if (name.size() >= sizeof address_.sun_path) {
    errno = ENAMETOOLONG;
    return;
  }
  address_.sun_family = AF_UNIX;
  std::memcpy(address_.sun_path, name.c_str(), name.size() + 1);
  size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + 1);
}

UnixAddress::~UnixAddress() {
  if (folder_ >= 0) ::close(folder_);
}

}  // namespace portunus::supervisor
