#include "discovery/consul_json.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

namespace portunus::discovery {
namespace {

using Json = nlohmann::json;

bool is_json_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// The entries of an array of objects, without looking at what is in them but for where they end.
class EntryScanner {
 public:
  explicit EntryScanner(std::string_view document) : rest_(document) {}

  // Nothing at the end, or with an error.
  std::optional<std::string_view> next() {
    if (error_ != nullptr || is_over_) return std::nullopt;
    skip_space();
    if (!has_begun_) {
      has_begun_ = true;
      if (!take('[')) return fail("not an array");
      skip_space();
      if (take(']')) return end();
    } else if (take(']')) {
      return end();
    } else if (!take(',')) {
      return fail("not an array of objects");
    }
    skip_space();
    return entry();
  }
  [[nodiscard]] const char* error() const { return error_; }

 private:
  void skip_space() {
    while (!rest_.empty() && is_json_space(rest_.front()))
      rest_.remove_prefix(1);
  }
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::nullopt_t fail(const char* error) {
    error_ = error;
    return std::nullopt;
  }
  std::nullopt_t end() {
    is_over_ = true;
    skip_space();
    return rest_.empty() ? std::nullopt : fail("something behind the array");
  }

  std::optional<std::string_view> entry() {
    if (rest_.empty() || rest_.front() != '{') return fail("not an array of objects");
    unsigned depth = 0;
    bool is_text = false;
    const std::size_t most = std::min(rest_.size(), kConsulEntryMax);
    for (std::size_t i = 0; i < most; ++i) {
      const char c = rest_[i];
      if (is_text) {
        if (c == '\\') ++i;
        if (c == '"') is_text = false;
      } else if (c == '"') {
        is_text = true;
      } else if (c == '{' || c == '[') {
        if (++depth > kConsulDepthMax) return fail("nested too deeply");
      } else if ((c == '}' || c == ']') && --depth == 0) {
        const std::string_view whole = rest_.substr(0, i + 1);
        rest_.remove_prefix(i + 1);
        return whole;
      }
    }
    return fail(most == kConsulEntryMax ? "an entry is too large" : "cut off");
  }

  std::string_view rest_;
  const char* error_ = nullptr;
  bool has_begun_ = false;
  bool is_over_ = false;
};

// Null when there is none of that type.
const Json* part_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || !found->is_object() ? nullptr : &*found;
}
std::string_view text_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return {};
  return found->get_ref<const std::string&>();
}
std::optional<std::uint64_t> number_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

void say(std::string& reason, std::string_view what) {
  constexpr std::size_t kReasonMax = 200;
  if (reason.size() + what.size() > kReasonMax) return;
  if (!reason.empty()) reason += "; ";
  reason += what;
}

InstanceStatus status_of_check(const Json& check) {
  const std::string_view id = text_of(check, "CheckID");
  if (id == "_node_maintenance" || id.starts_with("_service_maintenance:")) {
    return InstanceStatus::maintenance;
  }
  const std::string_view status = text_of(check, "Status");
  if (status == "passing") return InstanceStatus::passing;
  return status == "warning" ? InstanceStatus::warning : InstanceStatus::critical;
}

// False: not what Consul says.
bool read_checks(const Json& entry, Instance& instance) {
  const auto checks = entry.find("Checks");
  if (checks == entry.end() || checks->is_null()) return true;
  if (!checks->is_array()) return false;
  for (const Json& check : *checks) {
    if (!check.is_object()) return false;
    const InstanceStatus status = status_of_check(check);
    instance.status = std::max(instance.status, status);
    if (status == InstanceStatus::passing) continue;
    const std::string_view name = text_of(check, "Name");
    say(instance.reason,
        std::string(name.empty() ? text_of(check, "CheckID") : name) + ": " + name_of(status));
  }
  instance.is_draining = instance.status == InstanceStatus::maintenance;
  return true;
}

std::uint32_t bounded_weight(const Json* weights, const char* name, std::uint64_t otherwise) {
  const std::uint64_t weight =
      weights == nullptr ? otherwise : number_of(*weights, name).value_or(otherwise);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(weight, kConsulWeightMax));
}

// Of the meta; nothing when there is none, or a wrong one.
std::optional<std::uint32_t> meta_weight(const Json& meta, std::string& reason) {
  const std::string_view text = text_of(meta, "portunus_weight");
  if (text.empty()) return std::nullopt;
  std::uint32_t weight = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
  if (error != std::errc{} || end != text.data() + text.size() || weight == 0 ||
      weight > kConsulWeightMax) {
    say(reason, "meta portunus_weight is not 1 to 1000");
    return std::nullopt;
  }
  return weight;
}

