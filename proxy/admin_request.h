// One request to the admin interface: which endpoint it means, whether it may, and the answer. On
// the control thread's loop; ends itself when its stream does, and withdraws from a reload it waits
// for.
#pragma once

#include <string_view>

#include "http/stream.h"

namespace portunus::net {
class Loop;
}  // namespace portunus::net

namespace portunus::proxy {

class AdminSource;

// The handler of a new stream. `listen_host`, the configured address, outlives the stream.
[[nodiscard]] http::StreamHandler* make_admin_request(net::Loop& loop,
                                                      AdminSource& source,
                                                      std::string_view listen_host,
                                                      http::Stream& stream);

}  // namespace portunus::proxy
