"""Promises about cost that can be checked on any machine: system calls, time to start."""

import collections
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.door import one_pool
from support.waiting import PATIENCE, SANITIZER, wait_until
from support.wire import get, post

STRACE = shutil.which("strace")
pytestmark = pytest.mark.skipif(bool(SANITIZER), reason="sanitizers make calls of their own")


class Trace:
    """strace of a running process, from construction to counts()."""

    def __init__(self, door):
        self.door = door
        self.path = door.folder.parent / "strace.txt"  # not where the program watches its file
        self.process = subprocess.Popen([STRACE, "-f", "-q", "-o", str(self.path), "-p", str(door.pid)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_until(self._is_attached, "strace is attached to every thread")

    def _is_attached(self):
        if self.process.poll() is not None:
            pytest.skip("strace may not attach here: " + self.process.stderr.read().decode())
        tasks = Path(f"/proc/{self.door.pid}/task").iterdir()
        return all(re.search(r"^TracerPid:\t[1-9]", (task / "status").read_text(), re.M) for task in tasks)

    def counts(self):
        """Calls by name."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)
        names = re.findall(r"^\d+ +(\w+)\(", self.path.read_text(), re.M)
        return collections.Counter(names)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.mark.skipif(not STRACE, reason="strace is not installed")
@pytest.mark.parametrize(("request_bytes", "each"), [(get("/"), 4), (post("/", b"x" * 1000), 5)], ids=["GET", "POST"])
def test_four_system_calls_per_request(portunus, upstream, keeper, request_bytes, each):
    """One read and one write on each side, and waiting; nothing else in the steady state. What cannot be sent twice
    takes one look more, whether the member has closed its connection."""
    rounds = 200
    door = portunus(one_pool(upstream(), threads=1, admin={"listen": "off"}), wait_ready=False)
    wait_until(lambda: is_answered(door), "serving")
    with door.connect() as client:
        for _ in range(20):
            client.send(request_bytes)
            assert client.read_response().status == 200
        trace = keeper.keep(Trace(door))
        begin = time.monotonic()
        for _ in range(rounds):
            client.send(request_bytes)
            assert client.read_response().status == 200
        counts = trace.counts()
    others = 30 + int(20 * (time.monotonic() - begin))  # a tick or a log line now and then is not a cost of requests
    waits = sum(count for name, count in counts.items() if name.startswith("epoll_") and "ctl" not in name)
    calls = sum(counts.values()) - waits
    assert calls <= each * rounds + others, counts
    assert waits <= 2 * rounds + 2 * others, counts
    assert calls >= 3 * rounds, f"strace missed the thread: {counts}"


def is_answered(door):
    try:
        return door.get().status == 200
    except OSError:
        return False


def cpu_seconds(pid):
    """Of all of its threads: clock_getcpuclockid(3) as Linux has it."""
    return time.clock_gettime(~pid << 3 | 2)


def test_start_to_first_answer_takes_less_than_100_ms(portunus, upstream):
    """Of both processes; the best of some. Processor time, and waits that would be longer are seen as well: what else this
    machine does is not the program's time."""
    member = upstream()
    used, took = [], []
    while len(used) < 30 and (min(used, default=1) >= 0.1 or min(took) >= 0.5):
        begin = time.monotonic()
        door = portunus(one_pool(member), wait_ready=False)
        while not is_answered(door):
            assert time.monotonic() - begin < PATIENCE, door.log()
            time.sleep(0.001)
        took.append(time.monotonic() - begin)
        used.append(cpu_seconds(door.supervisor_pid) + cpu_seconds(door.pid))
        door.stop()
    assert min(used) < 0.1 and min(took) < 0.5, (used, took)
    assert min(used) > 0
