#include "proxy/cli_duration.h"

#include "conf/units.h"

namespace portunus::proxy {

bool read_duration(const char* option,
                   const std::string& text,
                   std::chrono::milliseconds& value,
                   CliOutput& output) {
  if (text.empty()) return true;
  const auto duration = conf::parse_duration(text);
  if (duration && duration->count() > 0) {
    value = *duration;
    return true;
  }
  output.err += std::string("portunus: ") + option + ": " +
                (duration ? "must be above zero" : duration.error()) + '\n';
  return false;
}

}  // namespace portunus::proxy
