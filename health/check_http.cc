#include "health/check_http.h"

#include <algorithm>
#include <array>
#include <utility>

#include "health/check_grpc.h"
#include "net/proxy_protocol.h"

namespace portunus::health {

http::FetchRequest request_of_check(const conf::Health& settings,
                                    const net::Address& address,
                                    std::string_view name) {
  http::FetchRequest request;
  request.address = address;
  request.host = settings.host.empty() ? name : std::string_view(settings.host);
  request.target = settings.path;
  request.user_agent = kProbeAgent;
  request.timeout_ms = static_cast<std::uint64_t>(settings.timeout.count());
  request.body_max = settings.expect_body.empty() ? 0 : kBodyMax;
  request.first = probe_introduction(settings);
  request.speaks_h2 = settings.speaks_h2;
  if (settings.kind == conf::ProbeKind::grpc) ask_by_grpc(settings.path, request);
  return request;
}

std::string_view name_of(conf::ProbeKind kind) {
  switch (kind) {
    case conf::ProbeKind::off:
      return "off";
    case conf::ProbeKind::tcp:
      return "tcp";
    case conf::ProbeKind::http:
      return "http";
    case conf::ProbeKind::grpc:
      return "grpc";
  }
  return "";
}

// Nobody's connection but our own: UNKNOWN, or LOCAL.
std::string probe_introduction(const conf::Health& settings) {
  std::array<char, net::kProxyHeaderRoom> text{};
  return {text.data(), net::write_proxy_header(settings.proxy_protocol, {}, {}, text)};
}

CheckResult judge_failure(const base::Error& error, bool is_late) {
  CheckResult result;
  result.verdict = is_late || error.side == base::Side::internal ? Verdict::unjudged : Verdict::bad;
  result.is_late = is_late;
  result.detail = error.detail;
  if (error.reason == base::EndReason::upstream_tls && !result.detail.contains("TLS"))
    result.detail = "TLS: " + result.detail;
  return result;
}

CheckResult judge_answer(const conf::Health& settings, const http::FetchResult& answer) {
  if (settings.kind == conf::ProbeKind::grpc) return judge_grpc_answer(answer);
  if (answer.head == nullptr) return judge_failure(answer.error, answer.is_late);
  const std::uint16_t status = answer.head->status;
  const bool is_expected = std::any_of(settings.expect_status.begin(), settings.expect_status.end(),
                                       [status](const conf::StatusRange& range) {
                                         return status >= range.first && status <= range.last;
                                       });
  CheckResult result;
  if (!is_expected) {
    result.detail = "unexpected status " + std::to_string(status);
  } else if (settings.expect_body.empty()) {
    result.verdict = Verdict::good;
    result.detail = "status " + std::to_string(status);
  } else if (answer.body.find(settings.expect_body) != std::string_view::npos) {
    result.verdict = Verdict::good;  // even if the answer broke off later
    result.detail = "status " + std::to_string(status) + " and the expected body";
  } else if (answer.error.is_error()) {
    result = judge_failure(answer.error, answer.is_late);
  } else {
    result.detail = answer.is_truncated ? "the expected text is not in the first 64 KiB of the body"
                                        : "the expected text is not in the body";
  }
  result.status = status;
  return result;
}

void HttpCheck::start(const ProbeSettings& settings,
                      const net::Address& address,
                      std::string_view name,
                      CheckHandler& handler) {
  settings_ = &settings;
  handler_ = &handler;
  http::FetchRequest request = request_of_check(settings, address, name);
  request.tls = settings.tls;
  fetch_ = &fetcher_->start(std::move(request), *this);
}

void HttpCheck::cancel() {
  if (fetch_ != nullptr) std::exchange(fetch_, nullptr)->cancel();
}

void HttpCheck::on_fetch_done(const http::FetchResult& result) {
  fetch_ = nullptr;
  handler_->on_check_done(judge_answer(*settings_, result));
}

}  // namespace portunus::health
