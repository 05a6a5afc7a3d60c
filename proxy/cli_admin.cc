#include "proxy/cli_admin.h"

#include <expected>
#include <optional>

#include "conf/load.h"
#include "conf/units.h"
#include "http/fetch.h"
#include "net/loop.h"
#include "proxy/cli_commands.h"
#include "proxy/cli_tables.h"

namespace portunus::proxy {
namespace {

// More than any answer has; it is held in memory.
constexpr std::size_t kAnswerMax = std::size_t{256} * 1024 * 1024;

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

// The admin address out of the option or the file; else the exit status.
std::expected<net::Address, int> find_admin(const AdminCall& call, CliOutput& output) {
  if (!call.address.empty()) {
    const auto address = conf::parse_address(call.address);
    const auto resolved = address ? resolve(*address) : std::unexpected(address.error());
    if (resolved) return *resolved;
    output.err += "portunus: --admin: " + resolved.error() + '\n';
    return std::unexpected(exit_usage);
  }
  const std::optional<std::string> file = find_config_file(call.config_file, output);
  if (!file) return std::unexpected(exit_usage);
  const conf::LoadResult result = conf::load_file(*file);
  if (result.model == nullptr) {
    output.err += conf::format_text(result.diagnostics);
    output.err += "portunus: " + *file +
                  " is not valid, so the admin address is not known; the running proxy was not "
                  "asked and is unchanged\n"
                  "          (--admin ADDRESS asks it whatever the file says)\n";
    return std::unexpected(exit_refused);
  }
  if (!result.model->admin.is_enabled) {
    output.err += "portunus: " + *file + " has `admin.listen: off`; SIGHUP reloads without it\n";
    return std::unexpected(exit_unreachable);
  }
  const auto resolved = resolve(result.model->admin.listen);
  if (resolved) return *resolved;
  output.err += "portunus: " + *file + ": " + resolved.error() + '\n';
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

// One request; the exit status when no answer came.
std::expected<Answer, int> ask(http::Method method,
                               const std::string& target,
                               const AdminCall& call,
                               CliOutput& output) {
  const std::expected<net::Address, int> address = find_admin(call, output);
  if (!address) return std::unexpected(address.error());
  http::FetchRequest request;
  request.address = *address;
  request.method = method;
  request.host = address->text();
  request.target = target;
  request.user_agent = "portunus";
  request.fields.push_back({"accept", "application/json"});
  request.timeout_ms = static_cast<std::uint64_t>(call.timeout.count());
  request.body_max = kAnswerMax;
  Answer answer = fetch(std::move(request));
  if (answer.error.is_error()) return std::unexpected(explain(answer, *address, call, output));
  return answer;
}

int report_status(const Answer& answer, CliOutput& output) {
  const std::string message = error_text(answer.body);
  output.err += "portunus: the proxy answered " + std::to_string(answer.status) +
                (message.empty() ? "" : ": " + message) + '\n';
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

int check_health(const AdminCall& call, CliOutput& output) {
  const auto answer = ask(http::Method::get, "/readyz", call, output);
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
