"""Portunus with 10,000 sites of 10 routes against 10 sites of 10 routes: start, cost of a request, reload."""

import os
import socket
import statistics
import subprocess
import threading
import time

from .load import read_answer_1k, wait_for_answer
from .processes import Program, ProgramError, free_ports
from .scenarios import Scenario, measure_load

FEW_SITES = 10
MANY_SITES = 10000
ROUTES = 10
RATIO_BAR = 1.3
RELOAD_BAR_SECONDS = 2.0
PAUSE_BAR_MS = 50.0  # our reading of "without a pause": no answer takes longer while a reload runs
HOST_PATTERN = "site-%05d.test"
PATH_PATTERN = "/route-%d/1k"
LOAD = Scenario("route-scale", "requests spread over all sites", RATIO_BAR)


class ManySites:
    """One Portunus with `sites` sites; rewrites its file with one site more for each reload."""

    def __init__(self, portunus, setup, sites):
        self._portunus = portunus
        self._setup = setup
        self.sites = sites
        self.port, self._admin = free_ports(2)
        self.folder = os.path.join(setup.folder, f"portunus-{sites}-sites")
        os.makedirs(self.folder, exist_ok=True)
        self.config = os.path.join(self.folder, "portunus.yaml")
        self._write(sites)
        self.program = Program(f"portunus with {sites} sites", [portunus.program, "run", "-c", self.config],
                               core=setup.proxy_core, log_path=os.path.join(self.folder, "output.log"))
        try:
            self.start_seconds = wait_for_answer(self.program, self.port, self._host(sites - 1),
                                                 PATH_PATTERN % 3, timeout=120.0)
        except ProgramError:
            self.program.stop()
            raise

    @staticmethod
    def _host(number):
        return HOST_PATTERN % number

    def _write(self, sites):
        members = ", ".join(f"127.0.0.1:{port}" for port in self._setup.upstream_ports)
        routes = "".join(f"      - {{ match: {{ path: /route-{r}/* }}, pool: fast }}\n" for r in range(ROUTES))
        with open(self.config + ".new", "w", encoding="utf-8") as f:
            f.write("threads: 1\naccess_log: { format: off }\nlimits: { requests_per_connection: 1000000000 }\n"
                    f'admin: {{ listen: "127.0.0.1:{self._admin}" }}\n'
                    f"pools:\n  fast:\n    upstreams: [{members}]\n    balance: least_connections\n"
                    "    max_connections_per_upstream: 4096\nsites:\n")
            for number in range(sites):
                f.write(f'  "http://{self._host(number)}:{self.port}":\n    routes:\n{routes}')
        os.replace(self.config + ".new", self.config)

    def measure_load(self):
        spread = (self.sites, HOST_PATTERN, PATH_PATTERN, ROUTES)
        sample = measure_load(LOAD, self.program, self.port, self._setup, spread)
        if sample["errors"]:
            raise ProgramError(f"{self.program.name}: errors {sample['errors']}")
        return sample["value"]

    def reload(self):
        """Adds one site; returns (seconds of `portunus reload`, slowest answer in ms while it ran)."""
        self.program.pin_all_threads({self._setup.proxy_core, self._setup.load_core})
        self._write(self.sites + 1)
        self.sites += 1
        watch = AnswerWatch(self.port, self._host(0))
        began = time.monotonic()
        done = subprocess.run([self._portunus.program, "reload", "--admin", f"127.0.0.1:{self._admin}"],
                              capture_output=True, text=True, timeout=120, check=False)
        took = time.monotonic() - began
        slowest = watch.finish()
        if done.returncode != 0:
            raise ProgramError(f"portunus reload failed: {done.stdout}{done.stderr}")
        wait_for_answer(self.program, self.port, self._host(self.sites - 1), PATH_PATTERN % 9,
                        timeout=time.monotonic() - self.program.started + 1.0)
        return took, slowest * 1000


class AnswerWatch:
    """A thread that asks all the time on one connection and remembers the slowest answer."""

    def __init__(self, port, host):
        self._request = f"GET {PATH_PATTERN % 0} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._slowest = 0.0
        self._failure = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self):
        try:
            while not self._ending.is_set():
                began = time.monotonic()
                self._socket.sendall(self._request)
                read_answer_1k(self._socket)
                self._slowest = max(self._slowest, time.monotonic() - began)
        except (OSError, ProgramError) as error:
            self._failure = error

    def finish(self):
        self._ending.set()
        self._thread.join(40)
        self._socket.close()
        if self._failure:
            raise ProgramError(f"a request failed during a reload: {self._failure}")
        return self._slowest


def _check(title, value, figure, bar_value, bar):
    return {"title": f"portunus: {title}", "figure": figure, "bar": bar, "value": value,
            "verdict": "-" if bar_value is None else "pass" if value <= bar_value else "FAIL"}


def measure(portunus, setup, rounds):
    """`portunus` is a list of one Proxy, or empty."""
    if not portunus:
        return []
    few = many = None
    try:
        few = ManySites(portunus[0], setup, FEW_SITES)
        many = ManySites(portunus[0], setup, MANY_SITES)
        costs = {few: [], many: []}
        for number in range(1, rounds + 1):
            for instance in (few, many) if number % 2 else (many, few):
                costs[instance].append(instance.measure_load())
            print(f"route-scale {number}/{rounds}: {FEW_SITES} sites {costs[few][-1]:.2f}, "
                  f"{MANY_SITES} sites {costs[many][-1]:.2f}", flush=True)
        resident = many.program.resident_bytes()
        reloads = [many.reload() for _ in range(min(rounds, 5))]
    finally:
        for instance in (few, many):
            if instance:
                instance.program.stop()
    low, high = statistics.median(costs[few]), statistics.median(costs[many])
    took = statistics.median(seconds for seconds, _ in reloads)
    pause = max(ms for _, ms in reloads)
    name = f"{MANY_SITES} sites x {ROUTES} routes"
    return [
        _check(f"{name}: start to first answer", many.start_seconds,
               f"{many.start_seconds:.2f} s, {resident / 2**20:.0f} MiB resident", None, "-"),
        _check(f"{name}: CPU µs/request, ratio to {FEW_SITES} sites", high / low if low else 0.0,
               f"{high / low if low else 0.0:.2f} ({high:.2f} / {low:.2f})", RATIO_BAR, f"at most {RATIO_BAR}"),
        _check(f"{name}: `portunus reload`", took, f"{took:.2f} s", RELOAD_BAR_SECONDS,
               f"at most {RELOAD_BAR_SECONDS:g} s"),
        _check(f"{name}: slowest answer during a reload", pause, f"{pause:.1f} ms", PAUSE_BAR_MS,
               f"at most {PAUSE_BAR_MS:g} ms"),
    ]
