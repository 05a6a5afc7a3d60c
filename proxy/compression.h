// Whether an answer of a member is compressed for this client, and what its head says then. Pure
// functions; RFC 9110 sections 8.4, 8.8.1, 12.5.3 and 12.5.5.
#pragma once

#include <optional>

#include "base/arena.h"
#include "conf/model_compression.h"
#include "http/content_coding.h"
#include "http/message.h"

namespace portunus::proxy {

struct CompressionChoice {
  bool varies = false;                        // another client may get it in another coding
  std::optional<http::ContentCoding> coding;  // none: as it is
};

// The coding that this client would have. Of the request as it came: that members are not asked for
// compressed answers is what many configure beside this.
[[nodiscard]] std::optional<http::ContentCoding> wanted_coding(const conf::Compression& rule,
                                                               const http::Head& request);
// Of an answer with a body, or of the one without that a HEAD gets instead.
[[nodiscard]] CompressionChoice choose_compression(const conf::Compression& rule,
                                                   std::optional<http::ContentCoding> wanted,
                                                   const http::Head& request,
                                                   const http::Head& answer);

// The answer's head is that of the compressed one: Content-Encoding, no length, no ranges, a weak ETag.
// False when there is no room; then nothing has been changed.
[[nodiscard]] bool announce_coding(http::ContentCoding coding,
                                   base::Arena& arena,
                                   http::Head& answer);
// A 304 names the answer that the client has: the ETag is weak when the client's is.
void weaken_known_etag(const http::Head& request, base::Arena& arena, http::Head& answer);

}  // namespace portunus::proxy
