// Extended CONNECT (RFC 8441) as the Upgrade of HTTP/1.1 that it stands for, so that nothing above a
// stream knows of it: the request becomes a GET that asks for an upgrade, and the answer 101 becomes
// a 200 on the stream. WebSocket is the one protocol. Pure but for the random key; any thread.
#pragma once

#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace portunus::http {

// Of a head whose method is CONNECT and that has :protocol: from now on it is a GET.
void read_connect(Head& head);
// Of the judged head: asks for the upgrade, with a key of our own.
[[nodiscard]] base::Error begin_connect(Head& head, std::string_view protocol);
// Whether a field of a 101 is meant for HTTP/1.1 alone.
[[nodiscard]] bool is_of_upgrade(HeaderId id);

}  // namespace portunus::http
