"""System calls and instructions per request, and how cost holds up with 10,000 sites.

The first two run under strace and callgrind, for every proxy chosen but Caddy: counts, so they repeat closely whatever
else the machine does. The bars are Portunus's own.
"""

import glob
import os
import re
import shutil
import signal
import subprocess
import sys

from . import route_scale
from .load import run_wrk, send_one_by_one
from .processes import Program, ProgramError
from .scenarios import Instance, start_checked

KEYS = ["syscalls", "instructions", "route-scale"]
TOOLS = {"syscalls": "strace", "instructions": "valgrind"}
CALLS_BAR = 4.0  # besides epoll_wait
CALLS_SLACK = 0.15  # accepts, connects, timers and probes of the run, spread over its requests
CALLGRIND_REQUESTS = (1000, 3000)
VALGRIND_START_SECONDS = 120


def measure(key, proxies, setup, rounds):
    """Returns checks: dictionaries with title, figure (text), bar (text), verdict, and the raw values."""
    if key == "route-scale":
        portunus = [p for p in proxies if p.name == "portunus"]
        return _or_failed(key, lambda: route_scale.measure(portunus, setup, rounds))
    function = {"syscalls": count_calls, "instructions": count_instructions}[key]
    checks = []
    for proxy in proxies:
        if proxy.name != "caddy" and proxy.has_plain:
            checks += _or_failed(f"{proxy.name}: {key}", lambda: [function(proxy, setup)])
    return checks


def _or_failed(title, function):
    try:
        return function()
    except (ProgramError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: {title}: {error}", file=sys.stderr, flush=True)
        return [{"title": title, "figure": "could not be measured", "bar": "-", "verdict": "FAIL"}]


def _need(tool):
    if not shutil.which(tool):
        raise ProgramError(f"{tool} is missing (apt-get install {tool})")


def count_calls(proxy, setup, seconds=5):
    _need("strace")
    instance = start_checked(proxy, setup, "-strace")
    try:
        run_wrk(instance.port, 1, connections=64, path="/1k", core=setup.load_core)
        counts, requests = _trace(instance, setup, seconds)
    finally:
        instance.stop()
    per_request = {call: count / requests for call, count in counts.items()}
    waiting = sum(x for call, x in per_request.items() if call.startswith("epoll_") and "wait" in call)
    others = sum(per_request.values()) - waiting
    parts = ", ".join(f"{call} {x:.2f}" for call, x in sorted(per_request.items(), key=lambda i: -i[1]) if x >= 0.01)
    verdict = "-"
    if proxy.name == "portunus":
        verdict = "pass" if others <= CALLS_BAR + CALLS_SLACK else "FAIL"
    return {"title": f"{proxy.name}: system calls per keep-alive request (64 connections)",
            "figure": f"{others:.2f} + {waiting:.2f} epoll_wait ({parts})",
            "bar": f"{CALLS_BAR:g} + epoll_wait", "verdict": verdict, "values": per_request, "requests": requests}


def _trace(instance, setup, seconds):
    summary = os.path.join(instance.folder, "strace.txt")
    attached = []
    for pid in instance.program.pids():
        attached += ["-p", str(pid)]
    tracer = Program("strace", ["strace", "-c", "-f", "-o", summary, *attached], pipe=True, errors_to_pipe=True)
    try:
        # One such line for each thread; traffic starts after the first and attaching takes far less than a request.
        line = tracer.stdout.readline().decode()
        if "attached" not in line:
            raise ProgramError(f"strace could not attach: {line.strip()}")
        result = run_wrk(instance.port, seconds, connections=64, path="/1k", core=setup.load_core)
        os.kill(tracer.pid, signal.SIGINT)
        tracer.wait(10)
    finally:
        tracer.stop()
    counts = {}
    with open(summary, encoding="ascii", errors="replace") as f:
        for line in f:
            # % time, seconds, usecs/call, calls, [errors,] name
            found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)\s*$", line)
            if found and found.group(2) != "total":
                counts[found.group(2)] = int(found.group(1))
    if not counts or not result["requests"]:
        raise ProgramError(f"{instance.proxy.name}: strace counted nothing")
    return counts, result["requests"]


def count_instructions(proxy, setup):
    """User instructions per request: two runs that differ by a known number of requests, subtracted."""
    _need("valgrind")
    few, many = CALLGRIND_REQUESTS
    totals = [_callgrind(proxy, setup, requests) for requests in (few, many)]
    value = (totals[1] - totals[0]) / (many - few)
    # A process that drops its user cannot write its counts: nothing of its work is in them then.
    figure = f"{value:.0f}" if value > 0 else "cannot be counted"
    return {"title": f"{proxy.name}: user instructions per keep-alive request (1 connection, callgrind)",
            "figure": figure, "bar": "-", "verdict": "-", "values": {"instructions": value, "totals": totals}}


def _callgrind(proxy, setup, requests):
    tag = f"-callgrind-{requests}"
    output = os.path.join(setup.folder, f"{proxy.name}{tag}-out")
    os.makedirs(output, exist_ok=True)
    os.chmod(output, 0o777)  # a worker that has dropped to another user writes its counts here too
    prefix = ["valgrind", "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={output}/%p"]
    instance = Instance(proxy.unsupervised(), setup, tag, prefix, timeout=VALGRIND_START_SECONDS)
    try:
        send_one_by_one(instance.port, requests)
    finally:
        instance.stop(grace=30.0)
    total = 0
    for path in glob.glob(os.path.join(output, "*")):
        with open(path, encoding="ascii", errors="replace") as f:
            found = re.findall(r"^(?:totals|summary): (\d+)", f.read(), re.MULTILINE)
        total += int(found[-1]) if found else 0
    if total == 0:
        raise ProgramError(f"{proxy.name}: callgrind wrote no totals\n{instance.program.log_tail()}")
    return total
