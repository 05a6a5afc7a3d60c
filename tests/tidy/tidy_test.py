#!/usr/bin/env python3
"""The tidy test: what keeps the structure of this tree true, checked on its files.

    tests/tidy/tidy_test.py [--root DIR] [--junit FILE] [--include DIR] [rule...]

Rules: include_graph, heavy_headers, data_path, protocol_names, coroutines, vocabulary, documents, mirrors, headers.
A line that has to break one of them says `// allow(rule): reason`, with the word that the finding names; the number of
such lines is bounded by allowances.txt beside this file.
"""

import argparse
import concurrent.futures
import glob
import hashlib
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as xml
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from cpp_text import CppText  # noqa: E402

MAY_INCLUDE = {  # DESIGN.md, "Folders, and who may include whom"
    "base": [],
    "net": ["base"],
    "http": ["base", "net"],
    "conf": ["base", "net"],
    "health": ["base", "net", "http", "conf"],
    "discovery": ["base", "net", "http", "conf"],
    "acme": ["base", "net", "http", "conf"],
    "supervisor": ["base", "net", "http", "conf", "health"],
    "proxy": ["base", "net", "http", "conf", "health", "discovery", "acme", "supervisor"],
}
PRODUCTION = list(MAY_INCLUDE)
LIBRARY_HOMES = {  # third-party headers and the only folders that know them
    "yaml.h": ["conf"],
    "llhttp.h": ["http"],
    "nghttp2/": ["http"],
    "spdlog/": ["base"],
    "CLI/": ["proxy"],
    "nlohmann/": ["conf", "discovery", "acme", "supervisor", "proxy"],
}
HEAVY = re.compile(r"^(nlohmann/|yaml\.h$|spdlog/|CLI/|iostream$|sstream$|functional$|regex$)")

# Off the path of a request, although in proxy/.
CONTROL_SIDE = re.compile(
    r"^proxy/(control|admin|cli|explain|certificate_view|concurrency_(keeper|view)|consul_pools|discovered_members|discovery_view|generation|dynamic_members|member_memory|member_orders|member_registry|main|orphan_alarm|file_watch|password_checker|resolve|process|load_job|plan_command|replica_link|revocation_(keeper|view)|service|staple_(keeper|log)|sticky_secret|name_lookup|"
    r"tls_(keeper|members|setup)|access_log(?!_buffer)|metrics_(registry|render|state|text|gather|upstreams|certificates))([_.]|$)")
# Certificates are read and gathered, contexts made of them, and responders' answers judged, by the control thread.
NET_CONTROL_SIDE = re.compile(
    r"^net/(certificate(_cache|_reader)?|cert_store|client_(authority|identity|rules)|ocsp|revocation_list|tls_(client|context|values)|trust_store|private_authority|openssl_ptr)\.")
BANNED = {
    "function": r"\bstd::(move_only_)?function\b",
    "map": r"\bstd::(multi)?map\b",
    "list": r"\bstd::(forward_)?list\b",
    "regex": r"\bstd::(basic_)?regex\b",
    "string": r"\bstd::to_string\b|\b(std|fmt)::format\s*\(|\bstd::string\s*[({]",
    "shared_ptr": r"\b(shared_ptr|make_shared|weak_ptr)\b",
    "dynamic_cast": r"\bdynamic_cast\b",
    "new": r"(?<!operator )\b(new|(?<!= )delete)\b|\b(malloc|calloc|realloc|strdup)\s*\(",
    "lock": r"\bstd::(\w*mutex|lock_guard|unique_lock|scoped_lock|shared_lock|condition_variable\w*|call_once)\b"
    r"|\b(uv|pthread)_(mutex|rwlock|cond|sem)_\w+",
    "iostream": r"\bstd::(cout|cerr|clog|cin|\w*stringstream|[io]?fstream)\b|#\s*include\s*<(iostream|sstream|fstream)>",
    "exception": r"\bthrow\b|\bcatch\s*\(|\btry\s*\{",
    "capture_all": r"\[\s*=\s*[,\]]",
}
OTHER_RULES = ["include_graph", "heavy_headers", "protocol_names", "coroutines", "vocabulary"]
PROTOCOL_NAME = re.compile(r"(?<![A-Za-z0-9])[hH][12](?![0-9])")
COROUTINE = re.compile(r"\bco_(await|return|yield)\b|#\s*include\s*<coroutine>")
SYNONYM = re.compile(r"(?i)downstream|back_?end|front_?end")
ORIGIN = re.compile(r"(?<![A-Za-z])[Oo]rigins?(?![a-z])|(?<=[a-z])Origins?(?![a-z])")
ORIGIN_NAMES = re.compile(r"HeaderId::\w*origin\w*|(access_control_)?allow_origins?|origin_form|cors\w*")