void read_meta(const Json& meta, Instance& instance) {
  const std::string_view priority = text_of(meta, "portunus_priority");
  instance.is_backup = priority == "backup";
  if (!priority.empty() && priority != "backup" && priority != "normal") {
    say(instance.reason, "meta portunus_priority is neither \"normal\" nor \"backup\"");
  }
  const std::string_view group = text_of(meta, "portunus_group");
  const auto is_name_char = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  if (group.size() > kConsulNameMax || !std::ranges::all_of(group, is_name_char)) {
    say(instance.reason, "meta portunus_group is not a name");
  } else {
    instance.group = group;
  }
}

// After status and meta.
void weigh(const Json& service, const Json* meta, WarningRule rule, Instance& instance) {
  const Json* weights = part_of(service, "Weights");
  std::uint32_t passing = std::max(1U, bounded_weight(weights, "Passing", 1));
  std::uint32_t warning = bounded_weight(weights, "Warning", 1);
  if (meta != nullptr) {
    if (const auto own = meta_weight(*meta, instance.reason)) passing = *own;
  }
  if (rule == WarningRule::half_weight) {
    passing = std::min(passing * 2, kConsulWeightMax);
    warning = passing / 2;
  }
  const bool warns = instance.status == InstanceStatus::warning;
  instance.weight = std::max(1U, warns ? warning : passing);
  instance.is_usable = instance.status == InstanceStatus::passing ||
                       (warns && rule != WarningRule::unusable && warning > 0);
}

// Why it cannot be a member; null: it can.
const char* read_place(const Json& node, const Json& service, Instance& instance) {
  const std::uint64_t port = number_of(service, "Port").value_or(0);
  if (port == 0 || port > 65'535) return "no port";
  std::string_view host = text_of(service, "Address");
  if (host.empty()) host = text_of(node, "Address");
  if (host.empty()) return "no address";
  const auto address = net::Address::parse_ip(host, static_cast<std::uint16_t>(port));
  if (!address) return "its address is not an IP address";
  if (std::ranges::all_of(address->bytes(), [](std::uint8_t byte) { return byte == 0; })) {
    return "its address is that of no host";
  }
  instance.address = *address;
  instance.name = address->text();
  return nullptr;
}

class Collector {
 public:
  Collector(WarningRule warning, ParsedInstances& out) : warning_(warning), out_(&out) {}

  // The error, or null.
  const char* add(const Json& entry) {
    const Json* node = part_of(entry, "Node");
    const Json* service = part_of(entry, "Service");
    if (node == nullptr || service == nullptr) return "an entry without node or service";
    Instance instance;
    instance.node = text_of(*node, "Node");
    instance.id = text_of(*service, "ID");
    if (instance.id.empty() || instance.id.size() > kConsulNameMax ||
        instance.node.size() > kConsulNameMax) {
      return "an entry without id, or with too long a one";
    }
    if (!read_checks(entry, instance)) return "checks that are none";
    if (const char* reason = read_place(*node, *service, instance)) {
      leave_out(instance, reason);
      return nullptr;
    }
    const Json* meta = part_of(*service, "Meta");
    if (meta != nullptr) read_meta(*meta, instance);
    weigh(*service, meta, warning_, instance);
    if (!known_.emplace(instance.node, instance.id).second) {
      leave_out(instance, "the same instance twice");
      return nullptr;
    }
    out_->instances.push_back(std::move(instance));
    return nullptr;
  }

  void finish() {
    Instances& all = out_->instances;
    std::ranges::stable_sort(all, [](const Instance& a, const Instance& b) {
      return a.name != b.name ? a.name < b.name : a.status < b.status;
    });
    Instances kept;
    kept.reserve(all.size());
    for (Instance& instance : all) {
      if (!kept.empty() && kept.back().name == instance.name) {
        leave_out(instance, "another instance has its address");
      } else {
        kept.push_back(std::move(instance));
      }
    }
    all = std::move(kept);
  }

 private:
  void leave_out(const Instance& instance, const char* reason) {
    if (out_->left_out++ == 0) out_->left_out_reason = instance.id + ": " + reason;
  }

  WarningRule warning_;
  ParsedInstances* out_;
  std::set<std::pair<std::string, std::string>> known_;
};

}  // namespace

std::expected<ParsedInstances, const char*> parse_health(std::string_view document,
                                                         WarningRule warning,
                                                         std::size_t instances_max) {
  ParsedInstances parsed;
  Collector collector(warning, parsed);
  EntryScanner scanner(document);
  std::size_t entries = 0;
  while (const auto text = scanner.next()) {
    if (++entries > instances_max) return std::unexpected("more instances than are allowed");
    const Json entry = Json::parse(text->begin(), text->end(), nullptr, false);
    if (entry.is_discarded()) return std::unexpected("not JSON");
    if (const char* error = collector.add(entry)) return std::unexpected(error);
  }
  if (scanner.error() != nullptr) return std::unexpected(scanner.error());
  collector.finish();
  return parsed;
}

}  // namespace portunus::discovery
