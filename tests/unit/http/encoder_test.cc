// gzip and zstd are undone by their own libraries here; br by curl in tests/e2e/test_compression.py.
#include "http/encoder.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>

#include "http/encoder_pool.h"

namespace portunus::http {
namespace {

std::string encode(Encoder& encoder,
                   std::string_view text,
                   Encoder::Until until,
                   std::size_t room = 4096) {
  std::string made;
  std::string out(room, '\0');
  std::span<const char> rest(text.data(), text.size());
  while (true) {
    const auto step = encoder.encode(rest, until, {out.data(), out.size()});
    if (!step) {
      ADD_FAILURE() << "no memory";
      return made;
    }
    made.append(out, 0, step->made);
    rest = rest.subspan(step->taken);
    if (step->is_done) return made;
  }
}

// What of it can be read already.
std::string inflated(std::string_view bytes) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string out(1 << 22, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  inflate(&stream, Z_SYNC_FLUSH);
  out.resize(out.size() - stream.avail_out);
  inflateEnd(&stream);
  return out;
}

std::string unzstd(std::string_view bytes) {
  ZSTD_DCtx* const context = ZSTD_createDCtx();
  std::string out(1 << 22, '\0');
  ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
  ZSTD_outBuffer output{out.data(), out.size(), 0};
  EXPECT_FALSE(ZSTD_isError(ZSTD_decompressStream(context, &output, &input)));
  out.resize(output.pos);
  ZSTD_freeDCtx(context);
  return out;
}

// Neither one letter nor noise.
std::string some_text(std::size_t size) {
  std::string text;
  for (std::uint32_t i = 1; text.size() < size; i = i * 1664525 + 1013904223)
    text += "line " + std::to_string(i >> 20) + "\n";
  text.resize(size);
  return text;
}

void come_back(Encoder& encoder, const std::function<std::string(std::string_view)>& undo) {
  const std::string text = some_text(1'000'000);
  for (const EncoderLevel level :
       {EncoderLevel::fast, EncoderLevel::balanced, EncoderLevel::small}) {
    for (const std::size_t piece : {std::size_t{1} << 20U, std::size_t{10'007}}) {
      ASSERT_TRUE(encoder.begin(level));
      std::string made;
      for (std::size_t at = 0; at < text.size(); at += piece)
        made += encode(encoder, std::string_view(text).substr(at, piece), Encoder::Until::taken);
      made += encode(encoder, {}, Encoder::Until::ended, Encoder::kOutMin);
      EXPECT_LT(made.size(), text.size() / 2);
      EXPECT_TRUE(undo(made) == text) << piece;
    }
  }
}

void come_with_each_flush(Encoder& encoder,
                          const std::function<std::string(std::string_view)>& undo) {
  ASSERT_TRUE(encoder.begin(EncoderLevel::balanced));
  std::string made;
  std::string told;
  for (const char* const event : {"data: one\n\n", "data: two\n\n", "data: three\n\n"}) {
    told += event;
    made += encode(encoder, event, Encoder::Until::taken);
    made += encode(encoder, {}, Encoder::Until::flushed);
    EXPECT_EQ(undo(made), told);
  }
  made += encode(encoder, {}, Encoder::Until::flushed);  // there is nothing to flush
  made += encode(encoder, {}, Encoder::Until::ended);
  EXPECT_EQ(undo(made), told);
}

TEST(Encoder, GzipComesBack) {
  const auto encoder = make_gzip_encoder();
  come_back(*encoder, inflated);
  come_with_each_flush(*encoder, inflated);
}

TEST(Encoder, ZstdComesBack) {
  const auto encoder = make_zstd_encoder();
  come_back(*encoder, unzstd);
  come_with_each_flush(*encoder, unzstd);
}

TEST(Encoder, BrFlushesAndEnds) {
  const auto encoder = make_br_encoder();
  ASSERT_TRUE(encoder->begin(EncoderLevel::balanced));
  EXPECT_FALSE((encode(*encoder, "data: one\n\n", Encoder::Until::taken) +
                encode(*encoder, {}, Encoder::Until::flushed))
                   .empty());
  EXPECT_FALSE(encode(*encoder, {}, Encoder::Until::ended).empty());
}

TEST(Encoder, ABodyThatWasCutLeavesNothingToTheNext) {
  const auto encoder = make_gzip_encoder();
  ASSERT_TRUE(encoder->begin(EncoderLevel::fast));
  encode(*encoder, some_text(100'000), Encoder::Until::taken);
  ASSERT_TRUE(encoder->begin(EncoderLevel::fast));
  EXPECT_EQ(inflated(encode(*encoder, "next", Encoder::Until::ended)), "next");
}

}  // namespace
}  // namespace portunus::http
