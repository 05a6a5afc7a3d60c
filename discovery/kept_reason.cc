#include "discovery/kept_reason.h"

namespace portunus::discovery {

const char* name_of(KeptReason reason) {
  switch (reason) {
    case KeptReason::none:
      return "none";
    case KeptReason::unreachable:
      return "unreachable";
    case KeptReason::refused:
      return "refused";
    case KeptReason::no_leader:
      return "no_leader";
    case KeptReason::stale:
      return "stale";
    case KeptReason::bad_answer:
      return "bad_answer";
    case KeptReason::empty:
      return "empty";
    case KeptReason::loss:
      return "loss";
  }
  return "";
}

}  // namespace portunus::discovery
