// The standard health check of gRPC (grpc.health.v1.Health/Check): what is asked, and how the answer is
// judged. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "health/check.h"
#include "http/fetch.h"

namespace portunus::health {

// Turns the request of a probe into that call. `service`: as the member names it; empty: all of it. At
// most 127 bytes, which the configuration sees to.
inline constexpr std::size_t kGrpcServiceMax = 127;
void ask_by_grpc(std::string_view service, http::FetchRequest& request);
[[nodiscard]] CheckResult judge_grpc_answer(const http::FetchResult& answer);

}  // namespace portunus::health
