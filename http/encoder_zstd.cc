#include <zstd.h>

#include <array>

#include "http/encoder.h"

namespace portunus::http {
namespace {

constexpr std::array<int, 3> kZstdLevels{1, 2, 3};  // by EncoderLevel
constexpr int kZstdWindowBits = 17;                 // 128 KiB; clients take 8 MiB (RFC 9659)

class ZstdEncoder final : public Encoder {
 public:
  ZstdEncoder() : context_(ZSTD_createCCtx()) {}
  ZstdEncoder(const ZstdEncoder&) = delete;
  ZstdEncoder& operator=(const ZstdEncoder&) = delete;
  ~ZstdEncoder() override { ZSTD_freeCCtx(context_); }

  bool begin(EncoderLevel level) override {
    const auto sets = [this](ZSTD_cParameter parameter, int value) {
      return ZSTD_isError(ZSTD_CCtx_setParameter(context_, parameter, value)) == 0;
    };
    return context_ != nullptr &&
           ZSTD_isError(ZSTD_CCtx_reset(context_, ZSTD_reset_session_and_parameters)) == 0 &&
           sets(ZSTD_c_compressionLevel, kZstdLevels[static_cast<std::size_t>(level)]) &&
           sets(ZSTD_c_windowLog, kZstdWindowBits);
  }

  std::optional<Step> encode(std::span<const char> in, Until until, std::span<char> out) override {
    constexpr std::array<ZSTD_EndDirective, 3> kDirectives{ZSTD_e_continue, ZSTD_e_flush,
                                                           ZSTD_e_end};  // by Until
    ZSTD_inBuffer input{in.data(), in.size(), 0};
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    const std::size_t left = ZSTD_compressStream2(context_, &output, &input,
                                                  kDirectives[static_cast<std::size_t>(until)]);
    if (ZSTD_isError(left) != 0) return std::nullopt;
    const bool is_done = until == Until::taken ? input.pos == input.size : left == 0;
    return Step{input.pos, output.pos, is_done};
  }

  [[nodiscard]] ContentCoding coding() const override { return ContentCoding::zstd; }

 private:
  ZSTD_CCtx* context_;
};

}  // namespace

std::unique_ptr<Encoder> make_zstd_encoder() {
  return std::make_unique<ZstdEncoder>();
}

}  // namespace portunus::http
