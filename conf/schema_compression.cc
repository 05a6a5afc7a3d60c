#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "conf/compression_reader.h"
#include "conf/header_text.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

constexpr std::array kCodingWords{"gzip"sv, "br"sv, "zstd"sv};
constexpr std::array kLevelWords{"fast"sv, "balanced"sv, "small"sv};

// What is text and worth it. Images, films, archives and fonts for the web are compressed already.
constexpr std::array kDefaultTypes{
    "text/html"sv,
    "text/css"sv,
    "text/plain"sv,
    "text/xml"sv,
    "text/csv"sv,
    "text/markdown"sv,
    "text/javascript"sv,
    "application/javascript"sv,
    "application/json"sv,
    "application/ld+json"sv,
    "application/problem+json"sv,
    "application/manifest+json"sv,
    "application/x-ndjson"sv,
    "application/xml"sv,
    "application/xhtml+xml"sv,
    "application/rss+xml"sv,
    "application/atom+xml"sv,
    "application/wasm"sv,
    "image/svg+xml"sv,
};

void read_codings(Reader& reader, const Key& key, const Node& value, void* object) {
  Compression& compression = *static_cast<Compression*>(object);
  compression.codings.clear();
  for (const Node* item : reader.items(key, value)) {
    const auto index = reader.read_choice(key, *item);
    if (!index) continue;
    const auto coding = static_cast<ContentCoding>(*index);
    if (std::ranges::find(compression.codings, coding) != compression.codings.end()) {
      reader.error(item->place, "`codings`: " + in_quotes(item->text) + " stands twice");
    } else {
      compression.codings.push_back(coding);
    }
  }
  if (reader.items(key, value).empty())
    reader.error(value.place, "`codings`: the list is empty", "`compress: off` compresses nothing");
}

bool is_media_type(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view type = text.substr(0, slash);
  return is_token(type) && type.find('*') == std::string_view::npos &&
         is_token(text.substr(slash + 1)) &&
         (text.substr(slash + 1) == "*" || text.find('*') == std::string_view::npos);
}

void read_types(Reader& reader, const Key& key, const Node& value, void* object) {
  Compression& compression = *static_cast<Compression*>(object);
  compression.types.clear();
  const auto items = reader.items(key, value);
  for (const Node* item : items) {
    const auto text = reader.text(key, *item);
    if (!text) continue;
    if (is_media_type(*text)) {
      compression.types.push_back(lower_case(*text));
    } else {
      reader.error(item->place,
                   "`types`: " + in_quotes(*text) + ": expected a media type without parameters",
                   "such as text/html or text/*");
    }
  }
  if (items.empty())
    reader.error(value.place, "`types`: the list is empty", "`compress: off` compresses nothing");
  if (items.size() > Compression::kTypesMax) {
    reader.error(value.place, "`types`: more than " + std::to_string(Compression::kTypesMax),
                 "`text/*` stands for all types of text");
  }
}

constexpr auto kCompressionKeys = std::to_array<Key>({
    {.name = "codings",
     .type = Type::list,
     .read = read_codings,
     .initial = "[zstd, br, gzip]",
     .doc = "`zstd`, `br` and `gzip`, the ones that are wanted most first: they are taken in this "
            "order where the client's `Accept-Encoding` does not prefer one of them.",
     .choices = kCodingWords},
    {.name = "level",
     .type = Type::choice,
     .read = field<&Compression::level>,
     .initial = "balanced",
     .doc = "How much time is given for how many bytes less. Compression runs on the thread that "
            "serves the connection.",
     .choices = kLevelWords},
    {.name = "types",
     .type = Type::list,
     .read = read_types,
     .doc = "Media types that are compressed: `text/html`, or `text/*`. Without it: HTML, CSS, "
            "plain text, XML, CSV, Markdown, JavaScript, JSON and its kin, WebAssembly, SVG. "
            "`text/event-stream` is not among them."},
    {.name = "min_size",
     .type = Type::size,
     .read = field<&Compression::min_bytes>,
     .initial = "1KiB",
     .doc = "Answers that say that they are shorter stay as they are.",
     .max = std::uint64_t{1} << 40U},
});
constexpr Section kCompression{"`compress`", kCompressionKeys, {}};

}  // namespace

Compression default_compression() {
  Compression out;
  out.codings = {ContentCoding::zstd, ContentCoding::br, ContentCoding::gzip};
  out.types.assign(kDefaultTypes.begin(), kDefaultTypes.end());
  return out;
}

const Section& compression_section() {
  return kCompression;
}

void read_compression(Reader& reader, const Key& key, const Node& value, void* object) {
  auto& out = *static_cast<std::optional<Compression>*>(object);
  if (value.kind == NodeKind::scalar) {
    bool is_on = false;
    reader.read(key, value, is_on);
    if (is_on) out = default_compression();
    return;
  }
  Compression compression = default_compression();
  reader.read_section(kCompression, value, &compression);
  if (compression.codings.empty() || compression.types.empty()) return;  // reported
  out = std::move(compression);
}

}  // namespace portunus::conf
