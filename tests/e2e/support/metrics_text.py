"""The text format of metrics, read as strictly as a scraper's checker would."""

import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)\Z")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|\Z)')
TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}


class Metrics:
    def __init__(self):
        self.types, self.help = {}, {}
        self.samples = {}  # (name, labels as sorted pairs) -> value

    def series(self, name, **labels):
        wanted = set(labels.items())
        return [(dict(pairs), value) for (key, pairs), value in self.samples.items()
                if key == name and wanted <= set(pairs)]

    def sum(self, name, **labels):
        return sum(value for _, value in self.series(name, **labels))

    def names(self):
        return {name for name, _ in self.samples}


def parse_labels(text):
    labels, at = [], 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, f"malformed labels: {text!r}"
        labels.append((match[1], match[2]))
        at = match.end()
    assert not text.endswith(","), f"comma at the end of the labels: {text!r}"
    assert len({name for name, _ in labels}) == len(labels), f"label twice: {text!r}"
    return tuple(sorted(labels))


def family_of(name, types):
    for suffix in ("_bucket", "_sum", "_count"):
        base = name.removesuffix(suffix)
        if base != name and types.get(base) in ("histogram", "summary"):
            return base
    return name


def parse(text):
    assert text.endswith("\n"), "the last line has no line feed"
    metrics, family, finished = Metrics(), None, set()
    for line in text.split("\n")[:-1]:
        if line.startswith("# "):
            word, name, rest = (line[2:].split(" ", 2) + [""])[:3]
            assert word in ("HELP", "TYPE"), line
            table = metrics.help if word == "HELP" else metrics.types
            assert name not in table, f"a second {word} of {name}"
            assert word == "HELP" or rest in TYPES, line
            table[name] = rest
            assert name not in finished, f"{name} is not in one piece"
            if family not in (None, name):
                finished.add(family)
            family = name
            continue
        match = SAMPLE.match(line)
        assert match, f"malformed line {line!r}"
        base = family_of(match[1], metrics.types)
        assert base == family, f"{match[1]} stands outside its family"
        assert base in metrics.types and base in metrics.help, f"{base} has no TYPE or no HELP"
        key = (match[1], parse_labels(match[2] or ""))
        assert key not in metrics.samples, f"series twice: {line}"
        metrics.samples[key] = float(match[3])
    check_families(metrics)
    return metrics


def check_families(metrics):
    for (name, labels), value in metrics.samples.items():
        kind = metrics.types[family_of(name, metrics.types)]
        if kind == "counter":
            assert name.endswith("_total"), f"the counter {name} does not end in _total"
            assert value >= 0 and not math.isnan(value), name
    for family in (name for name, kind in metrics.types.items() if kind == "histogram"):
        check_histogram(metrics, family)


def check_histogram(metrics, family):
    groups = {}
    for (name, labels), value in metrics.samples.items():
        if name == f"{family}_bucket":
            bound = float(dict(labels)["le"])
            groups.setdefault(tuple(pair for pair in labels if pair[0] != "le"), []).append((bound, value))
    for labels, buckets in groups.items():
        buckets.sort()
        assert buckets[-1][0] == math.inf, f"{family}{labels} has no +Inf"
        counts = [count for _, count in buckets]
        assert counts == sorted(counts), f"the buckets of {family}{labels} are not cumulative"
        assert metrics.samples[(f"{family}_count", labels)] == counts[-1], f"{family}_count{labels}"
        assert (f"{family}_sum", labels) in metrics.samples, f"{family}_sum{labels}"
