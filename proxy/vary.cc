#include "proxy/vary.h"

#include "http/grammar.h"

namespace portunus::proxy {

using http::HeaderBlock;
using http::HeaderId;

bool has_element(const HeaderBlock& fields, HeaderId id, std::string_view lower) {
  for (std::size_t i = fields.find(id); i != HeaderBlock::kNone; i = fields.find(id, i + 1)) {
    std::string_view rest = fields.field(i).value();
    for (std::string_view element = http::next_element(rest); !element.empty();
         element = http::next_element(rest)) {
      if (http::is_same_ignoring_case(element, lower)) return true;
    }
  }
  return false;
}

bool add_vary(HeaderBlock& fields, std::string_view name, std::string_view lower) {
  if (has_element(fields, HeaderId::vary, lower) || has_element(fields, HeaderId::vary, "*"))
    return true;
  return fields.add(HeaderId::vary, name);
}

}  // namespace portunus::proxy
