// What reading sites and services needs from reading pools: a site may hold its members itself, and
// the replicas of a service are probed as members are. Part of the schema; one load.
#pragma once

#include "conf/model.h"

namespace portunus::conf {

class Reader;
struct Key;
struct Node;
struct Section;

// A pool in any of its forms, without its name.
[[nodiscard]] Pool read_pool(Reader& reader, const Node& value);

[[nodiscard]] const Section& health_section();
// The object is a Health.
void read_health(Reader& reader, const Key& key, const Node& value, void* object);

[[nodiscard]] const Section& retry_section();
// The object is a Retry.
void read_retry(Reader& reader, const Key& key, const Node& value, void* object);

[[nodiscard]] const Section& overload_section();
// The object is an Overload.
void read_overload(Reader& reader, const Key& key, const Node& value, void* object);

[[nodiscard]] const Section& pool_timeouts_section();

[[nodiscard]] const Section& passive_section();
// The object is a Passive.
void read_passive(Reader& reader, const Key& key, const Node& value, void* object);
[[nodiscard]] const Section& circuit_breaker_section();
// The object is a CircuitBreaker.
void read_circuit_breaker(Reader& reader, const Key& key, const Node& value, void* object);

[[nodiscard]] const Section& sticky_section();
// The object is an std::optional<Sticky>.
void read_sticky(Reader& reader, const Key& key, const Node& value, void* object);

[[nodiscard]] const Section& upstream_tls_section();
void read_upstream_tls(Reader& reader, const Key& key, const Node& value, Pool& pool);

// With `start_period`.
[[nodiscard]] const Section& service_health_section();
// The object is a Service.
void read_service_health(Reader& reader, const Key& key, const Node& value, void* object);

}  // namespace portunus::conf
