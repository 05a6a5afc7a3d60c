#!/usr/bin/env python3
"""Counts a test run: reads the JUnit files that the test programs and ctest wrote, prints what failed and, as the last
line, `N passed, N failed`.  An entry of ctest whose program left no file (it crashed, or writes none) counts as one.

    tools/summary.py build/release/test-results
"""

import sys
import xml.etree.ElementTree as xml
from pathlib import Path


def count_cases(path):
    """(passed, names of the failed, skipped) of one program's file, or None when it is not there or broken."""
    try:
        root = xml.parse(path).getroot()
    except (OSError, xml.ParseError):
        return None
    passed, failed, skipped = 0, [], 0
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(f"{case.get('classname', '')}.{case.get('name', '')}")
        elif case.find("skipped") is not None or case.get("status") == "notrun" or case.get("result") == "suppressed":
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def summarise(folder):
    passed, failed, skipped = 0, [], []
    try:
        entries = list(xml.parse(folder / "ctest.xml").getroot().iter("testcase"))
    except (OSError, xml.ParseError) as error:
        return 0, [f"no result of ctest: {error}"], []
    for entry in entries:
        name, status = entry.get("name", ""), entry.get("status", "")
        if entry.find("skipped") is not None and status != "fail":
            skipped.append(name)
            continue
        entry_failed = status == "fail" or entry.find("failure") is not None
        cases = count_cases(folder / f"{name}.xml")
        if cases is None:
            if entry_failed:
                failed.append(f"{name} (crashed, timed out, or left no result)")
            else:
                passed += 1
            continue
        passed += cases[0]
        failed += [f"{name}: {case}" for case in cases[1]]
        if cases[2]:
            skipped.append(f"{name}: {cases[2]} cases")
        if entry_failed and not cases[1]:
            failed.append(f"{name} (ended badly after its cases)")
    if not entries:
        failed.append("no tests ran")
    return passed, failed, skipped


def main():
    passed, failed, skipped = summarise(Path(sys.argv[1]))
    for name in skipped:
        print(f"skipped: {name}")
    for name in failed:
        print(f"failed: {name}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