DOCUMENT_ROOTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/**/*.md"]
TOP_FOLDERS = PRODUCTION + ["bench", "tests", "cmake", "docs", "tools", "examples", ".ci"]
HEADER_FLAGS = ["-std=c++23", "-fsyntax-only", "-x", "c++", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]


class Tree:
    def __init__(self, root, generated=None):
        self.root = Path(root).resolve()
        self.generated = generated
        self.files = {}
        for folder in PRODUCTION + ["bench", "tests"]:
            for path in sorted((self.root / folder).rglob("*")):
                if path.suffix in (".h", ".cc") and path.is_file():
                    name = path.relative_to(self.root).as_posix()
                    self.files[name] = CppText(path, name)

    def production(self):
        return [file for name, file in self.files.items() if name.split("/")[0] in PRODUCTION]


# ---- rules: each gives a list of findings "file:line: what"


def include_graph(tree):
    found = []
    for file in tree.production():
        folder = file.name.split("/")[0]
        for line, mark, target in file.includes():
            if file.allowed(line, "include_graph"):
                continue
            where = f"{file.name}:{line}"
            if mark == '"':
                first = target.split("/")[0]
                if "/" not in target or first not in PRODUCTION:
                    found.append(f'{where}: "{target}" is not written from the project root')
                elif first != folder and first not in MAY_INCLUDE[folder]:
                    found.append(f"{where}: {folder}/ may not include {target} (allowed: {MAY_INCLUDE[folder]})")
                elif target not in tree.files and target != "base/version.h":
                    found.append(f"{where}: {target} does not exist")
            for prefix, homes in LIBRARY_HOMES.items():
                if target.startswith(prefix) and folder not in homes:
                    found.append(f"{where}: {target} belongs into {homes}")
    return found


def heavy_headers(tree):
    found = []
    for file in tree.production():
        if file.name.endswith(".h"):
            for line, _, target in file.includes():
                if HEAVY.match(target) and not file.allowed(line, "heavy_headers"):
                    found.append(f"{file.name}:{line}: heavy header {target} in a header of ours")
    return found


def is_data_path(name):
    folder = name.split("/")[0]
    if NET_CONTROL_SIDE.match(name):
        return False
    return folder in ("base", "net", "http") or (folder == "proxy" and not CONTROL_SIDE.match(name))


def data_path(tree):
    found = []
    patterns = {rule: re.compile(pattern) for rule, pattern in BANNED.items()}
    for file in tree.production():
        if not is_data_path(file.name):
            continue
        for line, code in enumerate(file.code, 1):
            for rule, pattern in patterns.items():
                if rule == "new" and file.name.startswith("base/"):
                    continue
                match = pattern.search(code)
                if match and not file.allowed(line, rule):
                    found.append(f"{file.name}:{line}: {rule}: {match.group().strip()} on the data path")
    return found


def protocol_names(tree):
    found = []
    for file in tree.production():
        if re.match(r"proxy/(exchange|attempt)", file.name):
            for line, code in enumerate(file.quoted, 1):
                if PROTOCOL_NAME.search(code) and not file.allowed(line, "protocol_names"):
                    found.append(f"{file.name}:{line}: a protocol's name: {code.strip()}")
    return found


