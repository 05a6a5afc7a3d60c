"""What is measured: the list of scenarios with their bars, and how one of them is run once."""

import os
import time
from dataclasses import dataclass

from .certificates import Certificate
from .load import HeldConnections, check_answers, run_h2load, run_wrk, wait_for_answer
from .processes import Program, ProgramError, core_times, free_ports


@dataclass(frozen=True)
class Scenario:
    """`bar` is the highest allowed ratio to the best peer, or, where `absolute`, the highest allowed value."""

    key: str
    title: str
    bar: float
    kind: str = "load"  # load | idle | start
    path: str = "/1k"
    connections: int = 64
    body_bytes: int = 0
    close: bool = False
    tls: bool = False
    streams: int = 0  # at a time on each connection: HTTP/2
    answer_bytes: int = 1024
    absolute: bool = False
    unit: str = "CPU µs/request"
    in_quick: bool = True


SCENARIOS = [
    Scenario("ka-1k-64", "keep-alive, 1 KiB, 64 connections", 0.85),
    Scenario("ka-1k-256", "keep-alive, 1 KiB, 256 connections", 0.85, connections=256),
    Scenario("ka-10k-64", "keep-alive, 10 KiB, 64 connections", 0.85, path="/10k", answer_bytes=10240),
    Scenario("ka-10k-256", "keep-alive, 10 KiB, 256 connections", 0.85, path="/10k", connections=256,
             answer_bytes=10240, in_quick=False),
    Scenario("ka-100k-64", "keep-alive, 100 KiB, 64 connections", 1.0, path="/100k", answer_bytes=102400),
    Scenario("new-1k-64", "new connection per request, 1 KiB, 64 connections", 0.95, close=True),
    Scenario("post-1m-16", "POST of 1 MB bodies, 16 connections", 0.95, path="/post", connections=16,
             body_bytes=1000000, answer_bytes=2),
    Scenario("idle", "memory growth per idle connection", 0.6, kind="idle", absolute=True, unit="KiB/connection"),
    Scenario("tls-1k-64", "TLS keep-alive, 1 KiB, 64 connections", 0.85, tls=True),
    Scenario("tls-10k-64", "TLS keep-alive, 10 KiB, 64 connections", 1.0, path="/10k", answer_bytes=10240, tls=True),
    Scenario("tls-100k-64", "TLS keep-alive, 100 KiB, 64 connections", 1.0, path="/100k", answer_bytes=102400, tls=True,
             in_quick=False),
    Scenario("h2-1k-32", "TLS, HTTP/2, 1 KiB, 16 connections of 32 streams", 0.9, connections=16, tls=True, streams=32),
    Scenario("h2-10k-32", "TLS, HTTP/2, 10 KiB, 16 connections of 32 streams", 1.0, path="/10k", answer_bytes=10240,
             connections=16, tls=True, streams=32, in_quick=False),
    Scenario("tls-new-1k-64", "new TLS connection per request, 1 KiB, 64 connections", 1.0, close=True, tls=True),
    Scenario("tls-idle", "memory growth per idle TLS connection", 0.6, kind="idle", tls=True,
             unit="KiB/connection"),
    Scenario("start", "start to first answered request", 100.0, kind="start", absolute=True, unit="ms"),
]


class Instance:
    """One running proxy of the comparison, in a folder of its own; `prefix` is a tool to run it under."""

    def __init__(self, proxy, setup, tag="", prefix=(), timeout=20.0, tls=False):
        self.proxy = proxy
        self.tls = tls
        self.folder = folder = os.path.join(setup.folder, f"{proxy.name}{tag}{'-tls' if tls else ''}")
        os.makedirs(folder, mode=0o755, exist_ok=True)
        self.port, admin = free_ports(2)
        command = proxy.write(folder, self.port, admin, setup.upstream_ports, setup.same_headers,
                              setup.certificate if tls else None)
        self.program = Program(proxy.name, [*prefix, *command], core=setup.proxy_core,
                               log_path=os.path.join(folder, "output.log"), env=proxy.env)
        try:
            self.start_seconds = wait_for_answer(self.program, self.port, timeout=timeout, tls=tls)
        except ProgramError:
            self.program.stop()
            raise

    def stop(self, grace=5.0):
        return self.program.stop(grace)


