// Compression of answers in the configuration.
#include <gtest/gtest.h>

#include <string>

#include "conf/load.h"

namespace portunus::conf {
namespace {

LoadResult load_compressed(const std::string& site, const std::string& route = "") {
  return load_text("sites: { '*': { " + site + " routes: [{ " + route + " respond: {} }] } }\n",
                   "test.yaml");
}

Site compressed_site(const std::string& site, const std::string& route = "") {
  const LoadResult result = load_compressed(site, route);
  EXPECT_NE(result.model, nullptr) << format_text(result.diagnostics);
  return result.model == nullptr ? Site{} : result.model->sites[0];
}

TEST(LoadCompression, OnIsEverythingAtItsDefault) {
  for (const char* const text : {"compress: on,", "compress: true,", "compress: {},"})
    EXPECT_EQ(compressed_site(text).compression, default_compression()) << text;
  EXPECT_EQ(compressed_site("compress: { codings: [zstd, br, gzip], level: balanced, "
                            "min_size: 1KiB },")
                .compression,
            default_compression());
  EXPECT_FALSE(compressed_site("").compression.has_value());
  EXPECT_FALSE(compressed_site("compress: off,").compression.has_value());
}

TEST(LoadCompression, EveryKey) {
  Compression expected;
  expected.codings = {ContentCoding::gzip, ContentCoding::br};
  expected.level = CompressionLevel::small;
  expected.types = {"text/html", "application/*"};
  expected.min_bytes = 64;
  EXPECT_EQ(compressed_site("compress: { codings: [gzip, br], level: small, "
                            "types: [Text/HTML, application/*], min_size: 64B },")
                .compression,
            expected);
  EXPECT_EQ(compressed_site("compress: { codings: gzip },").compression->codings,
            std::vector{ContentCoding::gzip});
}

TEST(LoadCompression, ARouteSaysItInsteadOfItsSite) {
  const Site site = compressed_site("compress: on,", "compress: off,");
  EXPECT_TRUE(site.compression.has_value());
  EXPECT_FALSE(site.routes[0].compression.has_value());
  EXPECT_FALSE(site.routes[0].has_site_compression);
  EXPECT_TRUE(compressed_site("compress: on,").routes[0].has_site_compression);
  EXPECT_TRUE(compressed_site("", "compress: on,").routes[0].compression.has_value());
}

TEST(LoadCompression, Nonsense) {
  struct Row {
    const char* value;
    const char* message;
  };
  const Row rows[] = {
      {"maybe", "expected true or false"},
      {"{ codings: [deflate] }", "expected `gzip`, `br` or `zstd`"},
      {"{ codings: [gzip, gzip] }", "`gzip` stands twice"},
      {"{ codings: [] }", "the list is empty"},
      {"{ types: [] }", "the list is empty"},
      {"{ types: [html] }", "expected a media type"},
      {"{ types: ['text/html; charset=utf-8'] }", "expected a media type"},
      {"{ types: ['*/*'] }", "expected a media type"},
      {"{ types: ['text/h*'] }", "expected a media type"},
      {"{ level: 9 }", "expected `fast`, `balanced` or `small`"},
      {"{ min_size: 10 }", "unit"},
  };
  for (const Row& row : rows) {
    const LoadResult result = load_compressed("compress: " + std::string(row.value) + ",");
    EXPECT_EQ(result.model, nullptr) << row.value;
    EXPECT_NE(format_text(result.diagnostics).find(row.message), std::string::npos)
        << row.value << '\n'
        << format_text(result.diagnostics);
  }
}

}  // namespace
}  // namespace portunus::conf
