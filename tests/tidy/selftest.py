#!/usr/bin/env python3
"""The tidy test on small made-up trees: each rule must be able to fail, and must leave good code alone."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import tidy_test  # noqa: E402

GOOD_HEADER = "// What it is for.\n#pragma once\n"


class TidyTest(unittest.TestCase):
    def findings(self, files, rule=None):
        """Findings of one rule, or {rule: findings} of all."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            results = tidy_test.run(tidy_test.Tree(folder), [rule] if rule else ())
        return results[rule] if rule else results

    def assert_bad(self, rule, files, count=1, word=""):
        found = self.findings(files, rule)
        self.assertEqual(len(found), count, found)
        self.assertIn(word, found[0])

    def assert_good(self, rule, files):
        self.assertEqual(self.findings(files, rule), [])

    def test_include_graph(self):
        header = {"net/a.h": GOOD_HEADER, "proxy/p.h": GOOD_HEADER, "base/b.h": GOOD_HEADER}
        self.assert_bad("include_graph", {**header, "base/x.cc": '#include "net/a.h"\n'}, word="base/x.cc:1")
        self.assert_bad("include_graph", {**header, "health/x.cc": '#include "proxy/p.h"  // why not\n'})
        self.assert_bad("include_graph", {**header, "net/x.cc": '#include "a.h"\n'}, word="project root")
        self.assert_bad("include_graph", {**header, "net/x.cc": '#include "base/gone.h"\n'}, word="does not exist")
        self.assert_bad("include_graph", {"net/x.cc": "#include <llhttp.h>\n"}, word="http")
        self.assert_good("include_graph", {**header, "net/x.cc": '#include "net/a.h"\n#include "base/b.h"\n'
                                                                 '// #include "proxy/p.h"\n#include "base/version.h"\n'})

    def test_heavy_headers(self):
        self.assert_bad("heavy_headers", {"conf/x.h": GOOD_HEADER + "#include <yaml.h>\n#include <functional>\n"}, 2)
        self.assert_good("heavy_headers", {"conf/x.cc": "#include <yaml.h>\n", "conf/x.h": GOOD_HEADER})

    def test_each_banned_word_is_found(self):
        samples = {
            "function": "std::function<void()> f;", "map": "std::map<int, int> m;", "list": "std::list<int> l;",
            "regex": "std::regex r;", "string": "auto s = std::to_string(1);", "shared_ptr": "std::shared_ptr<int> p;",
            "dynamic_cast": "dynamic_cast<X*>(y);", "new": "auto* p = new X;", "lock": "std::mutex m;",
            "iostream": "std::cout << 1;", "exception": "throw 1;", "capture_all": "auto f = [=] { return x; };",
        }
        self.assertEqual(set(samples), set(tidy_test.BANNED))
        for rule, code in samples.items():
            for name in ("net/x.cc", "http/x.cc", "proxy/pool.cc"):
                self.assert_bad("data_path", {name: f"void f();\n{code}\n"}, word=f"{name}:2: {rule}")
            for name in ("proxy/admin_views.cc", "proxy/control.cc", "conf/x.cc", "proxy/main.cc"):
                self.assert_good("data_path", {name: code})

    def test_banned_words_as_words_only(self):
        self.assert_good("data_path", {"http/x.cc": """
            // a new std::map would throw
            /* std::mutex
               std::regex */
            const char* text = "std::function new throw";
            const char* raw = R"(std::list
              try {)";
            X(const X&) = delete;
            std::unordered_map<int, int> newer_list;
            int thousand = 1'000; char quote = '"'; int value = new_value; std::string_view view;
        """})
        self.assert_bad("data_path", {"http/x.cc": "char quote = '\"'; std::mutex m;\n"})
        self.assert_bad("data_path", {"http/x.cc": "int n = 1'000; std::mutex m; int k = 2'000;\n"})
        self.assert_bad("data_path", {"http/x.cc": 'auto s = "\\""; delete p; auto t = "";\n'})
        self.assert_good("data_path", {"base/slab.cc": "auto* p = new X; std::free(p);"})

    def test_protocol_names(self):
        for code in ("H1Client* c;", '#include "http/h1_client.h"', "bool is_h2 = false;", "if (h2) return;"):
            self.assert_bad("protocol_names", {"proxy/exchange_reply.cc": code}, word="protocol")
        self.assert_good("protocol_names", {"proxy/attempt.cc": "// h1 closes\nint hash1; int width2 = 3;",
                                            "proxy/worker.cc": "H1Server s;"})

    def test_coroutines(self):
        for word in ("co_await f();", "co_return;", "co_yield 1;", "#include <coroutine>"):
            self.assert_bad("coroutines", {"tests/unit/base/x_test.cc": word})
        self.assert_good("coroutines", {"base/x.cc": "// no co_await here\n"})

    def test_vocabulary(self):
        for code in ("int downstream;", "// the backend answers", "class BackEnd {};", "Frontend f;", "int origin_host;",
                     "class OriginServer {};"):
            self.assert_bad("vocabulary", {"proxy/pool.cc": code})
        self.assert_good("vocabulary", {"proxy/pool.cc": "auto o = head.find(HeaderId::origin); Cors cors_origins;\n"
                                                         'const char* key = "origins"; int original; // origin form\n'})

    def test_documents(self):
        files = {"base/error.h": GOOD_HEADER, "base/error.cc": "", "docs/guide.md": "[x](../README.md) [y](https://a/b)"}
        good = "`base/error.h/.cc`, `base/error.{h,cc}`, `base/*.h`, `base/`, `/health`, `text/plain`\n" \
               "```\n`base/gone.h`\n```\n"
        self.assert_good("documents", {**files, "README.md": good})
        self.assert_bad("documents", {**files, "README.md": "see `base/gone.h`"}, word="README.md:1")
        self.assert_bad("documents", {**files, "README.md": "`base/error.h/.cpp`"})
        self.assert_bad("documents", {**files, "README.md": "", "docs/deep/a.md": "\n[x](gone.md#part)"}, word=":2")
        self.assert_bad("documents", {**files, "README.md": "`base/gone_*.cc`"})

    def test_mirrors(self):
        self.assert_good("mirrors", {"http/h1_parser.cc": "", "tests/unit/http/h1_parser_test.cc": "",
                                     "tests/unit/http/h1_parser_splits_test.cc": ""})
        self.assert_bad("mirrors", {"http/h1_parser.cc": "", "tests/unit/net/h1_parser_test.cc": ""})
        self.assert_bad("mirrors", {"http/h1_parser.cc": "", "tests/unit/http/h1_test.cc": ""})
        self.assert_bad("mirrors", {"http/h1.cc": "", "tests/unit/http/h1_tests.cc": ""})

    def test_headers_compile_alone(self):
        self.assert_good("headers", {"base/x.h": GOOD_HEADER + "#include <string>\ninline std::string f() { return {}; }\n"})
        self.assert_bad("headers", {"base/x.h": GOOD_HEADER + "std::string f();\n"}, word="does not compile alone")
        self.assert_bad("headers", {"base/x.h": "// No guard.\nvoid f();\n"}, word="pragma once")
        self.assert_bad("headers", {"base/x.h": "#pragma once\nvoid f();\n"}, word="comment")

    def test_header_result_is_not_remembered_past_a_change_below(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "base").mkdir()
            Path(folder, "base/a.h").write_text(GOOD_HEADER + "using Count = int;\n")
            Path(folder, "base/b.h").write_text(GOOD_HEADER + '#include "base/a.h"\nCount f();\n')
            self.assertEqual(tidy_test.headers(tidy_test.Tree(folder)), [])
            self.assertEqual(tidy_test.headers(tidy_test.Tree(folder)), [])
            Path(folder, "base/a.h").write_text(GOOD_HEADER)
            self.assertEqual(len(tidy_test.headers(tidy_test.Tree(folder))), 1)

    def test_allowances(self):
        code = "std::mutex m;  // allow(lock): only at start\n// allow(new, function): at start, too\n\nF f = new std::function<void()>;\n"
        bounds = {"tests/tidy/allowances.txt": "# bounds\nlock 1  # loop.h\nnew 1\nfunction 1\n"}
        self.assertFalse(any(self.findings({"net/x.cc": code, **bounds}).values()))
        for text, word in (("std::mutex m;  // allow(lock)\n", "says no reason"),
                           ("std::mutex m;  // allow(lock):\n", "says no reason"),
                           ("int m;  // allow(lock): was here\n", "take it away"),
                           ("int m;  // allow(locks): hm\n", "no such rule"),
                           ("std::mutex m;  // allow(lock): a\nstd::mutex n;  // allow(lock): b\n", "bounds them at 1")):
            found = self.findings({"net/x.cc": text, **bounds})
            self.assertEqual(len(found["allowances"]), 1, found)
            self.assertIn(word, found["allowances"][0])
        self.assertTrue(self.findings({"net/x.cc": "std::mutex m;  // allow(new): wrong rule\n", **bounds})["data_path"])


if __name__ == "__main__":
    unittest.main()
