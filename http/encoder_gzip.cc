#include <zlib.h>

#include <array>

#include "http/encoder.h"

namespace portunus::http {
namespace {

constexpr std::array<int, 3> kGzipLevels{1, 5, 8};  // by EncoderLevel
constexpr int kGzipWindowBits = 15 + 16;            // 32 KiB; with gzip's header and check sum
constexpr int kGzipMemory = 8;                      // zlib's default: 256 KiB in all

class GzipEncoder final : public Encoder {
 public:
  GzipEncoder() = default;
  GzipEncoder(const GzipEncoder&) = delete;
  GzipEncoder& operator=(const GzipEncoder&) = delete;
  ~GzipEncoder() override { end(); }

  bool begin(EncoderLevel level) override {
    const int wanted = kGzipLevels[static_cast<std::size_t>(level)];
    if (is_open_ && level_ == wanted) return deflateReset(&stream_) == Z_OK;
    end();
    stream_ = {};
    is_open_ = deflateInit2(&stream_, wanted, Z_DEFLATED, kGzipWindowBits, kGzipMemory,
                            Z_DEFAULT_STRATEGY) == Z_OK;
    level_ = wanted;
    return is_open_;
  }

  std::optional<Step> encode(std::span<const char> in, Until until, std::span<char> out) override {
    constexpr std::array<int, 3> kFlushes{Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};  // by Until
    // The library's types are older than const.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    const int result = deflate(&stream_, kFlushes[static_cast<std::size_t>(until)]);
    // Z_BUF_ERROR: there was nothing to do.
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) return std::nullopt;
    const bool is_done = until == Until::ended ? result == Z_STREAM_END
                                               : stream_.avail_in == 0 && stream_.avail_out != 0;
    return Step{in.size() - stream_.avail_in, out.size() - stream_.avail_out, is_done};
  }

  [[nodiscard]] ContentCoding coding() const override { return ContentCoding::gzip; }

 private:
  void end() {
    if (is_open_) deflateEnd(&stream_);
    is_open_ = false;
  }

  z_stream stream_{};
  int level_ = 0;
  bool is_open_ = false;
};

}  // namespace

std::unique_ptr<Encoder> make_gzip_encoder() {
  return std::make_unique<GzipEncoder>();
}

}  // namespace portunus::http
