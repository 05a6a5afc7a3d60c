"""The program under test: started for real with a generated file on free ports, stopped by its process id."""

import copy
import json
import os
import re
import resource
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from . import metrics_text
from .ports import free_port
from .waiting import PATIENCE, SANITIZER, NotInTime, wait_until, wait_until_still
from .wire import connect, get
from .yaml_text import to_yaml

ROOT = Path(__file__).resolve().parents[3]
BINARY = os.environ.get("PORTUNUS_BIN") or str(ROOT / "build/release/portunus")
SANITIZER_REPORT = re.compile(
    r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|LeakSanitizer|: runtime error: |broken invariant|terminate called"
)


if SANITIZER == "thread":
    os.environ.setdefault("TSAN_OPTIONS", f"suppressions={ROOT}/tests/e2e/tsan_suppressions.txt")


def run_program(*arguments, env=None, folder=None, seconds=PATIENCE, text=""):
    """Runs the program to its end."""
    return subprocess.run(
        [BINARY, *arguments], env={**os.environ, **(env or {})}, cwd=folder, input=text, text=True, errors="replace",
        capture_output=True, timeout=seconds, check=False,
    )


def addresses(upstreams):
    if not isinstance(upstreams, (list, tuple)):
        upstreams = [upstreams]
    return [getattr(upstream, "address", upstream) for upstream in upstreams]


def one_pool(upstreams, pool=None, site=None, **root):
    """A file with one listener `front`, one pool `web` without probes, and one site for every host."""
    return {
        "sites": {"*": {"pool": "web", **(site or {})}},
        "pools": {"web": {"upstreams": addresses(upstreams), "health": "off", **(pool or {})}},
        **root,
    }


