#!/usr/bin/env python3
"""Measures Portunus, HAProxy, nginx, h2o, nghttpx and Caddy side by side in one run. See bench/README.md.

Exit status: 0 when all was measured and every bar of Portunus holds (or Portunus was not asked for), 1 when a bar is
missed or a row has errors, 2 when something could not be run.
"""

import argparse
import datetime
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile

from compare import certificates, own, processes, report, scenarios
from compare.load import ROOT_FOLDER, build_upstream, start_upstream
from compare.processes import ProgramError
from compare.proxies import all_proxies

QUICK = {"rounds": 2, "seconds": 2, "warm_up": 1.0, "idle_connections": 2000}
FULL = {"rounds": 5, "seconds": 5, "warm_up": 1.0, "idle_connections": 10000}


def parse_arguments():
    keys = [s.key for s in scenarios.SCENARIOS] + own.KEYS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 rounds of 2 s, fewer scenarios: a glance, no verdict")
    parser.add_argument("--rounds", type=int, help="rounds, proxies interleaved in each (default 5)")
    parser.add_argument("--seconds", type=int, help="seconds of each measurement (default 5)")
    parser.add_argument("--proxies", help="comma-separated: portunus,haproxy,nginx,h2o,nghttpx,caddy (default all)")
    parser.add_argument("--scenarios", help="comma-separated, of: " + ",".join(keys)
                        + " (default: all)")
    parser.add_argument("--idle-connections", type=int, help="connections held in the idle scenario (default 10000)")
    parser.add_argument("--same-headers", action="store_true",
                        help="the peers too set forwarding headers (default: they do the least they can)")
    parser.add_argument("--portunus", default=os.path.join(ROOT_FOLDER, "build", "release", "portunus"),
                        metavar="PROGRAM", help="the program to measure")
    parser.add_argument("--upstream", metavar="PROGRAM", help="a compiled fast_upstream (default: compiled here)")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write all figures and samples as JSON")
    parser.add_argument("--write-docs", action="store_true", help="write the figures into docs/performance.md")
    parser.add_argument("--no-install", action="store_true", help="do not install missing peers with apt-get")
    parser.add_argument("--keep", action="store_true", help="keep the folder with configurations and logs")
    args = parser.parse_args()
    for key, value in (QUICK if args.quick else FULL).items():
        if getattr(args, key, None) is None:
            setattr(args, key, value)
    return args, keys, parser


def choose(args, keys, parser):
    """The proxies, the timed scenarios and the counting ones that were asked for."""
    everyone = all_proxies(args.portunus)
    wanted = args.proxies.split(",") if args.proxies else [p.name for p in everyone]
    if unknown := set(wanted) - {p.name for p in everyone}:
        parser.error(f"unknown proxies: {', '.join(sorted(unknown))}")
    chosen_keys = args.scenarios.split(",") if args.scenarios else keys
    if unknown := set(chosen_keys) - set(keys):
        parser.error(f"unknown scenarios: {', '.join(sorted(unknown))}")
    shared = [s for s in scenarios.SCENARIOS if s.key in chosen_keys
              and (s.in_quick or args.scenarios or not args.quick)]
    counted = [k for k in own.KEYS if k in chosen_keys and (args.scenarios or not args.quick)]
    return [p for p in everyone if p.name in wanted], shared, counted


def install_missing(proxies, may_install, must_find_portunus, tools):
    """Installs missing Debian packages without starting their services; returns the proxies that can be run.

    A Portunus that was asked for by name and is not there is an error.
    """
    packages = [p.package for p in proxies if p.package and not p.find()]
    packages += [tool for tool in ("wrk", *tools) if not shutil.which(tool)]
    packages += ["nghttp2-client"] if not shutil.which("h2load") else []
    if packages and may_install and os.geteuid() == 0:
        print(f"installing {' '.join(packages)}", flush=True)
        # RUNLEVEL=1 makes invoke-rc.d start nothing, with or without a policy-rc.d.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
        if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode != 0:
            subprocess.run(["apt-get", "update", "-q"], stdout=subprocess.DEVNULL, check=False)
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    for tool, package in (("wrk", "wrk"), ("h2load", "nghttp2-client")):
        if not shutil.which(tool):
            raise ProgramError(f"{tool} is missing (apt-get install {package})")
    found = []
    for proxy in proxies:
        if proxy.find() and os.access(proxy.find(), os.X_OK):
            found.append(proxy)
        else:
            print(f"not measured: {proxy.name} (no {proxy.program})", flush=True)
            if proxy.name == "portunus" and must_find_portunus:
                raise ProgramError("build it first (./dev build), or name it with --portunus")
    if not found:
        raise ProgramError("there is nothing to measure")
    return found


