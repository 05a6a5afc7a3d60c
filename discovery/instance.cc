#include "discovery/instance.h"

namespace portunus::discovery {

const char* name_of(InstanceStatus status) {
  switch (status) {
    case InstanceStatus::passing:
      return "passing";
    case InstanceStatus::warning:
      return "warning";
    case InstanceStatus::critical:
      return "critical";
    case InstanceStatus::maintenance:
      return "maintenance";
  }
  return "";
}

}  // namespace portunus::discovery