def coroutines(tree):
    return [f"{file.name}:{line}: coroutine (g++ 12 miscompiles them)"
            for file in tree.files.values() for line, code in enumerate(file.code, 1) if COROUTINE.search(code)]


def vocabulary(tree):
    found = []
    for file in tree.production():
        for line, code in enumerate(file.code, 1):
            match = SYNONYM.search(code) or SYNONYM.search(file.comments[line - 1])
            if not match and not file.name.startswith("http/header_id"):
                match = ORIGIN.search(ORIGIN_NAMES.sub("", code))
            if match and not file.allowed(line, "vocabulary"):
                found.append(f"{file.name}:{line}: {match.group()!r} is not a word of ours (client, upstream, member)")
    return found


def expand(name):
    """`a.h/.cc` and `{a,b}.h` name several files."""
    braces = re.search(r"\{([^{}]*)\}", name)
    if braces:
        return [full for part in braces.group(1).split(",")
                for full in expand(name[: braces.start()] + part + name[braces.end() :])]
    pair = re.fullmatch(r"(.*)(\.\w+)/(\.\w+)", name)
    return [pair.group(1) + pair.group(2), pair.group(1) + pair.group(3)] if pair else [name]


def document_names(text):
    """(line, path, is a link) of all that looks like a path in a document."""
    fenced = False
    for line, content in enumerate(text.split("\n"), 1):
        if content.lstrip().startswith("```"):
            fenced = not fenced
        if fenced:
            continue
        for link in re.findall(r"\]\(([^)\s#]+)[^)]*\)", content):
            if not re.match(r"[a-z]+:", link):
                yield line, link, True
        for name in re.findall(r"`([\w.{},*/-]+)`", content):
            if "/" in name and name.split("/")[0] in TOP_FOLDERS:
                yield line, name, False


def documents(tree):
    found = []
    for pattern in DOCUMENT_ROOTS:
        for path in sorted(tree.root.glob(pattern)):
            document = path.relative_to(tree.root).as_posix()
            for line, name, is_link in document_names(path.read_text(encoding="utf-8")):
                base = path.parent if is_link else tree.root
                for full in [name] if is_link else expand(name):
                    if not glob.glob(str(base / full)):
                        found.append(f"{document}:{line}: {full} does not exist")
    return found


def mirrors(tree):
    found = []
    for name in tree.files:
        match = re.fullmatch(r"tests/unit/([^/]+)/([^/]+)_test\.cc", name)
        if not match:
            if name.startswith("tests/unit/") and name.endswith(".cc"):
                found.append(f"{name}: is not tests/unit/<folder>/<file>_test.cc")
            continue
        folder, stem = match.groups()
        words = stem.split("_")  # x_test.cc, or x_aspect_test.cc for a long one
        stems = ["_".join(words[:count]) for count in range(len(words), 0, -1)]
        if not any(f"{folder}/{stem}{suffix}" in tree.files for stem in stems for suffix in (".h", ".cc")):
            found.append(f"{name}: there is no {folder}/{stem}.h or .cc that it would mirror")
    return found


def compile_header(tree, name, cache):
    seen, todo, digest = set(), [name], hashlib.sha256(" ".join(HEADER_FLAGS).encode())
    while todo:
        current = todo.pop()
        if current in seen or current not in tree.files:
            continue
        seen.add(current)
        todo += [target for _, mark, target in tree.files[current].includes() if mark == '"']
    for item in sorted(seen):
        digest.update(item.encode() + b"\0" + tree.files[item].text.encode() + b"\0")
    stamp = cache / digest.hexdigest()
    if stamp.exists():
        return None
    generated = ["-I", tree.generated] if tree.generated else []
    source = f'#include "{name}"\n#include "{name}"\n'  # twice: it guards itself as well
    result = subprocess.run([os.environ.get("CXX", "g++"), *HEADER_FLAGS, "-I", ".", *generated, "-"], cwd=tree.root,
                            input=source, capture_output=True, text=True, timeout=120, check=False)
    if result.returncode == 0:
        stamp.touch()
        return None
    return f"{name}: does not compile alone:\n{result.stderr.strip()[:2000]}"


