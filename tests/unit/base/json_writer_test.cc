#include "base/json_writer.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "base/utf8.h"

namespace portunus::base {
namespace {

std::string json_of(std::string_view value) {
  std::array<char, 4096> buffer;
  JsonWriter writer(buffer.data(), buffer.size());
  writer.text(value);
  EXPECT_FALSE(writer.is_full());
  return std::string(writer.view());
}

TEST(JsonWriter, SeparatesMembersAndElements) {
  std::array<char, 256> buffer;
  JsonWriter writer(buffer.data(), buffer.size());
  writer.open_object();
  writer.number("v", 1);
  writer.text("name", "a");
  writer.key("list");
  writer.open_array();
  writer.number(1);
  writer.open_object();
  writer.close_object();
  writer.null();
  writer.close_array();
  writer.key("ok");
  writer.boolean(true);
  writer.key("below");
  writer.signed_number(-5);
  writer.close_object();
  EXPECT_EQ(writer.view(), R"({"v":1,"name":"a","list":[1,{},null],"ok":true,"below":-5})");
}

TEST(JsonWriter, WritesSecondsWithSixDecimals) {
  std::array<char, 256> buffer;
  JsonWriter writer(buffer.data(), buffer.size());
  writer.open_array();
  writer.seconds(std::uint64_t{0});
  writer.seconds(std::uint64_t{1'500'000});
  writer.seconds(std::uint64_t{61'000'001'999});
  writer.close_array();
  EXPECT_EQ(writer.view(), "[0.000000,0.001500,61.000001]");
}

TEST(JsonWriter, EscapesEveryControlCharacterQuoteAndBackslash) {
  EXPECT_EQ(json_of("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(json_of(std::string_view("\0\n\x1b\x7f", 4)), R"("\u0000\u000a\u001b\u007f")");
  EXPECT_EQ(json_of("\xc2\x85"), R"("\u0085")");  // NEL
}

// The fast path looks at eight bytes at once: every byte at every place of a word.
TEST(JsonWriter, TreatsEveryByteTheSameAtEveryPlace) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string alone = json_of(std::string(1, static_cast<char>(byte)));
    const std::string middle = alone.substr(1, alone.size() - 2);
    for (std::size_t place = 0; place < 17; ++place) {
      std::string text(17, 'x');
      text[place] = static_cast<char>(byte);
      ASSERT_EQ(json_of(text),
                "\"" + std::string(place, 'x') + middle + std::string(16 - place, 'x') + "\"")
          << byte << " at " << place;
    }
  }
}

TEST(JsonWriter, ReplacesWhatIsNotUtf8) {
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(json_of("\xff"), "\"" + bad + "\"");
  EXPECT_EQ(json_of("a\xc3"), "\"a" + bad + "\"");                    // cut short
  EXPECT_EQ(json_of("\xc0\xaf"), "\"" + bad + bad + "\"");            // overlong
  EXPECT_EQ(json_of("\xed\xa0\x80"), "\"" + bad + bad + bad + "\"");  // surrogate
  EXPECT_EQ(json_of("\xf4\x90\x80\x80"), "\"" + bad + bad + bad + bad + "\"");
  EXPECT_EQ(json_of("\xe2\x82\xac\xf0\x9f\x9a\xaa"), "\"\xe2\x82\xac\xf0\x9f\x9a\xaa\"");
}

TEST(JsonWriter, NeverWritesPastTheBufferAndSaysSo) {
  const std::string value = "some \"text\" \xff with\nall sorts";
  std::array<char, 512> whole;
  JsonWriter reference(whole.data(), whole.size());
  reference.open_object();
  reference.text("key", value);
  reference.seconds("s", 5);
  reference.number("n", 12345);
  reference.close_object();
  for (std::size_t size = 0; size < reference.size(); ++size) {
    std::array<char, 512> buffer;
    buffer.fill('#');
    JsonWriter writer(buffer.data(), size);
    writer.open_object();
    writer.text("key", value);
    writer.seconds("s", 5);
    writer.number("n", 12345);
    writer.close_object();
    ASSERT_TRUE(writer.is_full()) << size;
    ASSERT_LE(writer.size(), size);
    ASSERT_EQ(buffer[size], '#') << size;
  }
}

TEST(Utf8, KnowsTheLimitsOfEachLength) {
  const auto length = [](std::string_view text) {
    return utf8_length(text.data(), text.data() + text.size());
  };
  EXPECT_EQ(length("a"), 1U);
  EXPECT_EQ(length("\x7f"), 1U);
  EXPECT_EQ(length("\x80"), 0U);
  EXPECT_EQ(length("\xc2\x80"), 2U);
  EXPECT_EQ(length("\xc1\xbf"), 0U);
  EXPECT_EQ(length("\xe0\xa0\x80"), 3U);
  EXPECT_EQ(length("\xe0\x9f\xbf"), 0U);
  EXPECT_EQ(length("\xed\x9f\xbf"), 3U);
  EXPECT_EQ(length("\xf0\x90\x80\x80"), 4U);
  EXPECT_EQ(length("\xf0\x8f\xbf\xbf"), 0U);
  EXPECT_EQ(length("\xf4\x8f\xbf\xbf"), 4U);
  EXPECT_EQ(length("\xf5\x80\x80\x80"), 0U);
  EXPECT_EQ(length("\xf0\x9f\x9a"), 0U);
}

}  // namespace
}  // namespace portunus::base
