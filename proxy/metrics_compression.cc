// What compression has done, by content coding.
#include "http/content_coding.h"
#include "proxy/metrics_gather.h"
#include "proxy/metrics_render.h"

namespace portunus::proxy {
namespace {

template <typename Field>
void render_codings(const MetricsSource& source, Field field, MetricsText& out) {
  const auto sums = gather<std::uint64_t>(source, [field](const MetricsStore& store, auto emit) {
    store.codings.for_each([&](const CodingCell& cell) { emit(cell.key, field(cell).value()); });
  });
  for (const auto& one : sums) {
    const auto coding = static_cast<http::ContentCoding>(one.key.a);
    out.sample({{"coding", http::name_of(coding)}}, one.value);
  }
}

}  // namespace

void render_compression(const MetricsSource& source, MetricsText& out) {
  using Type = MetricsText::Type;
  out.family("portunus_compressed_responses_total", Type::counter, "Answers that were compressed.");
  render_codings(source, [](const CodingCell& cell) -> auto& { return cell.answers; }, out);
  out.family("portunus_compression_input_bytes_total", Type::counter,
             "Bytes of their bodies as members sent them.");
  render_codings(source, [](const CodingCell& cell) -> auto& { return cell.bytes_in; }, out);
  out.family("portunus_compression_output_bytes_total", Type::counter,
             "Bytes of their bodies as clients got them.");
  render_codings(source, [](const CodingCell& cell) -> auto& { return cell.bytes_out; }, out);
  out.family("portunus_compression_busy_total", Type::counter,
             "Answers that went as they came because too many were being compressed.");
  render_codings(source, [](const CodingCell& cell) -> auto& { return cell.busy; }, out);
}

}  // namespace portunus::proxy
