// One request to the admin interface: which endpoint it means, whether it may, and the answer. On
// the control thread's loop; ends itself when its stream does, and withdraws from a reload it waits
// for.
#pragma once

#include "http/stream.h"

namespace portunus::conf {
struct Admin;
}  // namespace portunus::conf

namespace portunus::net {
class Loop;
}  // namespace portunus::net

namespace portunus::proxy {

class AdminSource;

// The handler of a new stream. `config` outlives the stream; a reload may change it.
[[nodiscard]] http::StreamHandler* make_admin_request(net::Loop& loop,
                                                      AdminSource& source,
                                                      const conf::Admin& config,
                                                      http::Stream& stream);

}  // namespace portunus::proxy
