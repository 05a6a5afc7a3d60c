// A ConsulSource and agents that the test plays on real sockets, all in one thread: an agent is a
// listener, and each question comes on a connection of its own.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "discovery/source.h"
#include "tests/support/loop_driver.h"

namespace portunus::discovery {

// An entry of a healthy service at 10.0.0.N:80.
inline std::string consul_entry(int n, const std::string& status = "passing") {
  const std::string number = std::to_string(n);
  return R"({"Node":{"Node":"n1","Address":"10.0.0.)" + number + R"("},"Service":{"ID":"web-)" +
         number +
         R"(","Service":"web","Address":"","Port":80},"Checks":[{"CheckID":"c","Status":")" +
         status + R"("}]})";
}
// An answer's body with the instances 1 to `count`.
inline std::string consul_body(int count) {
  std::string body = "[";
  for (int n = 1; n <= count; ++n)
    body += (n > 1 ? "," : "") + consul_entry(n);
  return body + "]";
}

class ConsulTest : public testing::Test, private ConsulEvents {
 protected:
  ConsulTest() {
    agent_.listen();
    settings_.endpoints = {endpoint(agent_)};
    settings_.retry_min_ms = 100;
    settings_.retry_max_ms = 200;
  }
  ~ConsulTest() override {
    driver_.turn([&] {
      source_.stop();
      fetcher_.close_all();
    });
    EXPECT_TRUE(driver_.run_until([&] { return fetcher_.open() == 0; }));
  }

  static ConsulEndpoint endpoint(const test::PeerListener& listener) {
    return {.address = net::Address::parse_ip("127.0.0.1", listener.port()).value(), .host = {}};
  }
  static ServiceQuery query(const std::string& service = "web") {
    ServiceQuery query;
    query.service = service;
    return query;
  }
  void set(const std::vector<ServiceQuery>& queries) {
    driver_.turn([&] { source_.set(settings_, queries); });
  }
  // The first line and the fields of question `n` of an agent, as soon as it has come.
  std::string question(test::PeerListener& agent, std::size_t n) {
    const bool has_come = driver_.run_until([&] {
      return agent.peers.size() > n && agent.peers[n]->in.find("\r\n\r\n") != std::string::npos;
    });
    EXPECT_TRUE(has_come) << "question " << n << " did not come";
    return has_come ? agent.peers[n]->in : std::string();
  }
  std::string question(std::size_t n) { return question(agent_, n); }
  // All of an answer with these fields, which end in CR LF.
  static std::string answer(const std::string& fields,
                            const std::string& body,
                            const std::string& status = "200 OK") {
    return "HTTP/1.1 " + status + "\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  static std::string at_index(int index, const std::string& body) {
    return answer("X-Consul-Index: " + std::to_string(index) + "\r\n", body);
  }
  // Question `n` has come, and this is said to it; what was asked.
  std::string reply(test::PeerListener& agent, std::size_t n, const std::string& bytes) {
    std::string asked = question(agent, n);
    if (!asked.empty()) agent.peers[n]->send(bytes);
    return asked;
  }
  std::string reply(std::size_t n, const std::string& bytes) { return reply(agent_, n, bytes); }

  bool wait_for_lists(std::size_t count) {
    return driver_.run_until([&] { return lists_.size() >= count; });
  }
  bool wait_for_kept(KeptReason reason) {
    return driver_.run_until([&] { return status().kept == reason; });
  }
  [[nodiscard]] ServiceStatus status(const std::string& key = "web") const {
    return source_.status(key).value();
  }
  [[nodiscard]] std::size_t members() const { return status().instances->size(); }

  test::LoopDriver driver_;
  test::PeerListener agent_{driver_};
  http::Fetcher fetcher_{driver_.loop};
  ConsulSource source_{driver_.loop, fetcher_, *this};
  ConsulAgent settings_;
  std::vector<std::pair<std::string, InstanceList>> lists_;
  std::vector<std::pair<KeptReason, KeptReason>> kept_;  // was, is
  int first_lists_ = 0;

 private:
  void on_instances(const std::string& key, const InstanceList& instances) override {
    lists_.emplace_back(key, instances);
  }
  void on_kept(const ServiceStatus& status, KeptReason was) override {
    kept_.emplace_back(was, status.kept);
  }
  void on_first_lists() override { ++first_lists_; }
};

}  // namespace portunus::discovery
