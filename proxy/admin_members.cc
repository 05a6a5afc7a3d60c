#include "proxy/admin_members.h"

#include <charconv>

#include <nlohmann/json.hpp>

#include "conf/units.h"
#include "proxy/member_orders.h"

namespace portunus::proxy {
namespace {

constexpr std::string_view kPools = "/v1/pools/";
constexpr std::string_view kUpstreams = "/upstreams/";
constexpr std::uint64_t kWaitMaxMs = 3'600'000;

}  // namespace

std::string decode_path(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    if (text[i] == '%' && i + 2 < text.size()) {
      const char* digits = text.data() + i + 1;
      if (std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
        out += static_cast<char>(byte);
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

std::optional<MemberPath> parse_member_path(std::string_view path) {
  if (!path.starts_with(kPools)) return std::nullopt;
  path.remove_prefix(kPools.size());
  // The last one: the name of a pool may hold anything.
  const std::size_t at = path.rfind(kUpstreams);
  if (at == std::string_view::npos || at == 0) return std::nullopt;
  const std::string_view rest = path.substr(at + kUpstreams.size());
  const std::size_t slash = rest.find('/');
  MemberPath parsed{decode_path(path.substr(0, at)), decode_path(rest.substr(0, slash)), {}};
  if (slash != std::string_view::npos) {
    parsed.verb = rest.substr(slash + 1);
    if (parsed.verb.empty()) return std::nullopt;
  }
  if (parsed.member.empty()) return std::nullopt;
  return parsed;
}

std::optional<MemberCommand> command_of(std::string_view verb) {
  if (verb == "drain") return MemberCommand::drain;
  if (verb == "enable") return MemberCommand::enable;
  if (verb == "disable") return MemberCommand::disable;
  if (verb == "weight") return MemberCommand::weigh;
  return std::nullopt;
}

std::expected<std::uint32_t, std::string> parse_weight(std::string_view body) {
  const nlohmann::json json = nlohmann::json::parse(body, nullptr, false);
  const std::string wanted = "the body must be {\"weight\": N} with N from 1 to " +
                             std::to_string(kWeightMax) + " or null";
  if (!json.is_object() || !json.contains("weight")) return std::unexpected(wanted);
  const nlohmann::json& weight = json["weight"];
  if (weight.is_null()) return 0;
  if (!weight.is_number_unsigned()) return std::unexpected(wanted);
  const auto number = weight.get<std::uint64_t>();
  if (number == 0 || number > kWeightMax) return std::unexpected(wanted);
  return static_cast<std::uint32_t>(number);
}

std::expected<std::uint64_t, std::string> parse_wait(std::string_view query) {
  constexpr std::string_view kWait = "wait=";
  if (query.empty()) return 0;
  if (!query.starts_with(kWait)) return std::unexpected("the only parameter is wait=30s");
  const auto duration = conf::parse_duration(query.substr(kWait.size()));
  if (!duration) return std::unexpected("wait: " + duration.error());
  const auto ms = static_cast<std::uint64_t>(duration->count());
  if (ms == 0 || ms > kWaitMaxMs) return std::unexpected("wait: must be above zero, at most 1h");
  return ms;
}

}  // namespace portunus::proxy