def headers(tree):
    found = []
    cache = tree.root / "build" / "header-cache"
    cache.mkdir(parents=True, exist_ok=True)
    names = [file.name for file in tree.production() if file.name.endswith(".h")]
    names += [name for name in tree.files if name.startswith("tests/support/") and name.endswith(".h")]
    for name in names:
        text = tree.files[name]
        if not any(re.match(r"\s*#\s*pragma\s+once", line) for line in text.code):
            found.append(f"{name}: has no #pragma once")
        if not text.comments[0].strip():
            found.append(f"{name}:1: does not start with a comment that says what it is for")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        found += filter(None, pool.map(lambda name: compile_header(tree, name, cache), names))
    return found


def allowances(tree):
    """Runs after the others: each allowance is used, has a known rule and a reason, and is within the bound."""
    found, counts = [], Counter()
    known = set(BANNED) | set(OTHER_RULES)
    for file in tree.production():
        for allowance in file.allowances:
            where = f"{file.name}:{allowance.at}: allow({allowance.rule})"
            if allowance.rule not in known:
                found.append(f"{where}: there is no such rule; rules are {', '.join(sorted(known))}")
            elif not allowance.reason:
                found.append(f"{where}: says no reason; write // allow({allowance.rule}): reason")
            elif not allowance.used:
                found.append(f"{where}: the line does not break that rule; take it away")
            else:
                counts[allowance.rule] += 1
    bounds = read_bounds(tree.root / "tests/tidy/allowances.txt")
    for rule, count in sorted(counts.items()):
        if count > bounds.get(rule, 0):
            found.append(f"{count} lines say allow({rule}), allowances.txt bounds them at {bounds.get(rule, 0)}: "
                         "write the line another way, or raise the bound in the same change and say why")
    return found


def read_bounds(path):
    lines = path.read_text().split("\n") if path.exists() else []
    pairs = [line.split("#")[0].split() for line in lines]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


RULES = [include_graph, heavy_headers, data_path, protocol_names, coroutines, vocabulary, documents, mirrors, headers]


def run(tree, wanted=()):
    """{rule name: findings}"""
    rules = [rule for rule in RULES if not wanted or rule.__name__ in wanted]
    results = {rule.__name__: rule(tree) for rule in rules}
    if not wanted:
        results["allowances"] = allowances(tree)
    return results


def write_junit(path, results):
    suite = xml.Element("testsuite", name="tidy")
    for name, found in results.items():
        case = xml.SubElement(suite, "testcase", classname="tidy", name=name)
        if found:
            xml.SubElement(case, "failure", message=f"{len(found)} findings").text = "\n".join(found)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    xml.ElementTree(suite).write(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default=Path(__file__).resolve().parents[2])
    parser.add_argument("--junit")
    parser.add_argument("--include", help="folder of generated headers")
    parser.add_argument("rules", nargs="*", choices=[[], *[rule.__name__ for rule in RULES]])
    options = parser.parse_args()
    generated = options.include
    for preset in ("release", "lint") if generated is None else ():
        folder = Path(options.root, "build", preset, "generated")
        generated = str(folder) if generated is None and folder.is_dir() else generated
    results = run(Tree(options.root, generated), options.rules)
    for name, found in results.items():
        print(f"{'ok ' if not found else 'BAD'} {name}" + (f" ({len(found)} findings)" if found else ""))
        print("".join(f"    {line}\n" for line in found), end="")
    if options.junit:
        write_junit(options.junit, results)
    return 1 if any(results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
