#include "proxy/admin_explain.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "proxy/admin_views.h"

namespace portunus::proxy {
namespace {

using OrderedJson = nlohmann::ordered_json;

void put_if_any(OrderedJson& out, const char* key, const std::string& value) {
  if (!value.empty()) out[key] = value;
}

OrderedJson pool_of(const ExplainedPool& pool) {
  OrderedJson out = OrderedJson::parse(pool_json(pool.view), nullptr, false);
  out["share"] = pool.share;
  out["chosen"] = pool.is_chosen;
  put_if_any(out, "next", pool.next);
  out["why"] = pool.why;
  return out;
}

}  // namespace

std::expected<ExplainQuestion, std::string> read_question(std::string_view body) {
  const OrderedJson object = OrderedJson::parse(body, nullptr, false);
  if (!object.is_object()) return std::unexpected("the body is {\"url\": \"https://host/path\"}");
  ExplainQuestion question;
  for (const auto& [key, value] : object.items()) {
    const bool is_text = value.is_string();
    if (key == "headers" && value.is_array() &&
        std::ranges::all_of(value, [](const OrderedJson& each) { return each.is_string(); })) {
      question.fields = value.get<std::vector<std::string>>();
    } else if (key == "url" && is_text) {
      question.url = value;
    } else if (key == "method" && is_text) {
      question.method = value;
    } else if (key == "client" && is_text) {
      question.client = value;
    } else if (key == "listener" && is_text) {
      question.listener = value;
    } else {
      return std::unexpected(
          "the body has `url`, and may have `method`, `client` and `listener` (texts) and "
          "`headers` (a list of `Name: value`)");
    }
  }
  return question;
}

std::string explanation_json(const Explanation& explanation) {
  OrderedJson out{{"method", explanation.method},
                  {"host", explanation.host},
                  {"path", explanation.path},
                  {"listener", explanation.listener}};
  put_if_any(out, "site", explanation.site);
  put_if_any(out, "route", explanation.route);
  out["outcome"] = explanation.outcome;
  if (explanation.status != 0) out["status"] = explanation.status;
  put_if_any(out, "reason", explanation.reason);
  put_if_any(out, "location", explanation.location);
  put_if_any(out, "upstream_path", explanation.upstream_path);
  out["notes"] = explanation.notes;
  OrderedJson pools = OrderedJson::array();
  for (const ExplainedPool& pool : explanation.pools)
    pools.push_back(pool_of(pool));
  out["pools"] = std::move(pools);
  return out.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + '\n';
}

}  // namespace portunus::proxy
