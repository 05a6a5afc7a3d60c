#!/usr/bin/env python3
"""clang-tidy over all sources of ours, in parallel, remembering what was clean.

    tools/clang_tidy.py build/lint [path prefix...]

A source's result depends on its text, the text of all headers of ours that it reaches, its compile command, .clang-tidy
and the tool's version; a hash of these that came out clean before is not checked again.  Tests get the checks of
tests/.clang-tidy where that file is there.
"""

import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

TOOL = "clang-tidy-19"
ROOT = Path(__file__).resolve().parent.parent
INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.M)
TIMEOUT_SECONDS = 240


class Texts:
    """File contents and the headers of ours that each reaches."""

    def __init__(self):
        self.texts = {}

    def text(self, path):
        if path not in self.texts:
            try:
                self.texts[path] = path.read_bytes()
            except OSError:
                self.texts[path] = b""
        return self.texts[path]

    def closure(self, path):
        seen, todo = set(), [path]
        while todo:
            current = todo.pop()
            if current in seen:
                continue
            seen.add(current)
            for name in INCLUDE.findall(self.text(current)):
                header = ROOT / name.decode(errors="replace")
                if header.is_file():
                    todo.append(header)
        return sorted(seen)

    def digest(self, path, command, version):
        digest = hashlib.sha256()
        for folder in path.parents:
            if folder == ROOT or ROOT in folder.parents:
                digest.update(self.text(folder / ".clang-tidy"))
        digest.update(version + command.encode())
        for item in self.closure(path):
            digest.update(str(item).encode() + b"\0" + self.text(item) + b"\0")
        return digest.hexdigest()


def check(path, build):
    begin = time.monotonic()
    try:
        result = subprocess.run([TOOL, "--quiet", "-p", str(build), str(path)], cwd=ROOT, stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
        output, clean = result.stdout, result.returncode == 0
        if not clean and not output:
            output = result.stderr
    except subprocess.TimeoutExpired:
        output, clean = f"{path}: {TOOL} took more than {TIMEOUT_SECONDS} s\n", False
    return clean, output, time.monotonic() - begin


def main():
    build = Path(sys.argv[1]).resolve()
    prefixes = tuple(sys.argv[2:])
    cache = ROOT / "build" / "lint-cache"
    cache.mkdir(parents=True, exist_ok=True)
    version = subprocess.run([TOOL, "--version"], capture_output=True, check=True).stdout
    texts, work, clean_before = Texts(), [], 0
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = Path(entry["directory"], entry["file"]).resolve()
        relative = os.path.relpath(path, ROOT)
        if relative.startswith(("build/", "..")) or (prefixes and not relative.startswith(prefixes)):
            continue
        digest = texts.digest(path, entry.get("command", ""), version)
        if (cache / digest).exists():
            clean_before += 1
        else:
            work.append((path, digest, relative))

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        jobs = {pool.submit(check, path, build): (digest, relative) for path, digest, relative in work}
        for job in concurrent.futures.as_completed(jobs):
            digest, relative = jobs[job]
            clean, output, seconds = job.result()
            print(f"{'ok  ' if clean else 'BAD '} {relative} ({seconds:.1f} s)", flush=True)
            if clean:
                (cache / digest).touch()
            else:
                failed += 1
                print(output.strip(), flush=True)
    print(f"clang-tidy: {len(work)} checked, {clean_before} clean before, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
