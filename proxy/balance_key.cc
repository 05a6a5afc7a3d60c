#include "proxy/balance_key.h"

#include "base/hash.h"
#include "http/cookie.h"

namespace portunus::proxy {

std::uint64_t balance_key(const conf::Pool& pool,
                          const http::Head& request,
                          std::string_view client_ip) {
  if (pool.balance != conf::Balance::consistent_hash) return 0;
  switch (pool.hash_on.source) {
    case conf::HashSource::client_ip:
      return base::stable_hash(client_ip);
    case conf::HashSource::header: {
      const std::size_t at = request.fields.find(pool.hash_on.name);
      if (at == http::HeaderBlock::kNone) return base::stable_hash(client_ip);
      return base::stable_hash(request.fields.field(at).value());
    }
    case conf::HashSource::cookie: {
      const std::string_view value = http::cookie_value(request.fields, pool.hash_on.name);
      return base::stable_hash(value.empty() ? client_ip : value);
    }
    case conf::HashSource::path:
      return base::stable_hash(request.path);
    case conf::HashSource::host:
      return base::stable_hash(request.host);
  }
  return 0;
}

}  // namespace portunus::proxy
