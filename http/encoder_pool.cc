#include "http/encoder_pool.h"

#include <utility>

namespace portunus::http {
namespace {

std::unique_ptr<Encoder> make_encoder(ContentCoding coding) {
  switch (coding) {
    case ContentCoding::gzip:
      return make_gzip_encoder();
    case ContentCoding::br:
      return make_br_encoder();
    case ContentCoding::zstd:
      return make_zstd_encoder();
  }
  return nullptr;
}

}  // namespace

Encoder* EncoderPool::lend(ContentCoding coding, EncoderLevel level) {
  if (lent_ == kLentMax) return nullptr;
  auto& kept = kept_[static_cast<std::size_t>(coding)];
  std::unique_ptr<Encoder> encoder;
  if (kept.empty()) {
    encoder = make_encoder(coding);
  } else {
    encoder = std::move(kept.back());
    kept.pop_back();
  }
  if (!encoder->begin(level)) return nullptr;
  ++lent_;
  return encoder.release();
}

void EncoderPool::give_back(Encoder* encoder) {
  --lent_;
  std::unique_ptr<Encoder> owned(encoder);
  auto& kept = kept_[static_cast<std::size_t>(owned->coding())];
  // libbrotli would begin with new memory all the same.
  const bool is_worth_keeping = owned->coding() != ContentCoding::br;
  if (is_worth_keeping && kept.size() < kKeptMax) kept.push_back(std::move(owned));
}

}  // namespace portunus::http
