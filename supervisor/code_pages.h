// The supervisor sleeps for weeks: what its start has read of the program and its libraries need not
// stay in its resident memory. Supervisor, one thread.
#pragma once

namespace portunus::supervisor {

// Lets go of the pages of code; those that are run again come back out of the kernel's cache, one by
// one. Costs a few system calls. Without /proc nothing happens.
void release_code_pages();

}  // namespace portunus::supervisor
