#include <brotli/encode.h>

#include <array>

#include "http/encoder.h"

namespace portunus::http {
namespace {

constexpr std::array<std::uint32_t, 3> kBrLevels{1, 4, 6};  // by EncoderLevel
// 64 KiB, and as much of the input at a time: with more the library takes several times the memory.
constexpr std::uint32_t kBrWindowBits = 16;
constexpr std::uint32_t kBrBlockBits = 16;

class BrEncoder final : public Encoder {
 public:
  BrEncoder() = default;
  BrEncoder(const BrEncoder&) = delete;
  BrEncoder& operator=(const BrEncoder&) = delete;
  ~BrEncoder() override { BrotliEncoderDestroyInstance(state_); }

  // The library cannot begin anew with what it has.
  bool begin(EncoderLevel level) override {
    BrotliEncoderDestroyInstance(state_);
    state_ = BrotliEncoderCreateInstance(nullptr, nullptr, nullptr);
    return state_ != nullptr &&
           BrotliEncoderSetParameter(state_, BROTLI_PARAM_QUALITY,
                                     kBrLevels[static_cast<std::size_t>(level)]) == BROTLI_TRUE &&
           BrotliEncoderSetParameter(state_, BROTLI_PARAM_LGWIN, kBrWindowBits) == BROTLI_TRUE &&
           BrotliEncoderSetParameter(state_, BROTLI_PARAM_LGBLOCK, kBrBlockBits) == BROTLI_TRUE;
  }

  std::optional<Step> encode(std::span<const char> in, Until until, std::span<char> out) override {
    constexpr std::array<BrotliEncoderOperation, 3> kOperations{
        BROTLI_OPERATION_PROCESS, BROTLI_OPERATION_FLUSH, BROTLI_OPERATION_FINISH};  // by Until
    const auto* next_in = reinterpret_cast<const std::uint8_t*>(in.data());
    auto* next_out = reinterpret_cast<std::uint8_t*>(out.data());
    std::size_t in_left = in.size();
    std::size_t out_left = out.size();
    if (BrotliEncoderCompressStream(state_, kOperations[static_cast<std::size_t>(until)], &in_left,
                                    &next_in, &out_left, &next_out, nullptr) != BROTLI_TRUE) {
      return std::nullopt;
    }
    const bool is_done = until == Until::ended
                             ? BrotliEncoderIsFinished(state_) == BROTLI_TRUE
                             : in_left == 0 && BrotliEncoderHasMoreOutput(state_) == BROTLI_FALSE;
    return Step{in.size() - in_left, out.size() - out_left, is_done};
  }

  [[nodiscard]] ContentCoding coding() const override { return ContentCoding::br; }

 private:
  BrotliEncoderState* state_ = nullptr;
};

}  // namespace

std::unique_ptr<Encoder> make_br_encoder() {
  return std::make_unique<BrEncoder>();
}

}  // namespace portunus::http
