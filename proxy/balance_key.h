// What consistent_hash places a request by. Any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "conf/model.h"
#include "http/message.h"

namespace portunus::proxy {

// 0 for pools that look at nothing. `client_ip` also stands in for a field or cookie that is not there.
[[nodiscard]] std::uint64_t balance_key(const conf::Pool& pool,
                                        const http::Head& request,
                                        std::string_view client_ip);

}  // namespace portunus::proxy
