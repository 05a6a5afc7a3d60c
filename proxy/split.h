// Which pool of a `split` takes a request. Every key has one point on a line that the pools share by
// weight, in the order in which they are written: who is at the last pool stays there when it gets
// more, and all threads, restarts and machines agree. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "conf/model.h"
#include "http/message.h"
#include "net/address.h"
#include "proxy/balancer.h"

namespace portunus::proxy {

// All values alike. `client` is who is believed to ask; a message without the field or cookie that
// `key` names is placed by it. Of IPv6 only the network counts (the first 64 bits): hosts change the
// rest at will.
[[nodiscard]] std::uint64_t split_point(const conf::SplitKey& key,
                                        const http::Head& request,
                                        const net::Address& client,
                                        Random& random);

// An index into forward.shares. `weight_sum` is theirs and above zero.
[[nodiscard]] std::size_t choose_share(const conf::Forward& forward,
                                       std::uint32_t weight_sum,
                                       std::uint64_t point);

}  // namespace portunus::proxy