@dataclass
class Setup:
    """What all measurements of a run share."""

    folder: str
    upstream_ports: list
    proxy_core: int
    load_core: int
    seconds: float
    warm_up: float
    idle_connections: int
    same_headers: bool
    certificate: Certificate


def start_checked(proxy, setup, tag="", tls=False):
    instance = Instance(proxy, setup, tag, tls=tls)
    try:
        check_answers(proxy.name, instance.port, tls)
    except (ProgramError, OSError) as error:
        instance.stop()
        raise ProgramError(f"{proxy.name} answers wrongly: {error}\n{instance.program.log_tail()}") from error
    return instance


def failed_sample(scenario):
    """What stands for a measurement that could not be made; its error fails the row."""
    sample = {"value": 0.0, "errors": {"failed": 1}}
    if scenario.kind == "load":
        sample |= {"requests_per_second": 0.0, "p50_us": 0, "p99_us": 0, "foreign_share_of_core": 0.0}
    return sample


def measure(scenario, proxy, instance, setup):
    """Runs the scenario once and returns a sample: value, errors, and what else is known of it."""
    if scenario.kind == "idle":
        return measure_idle(proxy, setup, scenario.tls)
    if scenario.kind == "start":
        return measure_start(proxy, setup)
    return measure_load(scenario, instance.program, instance.port, setup)


def measure_load(scenario, program, port, setup, spread=None):
    arguments = {"connections": scenario.connections, "path": scenario.path, "core": setup.load_core,
                 "certificate": setup.certificate if scenario.tls else None}
    if scenario.streams:
        run, more = run_h2load, {"streams": scenario.streams}
    else:
        run, more = run_wrk, {"body_bytes": scenario.body_bytes, "close": scenario.close, "spread": spread}
    if setup.warm_up > 0:
        run(port, max(1, round(setup.warm_up)), **arguments, **more)
    cpu_before, busy_before = program.cpu_seconds(), core_times(setup.proxy_core)
    result = run(port, setup.seconds, **arguments, **more)
    cpu = program.cpu_seconds() - cpu_before
    busy_after = core_times(setup.proxy_core)
    if not program.is_alive():
        raise ProgramError(f"{program.name} ended under load:\n{program.log_tail()}")
    requests = result["requests"]
    errors = dict(result["errors"])
    # wrk counts a status above 399 as an error; answers that are too short are ours to notice.
    errors["short"] = int(requests > 0 and result["bytes"] < requests * scenario.answer_bytes)
    errors["none"] = int(requests == 0)
    foreign = (busy_after[0] - busy_before[0] - cpu) / max(busy_after[1] - busy_before[1], 0.001)
    return {
        "value": cpu * 1e6 / max(requests, 1),
        "requests_per_second": requests * 1e6 / max(result["duration_us"], 1),
        "p50_us": result["p50_us"],
        "p99_us": result["p99_us"],
        "errors": {kind: count for kind, count in errors.items() if count},
        "foreign_share_of_core": max(foreign, 0.0),
    }


def measure_idle(proxy, setup, tls):
    """Growth of resident memory while connections are opened, used once and held; a fresh process each time."""
    instance = start_checked(proxy, setup, "-idle", tls)
    held = None
    try:
        run_wrk(instance.port, 1, connections=64, path="/1k", core=setup.load_core,
                certificate=setup.certificate if tls else None)
        before = instance.program.resident_bytes()
        held = HeldConnections(instance.port, setup.idle_connections, tls)
        time.sleep(1.0)  # whatever a proxy does some time after the last request shall be in the figure
        after = instance.program.resident_bytes()
        closed = held.closed_count()
        return {"value": (after - before) / 1024 / setup.idle_connections, "resident_before": before,
                "resident_after": after, "connections": setup.idle_connections,
                "errors": {"closed": closed} if closed else {}}
    finally:
        if held:
            held.close()
        instance.stop()


def measure_start(proxy, setup):
    instance = Instance(proxy, setup, "-start")
    instance.stop()
    return {"value": instance.start_seconds * 1000, "errors": {}}
