#!/usr/bin/env python3
"""tools/summary.py must never call a bad run good."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import summary  # noqa: E402


class SummaryTest(unittest.TestCase):
    def summarise(self, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, cases in files.items():
                Path(folder, name).write_text(f"<testsuite>{cases}</testsuite>")
            passed, failed, skipped = summary.summarise(Path(folder))
            return passed, len(failed), len(skipped)

    RUN = '<testcase name="unit" status="run"/>'
    FAIL = '<testcase name="unit" status="fail"><failure/></testcase>'

    def test_cases_are_counted(self):
        cases = '<testcase name="a"/><testcase name="b"/><testcase name="c"><skipped/></testcase>'
        self.assertEqual(self.summarise({"ctest.xml": self.RUN, "unit.xml": cases}), (2, 0, 1))

    def test_a_failed_case(self):
        cases = '<testcase name="a"/><testcase name="b"><failure/></testcase>'
        self.assertEqual(self.summarise({"ctest.xml": self.FAIL, "unit.xml": cases}), (1, 1, 0))

    def test_a_crash_without_results(self):
        self.assertEqual(self.summarise({"ctest.xml": self.FAIL}), (0, 1, 0))

    def test_a_crash_after_good_cases(self):
        self.assertEqual(self.summarise({"ctest.xml": self.FAIL, "unit.xml": '<testcase name="a"/>'}), (1, 1, 0))

    def test_an_entry_without_cases(self):
        self.assertEqual(self.summarise({"ctest.xml": self.RUN}), (1, 0, 0))

    def test_a_skipped_entry(self):
        entry = '<testcase name="e2e" status="notrun"><skipped/></testcase>'
        self.assertEqual(self.summarise({"ctest.xml": self.RUN + entry}), (1, 0, 1))

    def test_nothing_ran(self):
        self.assertEqual(self.summarise({})[1], 1)
        self.assertEqual(self.summarise({"ctest.xml": ""})[1], 1)


if __name__ == "__main__":
    unittest.main()
