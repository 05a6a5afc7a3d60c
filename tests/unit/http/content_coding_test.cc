#include "http/content_coding.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace portunus::http {
namespace {

constexpr ContentCoding kZstdBrGzip[] = {ContentCoding::zstd, ContentCoding::br,
                                         ContentCoding::gzip};

std::string chosen(const std::vector<std::string>& accepted,
                   std::span<const ContentCoding> preferred = kZstdBrGzip) {
  HeaderBlock fields;
  for (const std::string& value : accepted)
    fields.add(HeaderId::accept_encoding, value);
  const auto coding = choose_coding(fields, preferred);
  return coding ? std::string(name_of(*coding)) : "";
}

TEST(ContentCoding, TheHighestWeightThenOurOrder) {
  struct Row {
    const char* accepted;
    const char* coding;
  };
  const Row rows[] = {
      {"gzip", "gzip"},
      {"gzip, deflate, br, zstd", "zstd"},
      {"gzip, deflate, br", "br"},
      {"GZip", "gzip"},
      {"x-gzip", "gzip"},
      {"br;q=0.5, gzip;q=0.8", "gzip"},
      {"br;q=0.501, gzip;q=0.5", "br"},
      {"zstd;q=0, gzip", "gzip"},
      {"zstd;q=0.000, br;q=0.0, gzip;q=0", ""},
      {"*", "zstd"},
      {"*;q=0", ""},
      {"*;q=0.1, gzip;q=0.2", "gzip"},
      {"*, zstd;q=0, br;q=0", "gzip"},
      {"gzip ; q=0.5", "gzip"},
      {"gzip\t;\tQ=1.000", "gzip"},
      {"identity", ""},
      {"identity, gzip;q=0.5", ""},
      {"identity;q=0.5, gzip", "gzip"},
      {"identity, gzip", "gzip"},
      {"identity;q=0", ""},
      {"identity;q=0, *;q=0", ""},
      {"deflate, compress", ""},
      {"gzipped, xgzip, brr", ""},
      {"", ""},
      {" , ,gzip,", "gzip"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(chosen({row.accepted}), row.coding) << row.accepted;
}

TEST(ContentCoding, WhatIsOutsideTheGrammarIsPassedOver) {
  for (const char* const text :
       {"gzip;q=2", "gzip;q=1.001", "gzip;q=0.0001", "gzip;q=-1", "gzip;q=.5", "gzip;q=", "gzip;q",
        "gzip;p=1", "gzip q=1", "gzip;q=1;q=0", "gzip;q=0x1", "\"gzip\""}) {
    EXPECT_EQ(chosen({text}), "") << text;
  }
  EXPECT_EQ(chosen({"br;q=x, gzip;q=0.1"}), "gzip");
}

TEST(ContentCoding, OnlyWhatIsOffered) {
  constexpr ContentCoding kGzip[] = {ContentCoding::gzip};
  EXPECT_EQ(chosen({"br, zstd, gzip;q=0.1"}, kGzip), "gzip");
  EXPECT_EQ(chosen({"br, zstd"}, kGzip), "");
}

TEST(ContentCoding, SeveralFieldsAreOneAndNoneIsNone) {
  EXPECT_EQ(chosen({"br;q=0.5", "gzip"}), "gzip");
  EXPECT_EQ(chosen({}), "");
}

}  // namespace
}  // namespace portunus::http
