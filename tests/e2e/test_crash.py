"""A crash says what happened before the process is gone."""

import ctypes
import os
import signal

import pytest

from support.door import one_pool
from support.waiting import SANITIZER, wait_until

pytestmark = [pytest.mark.smoke, pytest.mark.skipif(bool(SANITIZER), reason="the sanitizer reports instead")]

TGKILL = {"x86_64": 234, "aarch64": 131}[os.uname().machine]


def threads_of(door):
    folder = f"/proc/{door.pid}/task"
    names = {}
    others = sorted(set(os.listdir(folder)) - {str(door.pid)})
    for thread in [*others, str(door.pid)]:  # the main thread's name may be another one's too
        with open(f"{folder}/{thread}/comm", encoding="ascii") as file:
            names[file.read().strip()] = int(thread)
    return names


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS], ids=lambda n: n.name)
@pytest.mark.parametrize("thread", ["portunus", "worker-0"])
def test_crash_is_reported_with_a_backtrace(portunus, upstream, number, thread):
    door = portunus(one_pool(upstream(), threads=1))
    crashed = door.pid
    assert ctypes.CDLL(None).syscall(TGKILL, crashed, threads_of(door)[thread], int(number)) == 0
    wait_until(lambda: "serves again" in door.log(), "the next proxy has taken over")
    assert door.get().status == 200
    assert door.pid != crashed
    log = door.log()
    assert f"the proxy was ended by {number.name}" in log, "it ends as it would have without the report"
    assert f" crashed: {number.name}" in log
    assert f" in thread {thread}\n" in log
    frames = [line for line in log.splitlines() if "[0x" in line]
    assert any("uv_run" in frame for frame in frames), log
    assert any("_ZN8portunus5proxy" in frame for frame in frames), log
