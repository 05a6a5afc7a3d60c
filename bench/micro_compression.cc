// What compression costs: a page of 64 KiB and one of 1 MiB through each coding at each level, and the
// choice of a coding that each request of such a route pays for.
#include <benchmark/benchmark.h>

#include <string>

#include "http/encoder_pool.h"

namespace portunus::http {
namespace {

// Markup with words that come back: about as good to compress as a page of the web.
std::string make_page(std::size_t size) {
  constexpr const char* kWords[] = {"door",  "harbour", "key",   "<li class=\"item\">", "</li>\n",
                                    "queue", "member",  "route", "<a href=\"/page/",    "\">"};
  std::string page;
  for (std::uint32_t i = 1; page.size() < size; i = i * 1664525U + 1013904223U) {
    page += kWords[(i >> 16) % 10];
    page += (i >> 28) % 2 == 0 ? ' ' : static_cast<char>('a' + (i >> 20) % 26);
  }
  page.resize(size);
  return page;
}

// Arguments: the coding, the level, the size of the page.
void compression(benchmark::State& state) {
  const std::string page = make_page(static_cast<std::size_t>(state.range(2)));
  EncoderPool pool;
  std::size_t made = 0;
  for (auto _ : state) {
    Encoder* const encoder = pool.lend(static_cast<ContentCoding>(state.range(0)),
                                       static_cast<EncoderLevel>(state.range(1)));
    std::span<const char> rest(page);
    made = 0;
    while (true) {
      const auto step = encoder->encode(rest, Encoder::Until::ended, pool.out());
      if (!step) {
        state.SkipWithError("no memory");
        return;
      }
      rest = rest.subspan(step->taken);
      made += step->made;
      if (step->is_done) break;
    }
    pool.give_back(encoder);
  }
  state.SetBytesProcessed(state.iterations() * state.range(2));
  state.counters["share"] = static_cast<double>(made) / static_cast<double>(page.size());
}
BENCHMARK(compression)->ArgsProduct({{0, 1, 2}, {0, 1, 2}, {64 << 10, 1 << 20}});

void coding_choice(benchmark::State& state) {
  constexpr ContentCoding kPreferred[] = {ContentCoding::zstd, ContentCoding::br,
                                          ContentCoding::gzip};
  HeaderBlock fields;
  fields.add(HeaderId::host, "example.org");
  fields.add(HeaderId::accept_encoding, "gzip, deflate, br, zstd");
  for (auto _ : state)
    benchmark::DoNotOptimize(choose_coding(fields, kPreferred));
}
BENCHMARK(coding_choice);

}  // namespace
}  // namespace portunus::http
