// Facts and limits of this process: CPUs that it may use, file descriptors. Called once, at start.
#pragma once

#include <cstddef>
#include <cstdint>

namespace portunus::proxy {

// CPUs of the affinity mask, lowered to the CPU quota of the cgroup; at least 1.
[[nodiscard]] std::uint32_t usable_cpus();
// Raises the soft limit of descriptors to the hard one; returns it.
std::size_t raise_descriptor_limit();
// Descriptors open now.
[[nodiscard]] std::size_t open_descriptors();

}  // namespace portunus::proxy
