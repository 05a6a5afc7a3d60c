#include "proxy/cli_admin.h"

#include <cstdlib>
#include <expected>
#include <optional>

#include "base/clock.h"
#include "conf/header_text.h"
#include "conf/load.h"
#include "conf/units.h"
#include "http/fetch.h"
#include "net/loop.h"
#include "proxy/cli_commands.h"
#include "proxy/cli_explain.h"
#include "proxy/cli_tables.h"

namespace portunus::proxy {
namespace {

// More than any answer has; it is held in memory.
constexpr std::size_t kAnswerMax = std::size_t{256} * 1024 * 1024;

constexpr const char* kTokenVariable = "PORTUNUS_ADMIN_TOKEN";
constexpr std::string_view kReady = "/readyz";

struct Answer {
  base::Error error;
  std::uint16_t status = 0;
  std::string body;
};

// Waits for one answer, then ends the loop.
class Wait final : public http::FetchHandler {
 public:
  Wait(net::Loop& loop, http::Fetcher& fetcher) : loop_(loop), fetcher_(fetcher) {}

  void on_fetch_done(const http::FetchResult& result) override {
    answer.error = result.error;
    if (result.head != nullptr) answer.status = result.head->status;
    answer.body = result.body;
    fetcher_.close_all();
    loop_.stop();
  }

  Answer answer;

 private:
  net::Loop& loop_;
  http::Fetcher& fetcher_;
};

Answer fetch(http::FetchRequest request) {
  net::Loop loop;
  http::Fetcher fetcher(loop);
  Wait wait(loop, fetcher);
  loop.post([&] { fetcher.start(std::move(request), wait); });
  loop.run();
  return std::move(wait.answer);
}

std::expected<net::Address, std::string> resolve(const conf::Address& address) {
  const std::string host =
      address.host.empty() || address.host == "localhost" ? "127.0.0.1" : address.host;
  const auto parsed = net::Address::parse_ip(host, address.port);
  if (!parsed) return std::unexpected("`" + address.host + "` is not an IP address or localhost");
  return *parsed;
}

// Where the admin interface is, and what it may want.
struct Target {
  net::Address address;
  std::string token;  // empty = not known
  conf::TokenFor token_for = conf::TokenFor::all;

