// What a bound on each client's requests costs one of them: the hash of the address, counting it, and
// giving it back. With one client and with many, by several threads.
#include <benchmark/benchmark.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <memory>

#include "proxy/client_counts.h"

namespace portunus::proxy {
namespace {

std::unique_ptr<ClientCounts> counts;  // of all threads of one benchmark

net::Address numbered_client(std::uint64_t number) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(0x0a000000U | static_cast<std::uint32_t>(number));
  return net::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&in));
}

// Argument: the number of clients, in a random order.
void client_count(benchmark::State& state) {
  if (state.thread_index() == 0) counts = std::make_unique<ClientCounts>();
  std::uint64_t at = static_cast<std::uint64_t>(state.thread_index()) + 1;
  for (auto _ : state) {
    at = at * 6364136223846793005U + 1442695040888963407U;
    const net::Address client =
        numbered_client((at >> 33) % static_cast<std::uint64_t>(state.range(0)));
    const auto verdict = counts->requests.take(hash_client(counts->hash, client, 64), 1000);
    if (verdict.entry != nullptr) base::CountTable::give(*verdict.entry);
  }
}
BENCHMARK(client_count)->ArgName("clients")->Arg(1)->Arg(1000)->Arg(50'000)->Threads(1)->Threads(2);

}  // namespace
}  // namespace portunus::proxy
