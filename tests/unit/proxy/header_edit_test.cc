#include "proxy/header_edit.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace portunus::proxy {
namespace {

class HeaderEdit : public testing::Test {
 protected:
  [[nodiscard]] std::string text() const {
    std::string text;
    for (std::size_t i = 0; i < fields_->size(); ++i) {
      if (fields_->is_removed(i)) continue;
      text += std::string(fields_->field(i).name()) + ": " +
              std::string(fields_->field(i).value()) + "\n";
    }
    return text;
  }
  void add(std::string_view name, std::string_view value) {
    ASSERT_TRUE(fields_->add(name, value));
  }

  std::unique_ptr<http::HeaderBlock> fields_ = std::make_unique<http::HeaderBlock>();
};

TEST_F(HeaderEdit, NothingToDoChangesNothing) {
  add("accept", "*/*");
  EXPECT_TRUE(apply_header_changes({nullptr, nullptr}, *fields_));
  EXPECT_EQ(text(), "accept: */*\n");
}

TEST_F(HeaderEdit, RemovesThenSetsThenAdds) {
  add("server", "x");
  add("x-powered-by", "php");
  add("x-powered-by", "more");
  add("x-keep", "1");
  const conf::HeaderChanges changes{.set = {{"x-keep", "2"}, {"x-powered-by", "us"}},
                                    .add = {{"x-keep", "3"}, {"set-cookie", "a=b"}},
                                    .remove = {"server", "x-powered-by", "not-there"},
                                    .defaults = {}};
  EXPECT_TRUE(apply_header_changes({nullptr, &changes}, *fields_));
  EXPECT_EQ(text(), "x-keep: 2\nx-powered-by: us\nx-keep: 3\nset-cookie: a=b\n");
}

TEST_F(HeaderEdit, DefaultsAreForWhatTheMessageHasNot) {
  add("x-frame-options", "DENY");
  conf::HeaderChanges changes;
  changes.defaults = {{"x-frame-options", "SAMEORIGIN"}, {"referrer-policy", "no-referrer"}};
  EXPECT_TRUE(apply_header_changes({&changes, nullptr}, *fields_));
  EXPECT_EQ(text(), "x-frame-options: DENY\nreferrer-policy: no-referrer\n");
}

TEST_F(HeaderEdit, TheRouteComesAfterTheSite) {
  const conf::HeaderChanges site{
      .set = {{"cache-control", "no-store"}}, .add = {}, .remove = {}, .defaults = {}};
  const conf::HeaderChanges route{
      .set = {{"cache-control", "public"}}, .add = {}, .remove = {}, .defaults = {}};
  EXPECT_TRUE(apply_header_changes({&site, &route}, *fields_));
  EXPECT_EQ(text(), "cache-control: public\n");
}

TEST_F(HeaderEdit, FramingAndConnectionFieldsAreLeftAlone) {
  const char* names[] = {"content-length", "transfer-encoding", "connection",
                         "keep-alive",     "upgrade",           "te",
                         "trailer",        "proxy-connection"};
  std::string before;
  conf::HeaderChanges changes;
  for (const char* name : names) {
    add(name, "was");
    changes.remove.emplace_back(name);
    changes.set.push_back({name, "new"});
    changes.add.push_back({name, "more"});
  }
  before = text();
  EXPECT_TRUE(apply_header_changes({&changes, nullptr}, *fields_));
  EXPECT_EQ(text(), before);
}

TEST_F(HeaderEdit, HostIsSetButNeitherRemovedNorDoubled) {
  add("host", "a.example");
  const conf::HeaderChanges remove{
      .set = {}, .add = {{"host", "c.example"}}, .remove = {"host"}, .defaults = {}};
  EXPECT_TRUE(apply_header_changes({&remove, nullptr}, *fields_));
  EXPECT_EQ(text(), "host: a.example\n");
  const conf::HeaderChanges set{
      .set = {{"host", "b.example"}}, .add = {}, .remove = {}, .defaults = {}};
  EXPECT_TRUE(apply_header_changes({&set, nullptr}, *fields_));
  EXPECT_EQ(text(), "host: b.example\n");
}

TEST_F(HeaderEdit, SaysWhenTheBlockIsFull) {
  for (std::size_t i = 0; i < http::HeaderBlock::kCapacity; ++i)
    add("x-a", "1");
  const conf::HeaderChanges add_one{.set = {}, .add = {{"x-b", "1"}}, .remove = {}, .defaults = {}};
  EXPECT_FALSE(apply_header_changes({&add_one, nullptr}, *fields_));
  const conf::HeaderChanges set_one{.set = {{"x-b", "1"}}, .add = {}, .remove = {}, .defaults = {}};
  EXPECT_FALSE(apply_header_changes({nullptr, &set_one}, *fields_));
}

}  // namespace
}  // namespace portunus::proxy
