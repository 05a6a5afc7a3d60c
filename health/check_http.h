// A check that a member answers a GET, or a call of gRPC's health service, as it should: what is asked, how the answer is judged, and
// the two around one http::Fetch. `expect.status` is judged by the head alone; only `expect.body`
// waits for the body, of which the first kBodyMax bytes count. Owned by its user, which cancels it
// before it goes. Control thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "conf/model.h"
#include "health/check.h"
#include "http/fetch.h"

namespace portunus::health {

inline constexpr std::size_t kBodyMax = std::size_t{64} * 1024;  // bytes
inline constexpr std::string_view kProbeAgent = "portunus-probe";

// `address`: with the port that is probed. `name`: the member's, used as Host when the settings
// have none.
[[nodiscard]] http::FetchRequest request_of_check(const conf::Health& settings,
                                                  const net::Address& address,
                                                  std::string_view name);
[[nodiscard]] CheckResult judge_answer(const conf::Health& settings,
                                       const http::FetchResult& answer);
// What every probe begins with; empty without `proxy_protocol`.
[[nodiscard]] std::string probe_introduction(const conf::Health& settings);
// What a failed connect or a broken answer says about the member.
[[nodiscard]] CheckResult judge_failure(const base::Error& error, bool is_late);

class HttpCheck final : private http::FetchHandler {
 public:
  explicit HttpCheck(http::Fetcher& fetcher) : fetcher_(&fetcher) {}
  HttpCheck(const HttpCheck&) = delete;
  HttpCheck& operator=(const HttpCheck&) = delete;
  ~HttpCheck() = default;

  // on_check_done() follows in a later turn. `settings` live until then or until cancel().
  void start(const ProbeSettings& settings,
             const net::Address& address,
             std::string_view name,
             CheckHandler& handler);
  // No result will come. Harmless when none runs.
  void cancel();

 private:
  void on_fetch_done(const http::FetchResult& result) override;

  http::Fetcher* fetcher_;
  http::Fetch* fetch_ = nullptr;  // while it runs
  const conf::Health* settings_ = nullptr;
  CheckHandler* handler_ = nullptr;
};

}  // namespace portunus::health