  // No more often than needed: nobody can tell who listens there while the proxy does not run.
  [[nodiscard]] bool wants_token(http::Method method, std::string_view path) const {
    if (token.empty() || path == kReady) return false;
    return method != http::Method::get || token_for == conf::TokenFor::all;
  }
};

// Empty when there is none.
std::expected<std::string, int> token_of_environment(CliOutput& output) {
  const char* const text =
      std::getenv(kTokenVariable);  // NOLINT(concurrency-mt-unsafe): one thread
  if (text == nullptr) return std::string();
  if (conf::is_target_text(text)) return text;
  output.err += "portunus: " + std::string(kTokenVariable) +
                " holds no token: letters, digits and marks only; no spaces\n";
  return std::unexpected(exit_usage);
}

// Out of the options, the environment and the file; else the exit status.
std::expected<Target, int> find_admin(const AdminCall& call, CliOutput& output) {
  auto token = token_of_environment(output);
  if (!token) return std::unexpected(token.error());
  if (!call.address.empty()) {
    const auto address = conf::parse_address(call.address);
    const auto resolved = address ? resolve(*address) : std::unexpected(address.error());
    if (resolved) return Target{*resolved, std::move(*token)};
    output.err += "portunus: --admin: " + resolved.error() + '\n';
    return std::unexpected(exit_usage);
  }
  const auto config = load_config(call.config_file, "admin address", "--admin ADDRESS", output);
  if (!config) return std::unexpected(config.error());
  const conf::Admin& admin = config->model->admin;
  if (!admin.is_enabled) {
    output.err +=
        "portunus: " + config->file + " has `admin.listen: off`; SIGHUP reloads without it\n";
    return std::unexpected(exit_unreachable);
  }
  const auto resolved = resolve(admin.listen);
  if (resolved) {
    return Target{*resolved, token->empty() ? admin.token : *token, admin.token_for};
  }
  output.err += "portunus: " + config->file + ": " + resolved.error() + '\n';
  return std::unexpected(exit_refused);
}

int explain(const Answer& answer,
            const net::Address& address,
            const AdminCall& call,
            CliOutput& output) {
  if (answer.error.reason == base::EndReason::upstream_timeout) {
    output.err += "portunus: no answer from " + address.text() + " within " +
                  conf::format_duration(call.timeout) + '\n';
    return exit_timed_out;
  }
  output.err +=
      "portunus: " + address.text() + " does not answer: " + answer.error.detail +
      "\n          Is the proxy running? If its file has just moved `admin.listen`, name the "
      "old address with --admin ADDRESS.\n";
  return exit_unreachable;
}

// By a proxy that has ended while it was asked; http/reply.h makes such bodies.
bool is_cut_short(const Answer& answer) {
  constexpr std::string_view kShutdown = R"("reason":"shutdown")";
  return answer.error.reason == base::EndReason::upstream_reset ||
         (answer.status == 503 && answer.body.find(kShutdown) != std::string::npos);
}

// When it has been replaced, the next one has the same sockets, and is asked then. Everything that is
// asked here may be asked twice.
Answer fetch_from_any(const http::FetchRequest& request) {
  constexpr int kProxies = 5;
  const std::uint64_t begin_ms = base::monotonic_ns() / 1'000'000;
  http::FetchRequest next = request;
  Answer answer;
  for (int i = 0; i < kProxies; ++i) {
    answer = fetch(next);
    const std::uint64_t past_ms = base::monotonic_ns() / 1'000'000 - begin_ms;
    if (!is_cut_short(answer) || past_ms >= request.timeout_ms) break;
    next.timeout_ms = request.timeout_ms - past_ms;
  }
  return answer;
}

// One request; the exit status when no answer came.
std::expected<Answer, int> ask(http::Method method,
                               const std::string& target,
                               const AdminCall& call,
                               CliOutput& output,
                               std::string body = {}) {
  const std::expected<Target, int> proxy = find_admin(call, output);
  if (!proxy) return std::unexpected(proxy.error());
  http::FetchRequest request;
  request.address = proxy->address;
  request.method = method;
  request.host = proxy->address.text();
  request.target = target;
  request.user_agent = "portunus";
  request.fields.push_back({"accept", "application/json"});
  if (proxy->wants_token(method, target)) {
    request.fields.push_back({"authorization", "Bearer " + proxy->token});
  }
  request.timeout_ms = static_cast<std::uint64_t>(call.timeout.count());
  request.body_max = kAnswerMax;
  request.body = std::move(body);
  Answer answer = fetch_from_any(request);
  if (answer.error.is_error())
    return std::unexpected(explain(answer, proxy->address, call, output));
  return answer;
}

int report_status(const Answer& answer, CliOutput& output) {
  const std::string message = error_text(answer.body);
  output.err += "portunus: the proxy answered " + std::to_string(answer.status) +
                (message.empty() ? "" : ": " + message) + '\n';
  if (answer.status == 401) {
    output.err += "          It was taken from " + std::string(kTokenVariable) +
                  ", else from the file of -c (not with --admin). The proxy wants the\n"
                  "          one that it has loaded; SIGHUP reloads without any.\n";
  }
  return exit_refused;
}

int report_strange(CliOutput& output) {
  output.err += "portunus: the answer is not one of Portunus' admin interface\n";
  return exit_unreachable;
}

// Prints an answer's JSON, or what `format` makes of it.
template <typename Format>
int show(const Answer& answer, const AdminCall& call, CliOutput& output, Format format) {
  if (answer.status != 200) return report_status(answer, output);
  if (call.as_json) {
    output.out += answer.body;
    return exit_ok;
  }
  const std::optional<std::string> text = format(answer.body);
  if (!text) return report_strange(output);
  output.out += *text;
  return exit_ok;
}

// Everything but letters, digits and a few marks escaped.
std::string encode(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_';
    if (plain) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4U], kDigits[byte & 15U]};
    }
  }
  return out;
}

}  // namespace

