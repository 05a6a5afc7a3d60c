"""Three services of real programs (Python, C++, node) in one pool, killed and stopped at random under load while one is
always alive: no request fails. The order of events has a fixed seed; PORTUNUS_CHAOS_SECONDS makes it longer."""

import contextlib
import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from support.door import arguments_of, children_of
from support.hard_workers import PROGRAMS
from support.ports import free_ports
from support.servers import Load
from support.waiting import PATIENCE, SANITIZER, SCALE, NotInTime, wait_until
from support.wire import Truncated, get
from test_access_log import lines_of, with_log

# A request may meet one worker that is stopped after the other; each holds it until its probes have failed.
RETRIED_FOR = 20
SECONDS = float(os.environ.get("PORTUNUS_CHAOS_SECONDS", "15"))
WORKER = Path(__file__).parent / "support" / "worker.py"
COMMANDS = {"python": ["/usr/bin/python3", str(WORKER), "{port}"],
            **{name: [*words, "{port}"] for name, words in PROGRAMS.items()}}
HEALTH = {"path": "/health", "interval": "300ms", "timeout": "1s", "rise": 1, "fall": 2, "start_period": "20s"}
PATIENT = 40 * SCALE


def services(ports):
    return {name: {"command": command, "replicas": 1, "ports": f"{ports[2 * i]}-{ports[2 * i] + 1}", "pool": "web",
                   "health": HEALTH, "restart": {"backoff": "50ms..500ms", "max_in_window": "1000 in 1m"},
                   "stop": {"grace": "500ms"}}
            for i, (name, command) in enumerate(COMMANDS.items())}


def up(door):
    return {int(member["upstream"].rsplit(":")[-1]) for member in door.json("/v1/pools")["pools"][0]["members"]
            if member["state"] == "up"}


def replicas_of(door):
    """Ports and process ids."""
    proxy = door.proxy_pid()
    found = {}
    for child in children_of(door.supervisor_pid):
        ports = [int(word) for word in arguments_of(child)[1:] if word.isdigit()]
        if child != proxy and ports:
            found[ports[0]] = child
    return found


def strange(door):
    """What the access log says of requests that failed or took long."""
    logged = (json.loads(line) for line in lines_of(door))
    return [entry for entry in logged if entry["status"] != 200 or entry["duration_s"] > 5]


class Client(threading.Thread):
    """Asks again and again, and looks at each answer."""

    def __init__(self, door):
        super().__init__(daemon=True)
        self.door, self.is_over = door, threading.Event()
        self.answers, self.slowest, self.problems = 0, 0.0, []
        self.start()

    def run(self):
        while not self.is_over.is_set():
            begin = time.monotonic()
            try:
                with self.door.connect(patience=PATIENT) as client:
                    client.send(get("/", "Connection: close"))
                    response = client.read_response()
            except (OSError, NotInTime, Truncated) as problem:
                self.problems.append(repr(problem))
                continue
            self.answers += 1
            self.slowest = max(self.slowest, time.monotonic() - begin)
            if response.status != 200 or not response.body.strip().isdigit():
                self.problems.append(f"{response.status} {response.body!r}")

    def finish(self):
        self.is_over.set()
        self.join(PATIENT)
        assert not self.is_alive()


@pytest.fixture
def door(portunus):
    ports = free_ports(2 * len(COMMANDS))
    # A worker that is stopped holds its requests until its probes have failed; one request may meet many such.
    pool = {"retry": {"attempts": 20, "for": f"{RETRIED_FOR}s", "every": "200ms"}, "overload": {"max_pending": 1000}}
    door = portunus(with_log({"sites": {"*": {"pool": "web"}}, "pools": {"web": pool}, "services": services(ports)}))
    wait_until(lambda: len(up(door)) == len(COMMANDS), "all members are up", PATIENT)
    return door


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20261121])
def test_with_one_of_three_alive_no_request_fails(door, keeper, seed):
    chance = random.Random(seed)
    load = keeper.keep(Load(f"http://127.0.0.1:{door.port}/", int(SECONDS * 4 + 60 * SCALE), connections=32, patience=RETRIED_FOR))
    client = Client(door)
    kills = stops = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or kills + stops < SECONDS / 4:
        alive = up(door)
        here = replicas_of(door)
        candidates = sorted(port for port in alive if port in here)
        # One that is up by its probes stays untouched in this round.
        victims = chance.sample(candidates, chance.randint(1, len(candidates) - 1)) if len(candidates) > 1 else []
        for port in victims:
            is_kill = chance.random() < 0.75
            with contextlib.suppress(ProcessLookupError):  # its supervisor may have been quicker
                os.kill(here[port], signal.SIGKILL if is_kill else signal.SIGSTOP)
            kills += is_kill
            stops += not is_kill
        # The next round when the proxy has seen what happened to these; then a random moment.
        for port in victims:
            wait_until(lambda: port not in up(door) or replicas_of(door).get(port) != here[port], "it is noticed", PATIENT)
        time.sleep(chance.random() * 0.5)
    client.finish()
    requests, failures = load.finish()
    print(f"{kills} kills, {stops} stops, {requests} requests of wrk, {client.answers} checked, slowest {client.slowest:.3f} s")
    assert client.problems == []
    assert failures == "", strange(door)
    assert requests > 20 * SECONDS / SCALE
    assert client.slowest < RETRIED_FOR * SCALE


@pytest.mark.smoke
def test_all_killed_at_once_requests_wait_and_succeed(door):
    """Nobody is there: the requests are answered when the first is back, within three seconds."""
    for pid in replicas_of(door).values():
        os.kill(pid, signal.SIGKILL)
    begin = time.monotonic()
    clients = [door.connect(patience=PATIENT) for _ in range(20)]
    try:
        for client in clients:
            client.send(get("/"))
        statuses = [client.read_response().status for client in clients]
    finally:
        for client in clients:
            client.close()
    assert statuses == [200] * 20
    if not SANITIZER:
        assert time.monotonic() - begin < PATIENCE
