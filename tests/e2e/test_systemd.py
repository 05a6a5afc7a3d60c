"""What a service manager is told over NOTIFY_SOCKET (sd_notify)."""

import contextlib
import os
import signal
import socket
import time

import pytest

from support.door import one_pool
from support.hard_workers import stat_of
from support.waiting import PATIENCE, SCALE, wait_until
from support.wire import get

pytestmark = pytest.mark.smoke


class Manager:
    """The socket of a service manager."""

    def __init__(self, name):
        self.name = name
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + name[1:] if name.startswith("@") else name)

    def hear(self, seconds=PATIENCE):
        """The next message, as a dictionary."""
        self.sock.settimeout(seconds)
        return dict(line.split("=", 1) for line in self.sock.recv(4096).decode().splitlines())

    def hear_of(self, name):
        """The next message that has it."""
        while name not in (message := self.hear()):
            pass
        return message

    def forget(self):
        """What has been said so far."""
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.sock.recv(4096)

    def hear_no_more(self, seconds):
        with pytest.raises(TimeoutError):
            self.hear(seconds)


@pytest.fixture(params=["file", "abstract"])
def manager(request, tmp_path):
    manager = Manager(f"@portunus-{os.getpid()}-{time.monotonic_ns()}" if request.param == "abstract" else str(tmp_path / "notify"))
    yield manager
    manager.sock.close()


def test_ready_reloading_and_stopping_are_told(portunus, upstream, manager):
    door = portunus(one_pool(upstream()), env={"NOTIFY_SOCKET": manager.name})
    ready = manager.hear()
    assert ready["READY"] == "1"
    assert ready["STATUS"] == "generation 1: 1 sites, 1 pools"
    assert door.get().status == 200
    before_us = time.monotonic_ns() // 1000
    assert door.reload().returncode == 0
    reloading = manager.hear()
    assert reloading["RELOADING"] == "1"
    assert before_us <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert manager.hear()["STATUS"].startswith("generation 2:")
    door.signal(signal.SIGTERM)
    assert manager.hear() == {"STOPPING": "1"}
    assert door.wait() == 0


def test_refused_reload_is_told_and_ends(portunus, upstream, manager):
    door = portunus(one_pool(upstream()), env={"NOTIFY_SOCKET": manager.name})
    assert manager.hear()["READY"] == "1"
    door.write("sites: nonsense\n")
    door.signal(signal.SIGHUP)
    # The file may have been refused already because it was seen to have changed: that is told, too.
    assert manager.hear_of("RELOADING")["RELOADING"] == "1"
    ready = manager.hear_of("READY")
    assert ready["READY"] == "1"
    assert "the last reload was refused" in ready["STATUS"]


def test_nothing_is_told_before_it_is_ready(portunus, manager):
    door = portunus(one_pool("127.0.0.1:1", listeners={"front": {"address": "192.0.2.1:80"}}), may_end_badly=True,
                    wait_ready=False, env={"NOTIFY_SOCKET": manager.name})
    assert door.wait() == 1
    manager.hear_no_more(0.05)


def test_signs_of_life_come_in_half_the_time(portunus, upstream, manager):
    door = portunus(one_pool(upstream()), env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": str(int(2_000_000 * SCALE))})
    assert manager.hear()["READY"] == "1"
    begin = time.monotonic()
    for _ in range(4):
        assert manager.hear() == {"WATCHDOG": "1"}
    assert time.monotonic() - begin < 7.9 * SCALE, "4 s on a machine that is never late"
    # Who stands still gives none.
    door.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: stat_of(door.supervisor_pid)[0] == "T", "it stands still")
        manager.forget()
        manager.hear_no_more(1.5 * SCALE)
    finally:
        door.signal(signal.SIGCONT)
    assert manager.hear() == {"WATCHDOG": "1"}
    assert door.get().status == 200


def test_each_upgrade_is_a_sign_of_life(portunus, upstream, manager):
    """However soon one follows another; the usual ones come once in a minute here."""
    door = portunus(one_pool(upstream()), env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "120000000"})
    for count in range(1, 3):
        door.signal(signal.SIGUSR2)
        manager.hear_of("WATCHDOG")
        wait_until(lambda count=count: door.log().count("goes on as") == count, "the supervisor is the new program")


def test_watchdog_of_another_process_is_not_ours(portunus, upstream, manager):
    portunus(one_pool(upstream()), env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"})
    assert manager.hear()["READY"] == "1"
    manager.hear_no_more(0.5)


@pytest.mark.parametrize("name", ["", "nonsense", "/nowhere/socket", "@" + "x" * 200, "vsock:1:2"])
def test_a_socket_that_cannot_be_spoken_to_changes_nothing(portunus, upstream, name):
    door = portunus(one_pool(upstream()), env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "100000"})
    assert door.get().status == 200
    with door.connect() as client:
        client.send(get("/"))
        assert client.read_response().status == 200
