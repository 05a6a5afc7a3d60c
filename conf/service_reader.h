// The parts of a service that have a file of their own. Part of the schema; one load.
#pragma once

namespace portunus::conf {

class Reader;
struct Key;
struct Node;
struct Place;
struct Section;
struct Service;

[[nodiscard]] const Section& scale_section();
[[nodiscard]] const Section& restart_section();
[[nodiscard]] const Section& stop_section();
[[nodiscard]] const Section& service_limits_section();
[[nodiscard]] const Section& service_log_section();
// Rules between `scale`, which stands at `scale_place`, and the rest.
void check_scale(Reader& reader, Place scale_place, const Service& service, bool has_pool);
// The object is a Restart.
void read_restart(Reader& reader, const Key& key, const Node& value, void* object);

}  // namespace portunus::conf
