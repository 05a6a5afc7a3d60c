#include "proxy/header_edit.h"

namespace portunus::proxy {
namespace {

// Of the message's framing or of one connection: written by the protocol classes alone.
bool is_protected(http::HeaderId id) {
  return http::is_hop_by_hop(id) || id == http::HeaderId::content_length ||
         id == http::HeaderId::transfer_encoding || id == http::HeaderId::trailer;
}

bool apply_one(const conf::HeaderChanges& changes, http::HeaderBlock& fields) {
  for (const std::string& name : changes.remove) {
    const http::HeaderId id = http::header_id_of(name);
    if (id == http::HeaderId::other) {
      fields.remove(name);
    } else if (!is_protected(id) && id != http::HeaderId::host) {
      fields.remove(id);
    }
  }
  for (const conf::HeaderField& field : changes.set) {
    if (is_protected(http::header_id_of(field.name))) continue;
    if (!fields.set(field.name, field.value)) return false;
  }
  for (const conf::HeaderField& field : changes.add) {
    const http::HeaderId id = http::header_id_of(field.name);
    if (is_protected(id) || id == http::HeaderId::host) continue;
    if (!fields.add(field.name, field.value)) return false;
  }
  for (const conf::HeaderField& field : changes.defaults) {
    const bool is_missing = fields.find(field.name) == http::HeaderBlock::kNone;
    if (is_missing && !fields.add(field.name, field.value)) return false;
  }
  return true;
}

}  // namespace

bool apply_header_changes(const HeaderSteps& steps, http::HeaderBlock& fields) {
  for (const conf::HeaderChanges* const changes : steps) {
    if (changes != nullptr && !apply_one(*changes, fields)) return false;
  }
  return true;
}

}  // namespace portunus::proxy
