// The end of a proxy that hangs while its supervisor has died. One that turns its loop hears of that by
// the closed channel and drains; this one would keep the listening sockets from whoever is started in
// the supervisor's place. The kernel sends SIGVTALRM at the supervisor's death
// (supervisor/proxy_process.cc), which begins the time for draining; a process that is still there when
// it is over is ended by SIGALRM. A program that has not come to install this is ended by the first.
#pragma once

#include <cstdint>

namespace portunus::proxy {

// Before there are threads.
void install_orphan_alarm();
// How long draining may take, from now on. Any thread.
void set_orphan_patience(std::uint64_t milliseconds);

}  // namespace portunus::proxy