int reload_config(const AdminCall& call, CliOutput& output) {
  const auto answer = ask(http::Method::post, "/v1/config/reload", call, output);
  if (!answer) return answer.error();
  if (answer->status != 200 && answer->status != 422) return report_status(*answer, output);
  const std::optional<ReloadText> text = reload_text(answer->body);
  if (!text) return report_strange(output);
  if (call.as_json) {
    output.out += answer->body;
  } else {
    output.err += text->diagnostics;
    (text->ok ? output.out : output.err) += text->outcome + '\n';
  }
  return text->ok ? exit_ok : exit_refused;
}

int show_status(const AdminCall& call, CliOutput& output) {
  const auto answer = ask(http::Method::get, "/v1/status", call, output);
  return answer ? show(*answer, call, output, status_text) : answer.error();
}

int show_pools(const AdminCall& call, const std::string& pool, CliOutput& output) {
  const std::string target = pool.empty() ? "/v1/pools" : "/v1/pools/" + encode(pool);
  const auto answer = ask(http::Method::get, target, call, output);
  return answer ? show(*answer, call, output, pools_text) : answer.error();
}

int explain_request(const AdminCall& call, std::string question, CliOutput& output) {
  const auto answer =
      ask(http::Method::post, "/v1/routes/explain", call, output, std::move(question));
  return answer ? show(*answer, call, output, explanation_text) : answer.error();
}

int show_certificates(const AdminCall& call, CliOutput& output) {
  const auto answer = ask(http::Method::get, "/v1/certificates", call, output);
  return answer ? show(*answer, call, output, certificates_text) : answer.error();
}

int order_member(const AdminCall& call, const MemberCall& wanted, CliOutput& output) {
  const std::string_view verb = wanted.verb;
  std::string target = "/v1/pools/" + encode(wanted.pool) + "/upstreams/" + encode(wanted.member) +
                       '/' + wanted.verb;
  AdminCall patient = call;
  if (wanted.wait.count() > 0) {
    target += "?wait=" + conf::format_duration(wanted.wait);
    patient.timeout += wanted.wait;
  }
  const bool is_weight = verb == "weight";
  std::string body;
  if (is_weight) {
    body = "{\"weight\":" + (wanted.weight == 0 ? "null" : std::to_string(wanted.weight)) + '}';
  }
  const auto answer = ask(is_weight ? http::Method::put : http::Method::post, target, patient,
                          output, std::move(body));
  if (!answer) return answer.error();
  const bool is_late = answer->status == 504;
  if (answer->status != 200 && !is_late) return report_status(*answer, output);
  if (call.as_json) {
    output.out += answer->body;
  } else {
    const std::optional<std::string> text = member_text(answer->body);
    if (!text) return report_strange(output);
    output.out += *text;
  }
  if (!is_late) return exit_ok;
  output.err += "portunus: requests are still in flight after " +
                conf::format_duration(wanted.wait) + "; no new ones come\n";
  return exit_timed_out;
}

int check_health(const AdminCall& call, CliOutput& output) {
  const auto answer = ask(http::Method::get, std::string(kReady), call, output);
  if (!answer) return answer.error();
  const bool is_ready = answer->status == 200;
  std::string reason = printable(answer->body, true);
  if (!reason.ends_with('\n')) reason += '\n';
  if (is_ready) {
    output.out += reason;
  } else {
    output.err += "not ready: " + reason;
  }
  return is_ready ? exit_ok : exit_refused;
}

}  // namespace portunus::proxy
