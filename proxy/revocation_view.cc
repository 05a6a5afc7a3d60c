#include "proxy/revocation_view.h"

#include <string_view>

namespace portunus::proxy {

void render_revocations(std::span<const RevocationView> lists, MetricsText& out) {
  if (lists.empty()) return;
  const auto gauge = [&](std::string_view name, std::string_view help, auto value_of) {
    out.family(name, MetricsText::Type::gauge, help);
    for (const RevocationView& each : lists) {
      out.sample_real({{"authority", each.authority}, {"file", each.file}},
                      static_cast<double>(value_of(each)));
    }
  };
  gauge("portunus_client_crl_next_update_timestamp_seconds",
        "When the first of the lists of revoked client certificates ends.",
        [](const RevocationView& each) { return each.next_update; });
  gauge("portunus_client_crl_revoked_certificates",
        "Certificates in the lists of revoked client certificates.",
        [](const RevocationView& each) { return each.revoked; });
  gauge("portunus_client_crl_last_read_successful",
        "Whether the lists of revoked client certificates are those that the file holds now.",
        [](const RevocationView& each) { return each.is_current ? 1 : 0; });
}

}  // namespace portunus::proxy
