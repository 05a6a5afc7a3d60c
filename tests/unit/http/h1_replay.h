// Feeds a message to H1Parser in any cut and writes down all that came out of it, as one comparable
// text: for the tests and fuzz targets of the parser.
#pragma once

#include <string>
#include <string_view>

#include "http/h1_parser.h"

namespace portunus::http {

class H1Replay final : public H1ParserSink {
 public:
  explicit H1Replay(MessageLimits limits = {}) : limits_(limits), arena_(pool_) {}

  // How the response parser is started.
  Method request_method = Method::get;
  bool upgrade_asked = false;

  // Runs over `text`, cut at the multiples of `step` (0: not cut) and at `cut`.
  void run(bool is_request, std::string_view text, std::size_t step, std::size_t cut) {
    if (is_request) {
      parser.start_request(arena_, head, *this, limits_);
    } else {
      parser.start_response(arena_, head, *this, limits_, {request_method, upgrade_asked});
    }
    result = H1Parser::Result::need_more;
    while (consumed < text.size() && result == H1Parser::Result::need_more) {
      std::size_t size = text.size() - consumed;
      if (step != 0 && step < size) size = step;
      if (consumed < cut && cut < consumed + size) size = cut - consumed;
      // A copy of its own on the heap: a read past its end, or into it later, is seen by ASan.
      const std::string piece(text.substr(consumed, size));
      const auto progress = parser.feed({piece.data(), piece.size()});
      result = progress.result;
      if (progress.consumed > size) {
        result = H1Parser::Result::failed;
        overrun = true;
        return;
      }
      if (result == H1Parser::Result::need_more && progress.consumed != size) overrun = true;
      consumed += progress.consumed;
    }
  }
  void finish() { result = parser.finish(); }

  void on_message_head() override {
    ++heads;
    head_text = describe_head();
  }
  void on_message_body(std::span<const char> bytes) override {
    body.append(bytes.data(), bytes.size());
  }

  // Everything seen. Where a message failed, how far it was taken is left out: it depends on the
  // cut.
  [[nodiscard]] std::string describe() const {
    static constexpr const char* kResults[] = {"need_more", "complete", "upgraded", "failed",
                                               "stopped"};
    std::string text = kResults[static_cast<int>(result)];
    if (overrun) text += " OVERRUN";
    text += " heads=" + std::to_string(heads);
    if (result == H1Parser::Result::failed) {
      text +=
          " " + std::string(base::name_of(parser.error().reason)) + ": " + parser.error().detail;
    } else {
      text += " consumed=" + std::to_string(consumed);
    }
    text += "\n" + head_text + "body=" + body + "\n";
    if (parser.trailers() != nullptr && result != H1Parser::Result::failed) {
      text += describe_fields(*parser.trailers());
    }
    return text;
  }
  [[nodiscard]] std::string describe_head() const {
    std::string text = std::string(head.method_text) + "|" + std::string(head.scheme) + "|" +
                       std::string(head.authority) + "|" + std::string(head.host) + "|" +
                       std::string(head.path) + (head.has_query ? "?" : "") +
                       std::string(head.query) + "|" + std::to_string(head.status) + "|" +
                       std::string(head.reason) + "|" + std::string(name_of(head.protocol));
    text += head.expects_continue ? "|expects" : "";
    text += head.upgrade ? "|upgrade " + std::string(head.upgrade_token) : "";
    text += "|body " + std::to_string(static_cast<int>(head.body)) + " " +
            std::to_string(head.content_length);
    text += parser.keeps_alive() ? "|keep" : "|close";
    return text + "\n" + describe_fields(head.fields);
  }
  static std::string describe_fields(const HeaderBlock& fields) {
    std::string text;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      if (fields.is_removed(i)) continue;
      text +=
          std::string(fields.field(i).name()) + ": " + std::string(fields.field(i).value()) + "\n";
    }
    return text;
  }

 private:
  MessageLimits limits_;
  base::ChunkPool pool_;
  base::Arena arena_;

 public:
  Head head;
  H1Parser parser;
  H1Parser::Result result = H1Parser::Result::need_more;
  std::size_t consumed = 0;
  int heads = 0;
  bool overrun = false;
  std::string head_text;
  std::string body;
};

}  // namespace portunus::http
