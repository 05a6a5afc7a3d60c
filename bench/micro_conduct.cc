// What noting the outcome of a request costs the data-plane thread: while all is well, while the pool is
// watched because something has failed, and for failures; by one thread and by two for one member.
#include <benchmark/benchmark.h>

#include "conf/model_pools.h"
#include "health/conduct.h"

namespace portunus::health {
namespace {

// Of all threads of a run.
Conduct shared;

void note(benchmark::State& state, bool is_watched, Outcome outcome) {
  const conf::Pool pool;
  if (state.thread_index() == 0) shared.is_watched = is_watched;
  for (auto _ : state) {
    benchmark::DoNotOptimize(outcome);
    benchmark::DoNotOptimize(shared.note(outcome, pool));
  }
}
BENCHMARK_CAPTURE(note, good, false, {})->Threads(1)->Threads(2);
BENCHMARK_CAPTURE(note, good_watched, true, {})->Threads(1)->Threads(2);
BENCHMARK_CAPTURE(note, failed, true, {.is_failure = true})->Threads(1)->Threads(2);

}  // namespace
}  // namespace portunus::health
