// When the process crashes: which signal, where and in which thread, as a few lines on standard
// error, for a log that tells more than an exit status. The signal then does what it does by default.
// Any thread may crash; report_crashes() is called once, at the start.
#pragma once

#include <string_view>

namespace portunus::base {

// SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT from here on. `version` lives as long as the process.
// A sanitizer's build reports by itself, and nothing is done.
void report_crashes(std::string_view version);

// For a thread whose stack may overflow: a second stack to report on, as long as the thread lives.
void use_crash_stack();

// No core file, and nobody but root may look into the process (ptrace, /proc/PID/mem, /proc/PID/fd): it
// holds keys and what clients send. The report above does not need it. Not in a sanitizer's build,
// whose search for leaks looks into its own process that way.
void forbid_dumps();

}  // namespace portunus::base