def measure_or_fail(scenario, proxy, instances, setup):
    """One sample; a proxy that breaks gets a failed one and, where it has ended, a new start."""
    try:
        place = (proxy.name, scenario.tls)
        instance = instances.get(place)
        if scenario.kind == "load" and not (instance and instance.program.is_alive()):
            instances[place] = scenarios.start_checked(proxy, setup, tls=scenario.tls)
        return scenarios.measure(scenario, proxy, instances.get(place), setup)
    except (ProgramError, OSError) as error:
        print(f"bench: {scenario.key}: {error}", file=sys.stderr, flush=True)
        return scenarios.failed_sample(scenario)


def measure_shared(chosen, proxies, setup, rounds):
    """samples[scenario][proxy], rounds interleaved: within a round every proxy once, in a new order each time."""
    samples = {s.key: {p.name: [] for p in proxies} for s in chosen}
    shuffled = random.Random(1)
    instances = {}
    try:
        for scenario in chosen:
            for number in range(1, rounds + 1):
                order = [proxy for proxy in proxies if scenario.tls or proxy.has_plain]
                shuffled.shuffle(order)
                line = []
                for proxy in order:
                    sample = measure_or_fail(scenario, proxy, instances, setup)
                    samples[scenario.key][proxy.name].append(sample)
                    flag = "!" if sample["errors"] else ""
                    line.append(f"{proxy.name} {sample['value']:.2f}{flag}")
                print(f"{scenario.key} {number}/{rounds}: {', '.join(sorted(line))}", flush=True)
    finally:
        for instance in instances.values():
            instance.stop()
    return samples


def machine():
    model = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}"


def run(args, keys, parser):
    proxies, shared, counted = choose(args, keys, parser)
    limit = processes.raise_file_limit()
    args.idle_connections = min(args.idle_connections, limit - 512)
    cores = os.sched_getaffinity(0)
    if args.proxy_core == args.load_core or not {args.proxy_core, args.load_core} <= cores:
        raise ProgramError(f"two different cores are needed; this process may use {sorted(cores)}")
    proxies = install_missing(proxies, not args.no_install, bool(args.proxies),
                              [own.TOOLS[key] for key in counted if key in own.TOOLS])
    os.sched_setaffinity(0, {args.load_core})
    folder = tempfile.mkdtemp(prefix="portunus-bench-")
    os.chmod(folder, 0o755)  # workers that drop to another user must get to their temporary folders
    upstream, ports = start_upstream(build_upstream(args.upstream), args.load_core)
    setup = scenarios.Setup(folder, ports, args.proxy_core, args.load_core, args.seconds, args.warm_up,
                            args.idle_connections, args.same_headers, certificates.make(folder))
    try:
        facts = {"date": datetime.date.today().isoformat(), "machine": machine(), "rounds": args.rounds,
                 "seconds": args.seconds, "same_headers": args.same_headers, "descriptor_limit": limit,
                 "idle_connections": args.idle_connections, "versions": {p.name: p.version() for p in proxies}}
        print(f"{facts['machine']}; {facts['versions']}", flush=True)
        samples = measure_shared(shared, proxies, setup, args.rounds)
        table = report.evaluate(shared, samples, {p.name for p in proxies if p.is_peer})
        extra = []
        for key in counted:
            extra += own.measure(key, proxies, setup, args.rounds)
        print(report.text_table(table))
        for check in extra:
            print(f"{check['title']}: {check['figure']}  [bar: {check['bar']}; {check['verdict']}]")
        if args.json:
            report.write_json(args.json, table, facts, samples, extra)
        if args.write_docs:
            report.write_docs(os.path.join(ROOT_FOLDER, "docs", "performance.md"),
                              report.markdown(table, facts, extra))
    finally:
        processes.stop_all()
        if args.keep:
            print(f"configurations and logs: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    verdicts = [entry["verdict"] for entry in table] + [check["verdict"] for check in extra]
    broken = any(row["errors"] for entry in table for row in entry["rows"].values())
    return 1 if broken or any(v.startswith("FAIL") for v in verdicts) else 0


def on_signal(number, _frame):
    raise SystemExit(128 + number)


def main():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        return run(*parse_arguments())
    except (ProgramError, subprocess.CalledProcessError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    finally:
        processes.stop_all()


if __name__ == "__main__":
    sys.exit(main())
