"""Turns samples into medians, spreads, ratios and verdicts; prints them, and writes JSON and docs/performance.md."""

import json
import os
import statistics

BEGIN_MARK = "<!-- bench figures: begin (written by bench/compare.py --write-docs) -->"
END_MARK = "<!-- bench figures: end -->"
NOISY_SHARE = 0.05


def summarise(samples):
    """Median, lowest and highest of each figure of one proxy in one scenario."""
    made = [s for s in samples if "failed" not in s["errors"]] or samples  # errors below count all of them
    values = [s["value"] for s in made]
    row = {"median": statistics.median(values), "low": min(values), "high": max(values), "rounds": len(values)}
    for key in ("requests_per_second", "p50_us", "p99_us", "foreign_share_of_core"):
        if key in made[0]:
            row[key] = statistics.median(s[key] for s in made)
    row["errors"] = {}
    for sample in samples:
        for kind, count in sample["errors"].items():
            row["errors"][kind] = row["errors"].get(kind, 0) + count
    return row


def evaluate(scenarios, samples, peers):
    """samples[scenario key][proxy name] = list of samples. Returns one table entry for each scenario measured."""
    table = []
    for scenario in scenarios:
        rows = {name: summarise(s) for name, s in samples.get(scenario.key, {}).items() if s}
        if not rows:
            continue
        sound = {n: r["median"] for n, r in rows.items() if n in peers and not r["errors"]}
        best = min(sound, key=sound.get) if sound else None
        for row in rows.values():
            row["ratio_to_best_peer"] = row["median"] / sound[best] if best and sound[best] > 0 else None
        table.append({"key": scenario.key, "title": scenario.title, "unit": scenario.unit, "bar": scenario.bar,
                      "absolute": scenario.absolute, "best_peer": best, "rows": rows,
                      "verdict": _verdict(scenario, rows.get("portunus"))})
    return table


def _verdict(scenario, row):
    if row is None:
        return "not measured"
    if row["errors"]:
        return "FAIL (errors)"
    figure = row["median"] if scenario.absolute else row["ratio_to_best_peer"]
    if figure is None:
        return "no peer"
    return "pass" if figure <= scenario.bar else "FAIL"


def _bar_text(entry):
    if entry["absolute"]:
        return f"at most {entry['bar']:g} {entry['unit'].split('/')[0]}"
    return f"at most {entry['bar']:g} x best peer"


def _spread(row):
    return f"{row['low']:.2f}..{row['high']:.2f}"


def _error_text(row):
    return ", ".join(f"{kind} {count}" for kind, count in sorted(row["errors"].items())) or "-"


def text_table(table):
    lines = []
    for entry in table:
        lines.append(f"\n{entry['title']}  [{entry['unit']}; bar: {_bar_text(entry)}; Portunus: {entry['verdict']}]")
        lines.append(f"  {'proxy':<10}{'median':>9}{'spread':>18}{'ratio':>8}{'req/s':>10}"
                     f"{'p50 ms':>9}{'p99 ms':>9}  errors")
        for name, row in sorted(entry["rows"].items(), key=lambda item: item[1]["median"]):
            ratio = row["ratio_to_best_peer"]
            noisy = "  (core shared with others)" if row.get("foreign_share_of_core", 0) > NOISY_SHARE else ""
            lines.append(
                f"  {name:<10}{row['median']:>9.2f}{_spread(row):>18}{f'{ratio:.2f}' if ratio else '-':>8}"
                + (f"{row['requests_per_second']:>10.0f}{row['p50_us'] / 1000:>9.2f}{row['p99_us'] / 1000:>9.2f}"
                   if "requests_per_second" in row else f"{'-':>10}{'-':>9}{'-':>9}")
                + f"  {_error_text(row)}{noisy}")
    return "\n".join(lines)


def markdown(table, facts, extra):
    names = list(facts["versions"])
    lines = [BEGIN_MARK, "", f"Measured {facts['date']} on {facts['machine']}, {facts['rounds']} rounds of "
             f"{facts['seconds']} s, medians. "
             + ", ".join(f"{name} {version}" for name, version in facts["versions"].items()) + ".", ""]
    lines.append("| scenario | unit | " + " | ".join(names) + " | Portunus / best peer | bar | verdict |")
    lines.append("|---" * (len(names) + 5) + "|")
    for entry in table:
        cells = []
        for name in names:
            row = entry["rows"].get(name)
            text = f"{row['median']:.2f} ({_spread(row)})" if row else "-"
            if row and row["errors"]:
                text += f", errors: {_error_text(row)}"
            cells.append(f"**{text}**" if name == entry["best_peer"] else text)
        own = entry["rows"].get("portunus", {}).get("ratio_to_best_peer")
        lines.append(f"| {entry['title']} | {entry['unit']} | " + " | ".join(cells)
                     + f" | {f'{own:.2f}' if own else '-'} | {_bar_text(entry)} | {entry['verdict']} |")
    lines += ["", "| scenario | " + " | ".join(f"{n}: requests/s, p50, p99 ms" for n in names) + " |",
              "|---" * (len(names) + 1) + "|"]
    for entry in table:
        if not any("requests_per_second" in row for row in entry["rows"].values()):
            continue
        cells = []
        for name in names:
            row = entry["rows"].get(name)
            cells.append(f"{row['requests_per_second']:.0f}, {row['p50_us'] / 1000:.2f}, {row['p99_us'] / 1000:.2f}"
                         if row else "-")
        lines.append(f"| {entry['title']} | " + " | ".join(cells) + " |")
    if extra:
        lines += ["", "| counted | figure | bar | verdict |", "|---|---|---|---|"]
        lines += [f"| {c['title']} | {c['figure']} | {c['bar']} | {c['verdict']} |" for c in extra]
    return "\n".join(lines + ["", END_MARK])


def write_json(path, table, facts, samples, extra):
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"facts": facts, "table": table, "own": extra, "samples": samples}, f, indent=1)
        f.write("\n")


def write_docs(path, block):
    """Replaces what stands between the two marks; a file without marks gets the block at its end."""
    text = "# Performance\n"
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            text = f.read()
    if BEGIN_MARK in text and END_MARK in text:
        head, _, rest = text.partition(BEGIN_MARK)
        text = head + block + rest.partition(END_MARK)[2]
    else:
        text = text.rstrip("\n") + "\n\n" + block + "\n"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(path + ".new", path)