class Door:
    def __init__(self, config, folder, **options):
        self.folder = Path(folder)
        self.path = self.folder / "portunus.yaml"
        self.log_path = self.folder / "log.txt"
        self.output_path = self.folder / "output.txt"
        self.options = options
        self.port = free_port()
        self.admin_port = free_port()
        self.process = None
        self.exit_status = None
        self.write(config)

    # ---- configuration

    def complete(self, config):
        """The same, with what every file of these tests has."""
        config = copy.deepcopy(config)
        address = f"127.0.0.1:{self.port}"
        front = config.pop("front", None)
        config.setdefault("listeners", {"front": {"address": address, **front} if front else address})
        config.setdefault("admin", {"listen": f"127.0.0.1:{self.admin_port}"})
        config.setdefault("threads", 2)
        config.setdefault("state", str(self.folder / "state"))
        config.setdefault("shutdown", {"drain": "5s"})
        return config

    def write(self, config):
        """Takes the place of the file in one step, as editors do. Text is written as it is."""
        text = config if isinstance(config, str) else to_yaml(self.complete(config))
        fresh = self.folder / "portunus.yaml.new"
        fresh.write_text(text)
        fresh.rename(self.path)

    # ---- process

    def _limit(self):
        files = self.options.get("open_files")
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    def start(self, wait_ready=True):
        with open(self.log_path, "ab") as log, open(self.output_path, "ab") as output:
            self.process = subprocess.Popen(
                [self.options.get("binary", BINARY), self.options.get("command", "run"), "-c", str(self.path)], cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=self.options.get("stdout", output), stderr=log, env={**os.environ, **self.options.get("env", {})},
                preexec_fn=self._limit, start_new_session=True,
            )
        if wait_ready:
            wait_until(self._is_ready_or_dead, "ready to serve")
        return self

    def _is_ready_or_dead(self):
        assert self.process.poll() is None, f"ended with {self.process.returncode} at start:\n{self.log()}"
        return self.is_ready()

    @property
    def pid(self):
        """The proxy's: the child of the supervisor that was started."""
        return wait_until(self.proxy_pid, "a proxy runs")

    def proxy_pid(self):
        for child in children_of(self.process.pid):
            if arguments_of(child)[1:2] == ["proxy"]:
                return child
        return None

    @property
    def supervisor_pid(self):
        return self.process.pid

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=PATIENCE):
        """Its exit status."""
        try:
            self.exit_status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise NotInTime(f"still running {seconds:g} s later:\n{self.log()[-3000:]}") from None
        return self.exit_status

    def stop(self):
        """The quick end; the graceful one is the matter of its own tests."""
        if self.is_running:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(0.3)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGTERM)
            try:
                self.exit_status = self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self.process.wait()
                raise NotInTime(f"two SIGTERM did not end it:\n{self.log()[-3000:]}") from None
        elif self.process is not None:
            self.exit_status = self.process.returncode

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def output(self):
        return self.output_path.read_text(errors="replace") if self.output_path.exists() else ""

    def check(self, may_end_badly=False):
        log = self.log()
        assert not SANITIZER_REPORT.search(log), f"a sanitizer or a check spoke:\n{log[-6000:]}"
        if not may_end_badly and self.exit_status is not None:
            assert self.exit_status == 0, f"exit status {self.exit_status}:\n{log[-3000:]}"

    # ---- what the kernel knows

    def _status_kib(self, key):
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{key}:\s+(\d+) kB", text, re.M)[1])

    def resident_bytes(self):
        return self._status_kib("VmRSS") * 1024

    def peak_resident_bytes(self):
        return self._status_kib("VmHWM") * 1024

    def reset_peak(self):
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def supervisor_files(self):
        """How many descriptors the supervisor has when a proxy has told it all that it tells: which files it read
        once it serves, about its members every second."""
        def links():
            folder, found = f"/proc/{self.supervisor_pid}/fd", []
            for name in os.listdir(folder):
                with suppress(FileNotFoundError):
                    found.append(os.readlink(f"{folder}/{name}"))
            return found

        for told in ("portunus-files", "portunus-members"):
            wait_until(lambda: any(told in link for link in links()), told)
        return wait_until_still(lambda: len(links()), "the supervisor's descriptors")

    # ---- clients

    def connect(self, **options):
        return connect(self.port, **options)

    def get(self, path="/", *fields, host="test.local", method="GET"):
        """One request on a connection of its own."""
        with self.connect() as client:
            client.send(get(path, "Connection: close", *fields, host=host, method=method))
            return client.read_response(method)

    def ask(self, request, method="GET"):
        with self.connect() as client:
            client.send(request)
            return client.read_response(method)

    # ---- admin

    def admin(self, path, method="GET", host=None, *fields):
        with connect(self.admin_port) as client:
            host = host if host is not None else f"127.0.0.1:{self.admin_port}"
            client.send(get(path, "Connection: close", *fields, host=host, method=method))
            return client.read_response(method)

    def is_ready(self):
        try:
            return self.admin("/readyz").status == 200
        except (OSError, AssertionError):
            return False

    def json(self, path):
        response = self.admin(path)
        assert response.status == 200, response
        return json.loads(response.body)

    def metrics(self):
        response = self.admin("/metrics")
        assert response.status == 200, response
        return metrics_text.parse(response.body.decode())

    def metric(self, name, **labels):
        """The sum of all series of that name with these labels."""
        return self.metrics().sum(name, **labels)

    def member(self, address):
        """What /v1/pools says about one member."""
        for entry in walk(self.json("/v1/pools")):
            if isinstance(entry, dict) and "state" in entry and address in entry.values():
                return entry
        raise AssertionError(f"/v1/pools does not name {address}: {self.json('/v1/pools')}")

    def wait_for_state(self, address, state, seconds=PATIENCE):
        return wait_until(lambda: self.member(address)["state"] == state and self.member(address),
                          f"{address} is {state}", seconds)

    def generation(self):
        return self.metric("portunus_config_generation")

    def reloads_done(self):
        """How many reloads have gone well, on all threads: generation() is another one before the threads have it."""
        return self.metric("portunus_config_reloads_total", result="success")

    def reload(self, seconds=PATIENCE * 2):
        """`portunus reload`, as a person calls it."""
        return run_program("reload", "-c", str(self.path), folder=self.folder, seconds=seconds)


def children_of(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def arguments_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def walk(value):
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(item)
