// CHECK ends the process when we are wrong: a broken invariant of our own, never something that a
// peer sent. DCHECK is the same in debug and sanitizer builds and nothing in release. Any thread.
#pragma once

namespace portunus::base {

[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace portunus::base

// Macros, because they must carry the expression's text and its place.
#define CHECK(expression)        \
  (static_cast<bool>(expression) \
       ? static_cast<void>(0)    \
       : ::portunus::base::check_failed(#expression, __FILE__, __LINE__))
#ifdef NDEBUG
#define DCHECK(expression) static_cast<void>(0)
#else
#define DCHECK(expression) CHECK(expression)
#endif
