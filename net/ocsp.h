// OCSP (RFC 6960, as RFC 5019 narrows it): what the responder that a certificate names is asked over
// HTTP, and what its answer is worth. An answer is hostile until its signature has been verified, and
// nothing of it is used before. Pure functions; any thread. Times are seconds since 1970.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/certificate.h"

namespace portunus::net {

// What clients are shown with a certificate (RFC 6066 section 8): the responder's word that it is good.
struct OcspStaple {
  std::string bytes;  // an OCSPResponse, DER
  std::int64_t this_update = 0;
  std::int64_t next_update = 0;  // from then on it is worth nothing
};
// Of the control thread, and of those who may be using the one before.
using SharedStaple = std::shared_ptr<const OcspStaple>;

// A GET in the clear, as all responders are asked: the answer is signed.
struct OcspRequest {
  std::string url;   // of the responder, as the certificate has it
  std::string host;  // a name or an IP address, without brackets
  std::uint16_t port = 80;
  std::string target;
  // As the Host field has it.
  [[nodiscard]] std::string authority() const;
};

struct OcspAnswer {
  bool is_revoked = false;  // then nothing may be stapled
  OcspStaple staple;
};

// More than these a certificate does not get asked about.
inline constexpr std::size_t kOcspRespondersMax = 4;
// Larger answers are refused: it goes into every handshake. Responders send 0.3 to 3 KiB.
inline constexpr std::size_t kOcspAnswerMax = std::size_t{16} * 1024;
// How far ahead of ours a responder's clock may be.
inline constexpr std::int64_t kOcspClockSkew = 300;

// Of a certificate with an ocsp_url(): one for each responder that it names, in its order, and at least
// one. Those that cannot be asked are left out. The error is for the user.
[[nodiscard]] std::expected<std::vector<OcspRequest>, std::string> make_ocsp_requests(
    const Certificate& certificate);
// Whether clients that know of it refuse this one without a staple (must-staple, RFC 7633).
[[nodiscard]] bool needs_staple(const Certificate& certificate);
// Believed only when it is about this certificate, signed by its issuer or by somebody to whom the
// issuer has given just that right, and of now. "Unknown" is an error: it says nothing.
[[nodiscard]] std::expected<OcspAnswer, std::string> read_ocsp_answer(
    const Certificate& certificate, std::string_view bytes, std::int64_t now);
// When to ask again: at half of the answer's time, or of what is left of it, a little earlier by
// `chance` (0 to 1) so that not all ask at once; never at once and never in years.
[[nodiscard]] std::int64_t ocsp_refresh_after(const OcspStaple& staple,
                                              std::int64_t now,
                                              double chance);

}  // namespace portunus::net
