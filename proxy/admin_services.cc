#include "proxy/admin_services.h"

#include <algorithm>
#include <array>
#include <limits>

#include <nlohmann/json.hpp>

namespace portunus::proxy {
namespace {

using OrderedJson = nlohmann::ordered_json;
using supervisor::OrderResult;
using supervisor::ServiceOrder;

constexpr std::array<std::string_view, 5> kVerbs{"start", "stop", "restart", "scale", "roll"};
constexpr const char* kScaleBody = "`scale` takes {\"replicas\": N} with a whole number";

}  // namespace

std::optional<ServiceOrder> parse_service_path(std::string_view rest) {
  const std::size_t slash = rest.find('/');
  if (slash == 0 || slash == std::string_view::npos) return std::nullopt;
  const std::string_view verb = rest.substr(slash + 1);
  if (std::ranges::find(kVerbs, verb) == kVerbs.end()) return std::nullopt;
  return ServiceOrder{std::string(verb), std::string(rest.substr(0, slash))};
}

std::expected<void, std::string> read_service_body(std::string_view body, ServiceOrder& order) {
  if (order.verb != "scale") return {};
  const OrderedJson object = OrderedJson::parse(body, nullptr, false);
  if (!object.is_object() || object.size() != 1 || !object.contains("replicas"))
    return std::unexpected(kScaleBody);
  const OrderedJson& replicas = object["replicas"];
  if (!replicas.is_number_unsigned() ||
      replicas.get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max())
    return std::unexpected(kScaleBody);
  order.replicas = replicas.get<std::int64_t>();
  return {};
}

std::uint16_t status_of(OrderResult result) {
  switch (result) {
    case OrderResult::taken:
      return 202;
    case OrderResult::unknown_service:
      return 404;
    case OrderResult::refused:
      return 409;
    case OrderResult::senseless:
      return 400;
    case OrderResult::unanswered:
      return 503;
  }
  return 500;
}

std::string order_json(const ServiceOrder& order) {
  OrderedJson out{{"service", order.service}, {"order", order.verb}};
  if (order.verb == "scale") out["replicas"] = order.replicas;
  return out.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + '\n';
}

}  // namespace portunus::proxy
