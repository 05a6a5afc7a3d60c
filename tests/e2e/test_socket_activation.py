"""Listening sockets from whoever starts the program (LISTEN_FDS, as systemd passes them)."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from support.door import BINARY, one_pool
from support.upstream import serve_requests
from support.waiting import PATIENCE, wait_until
from support.wire import connect, get

pytestmark = pytest.mark.smoke


def listening(address="127.0.0.1", family=socket.AF_INET):
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind((address, 0))
    sock.listen(64)
    return sock


def holds(pid, sock):
    """That process has the socket open."""
    wanted = f"socket:[{os.fstat(sock.fileno()).st_ino}]"
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(link) == wanted:
                return True
    return False


class Activated:
    """The program, started as systemd does: descriptors from 3 on, LISTEN_PID its own."""

    def __init__(self, door, sockets):
        self.door = door
        self.sockets = sockets

    def start(self):
        moves = " ".join(f"{3 + number}<&{sock.fileno()}" for number, sock in enumerate(self.sockets))
        command = f'LISTEN_PID=$$ LISTEN_FDS={len(self.sockets)} exec "$0" run -c "$1" {moves}'
        with open(self.door.log_path, "ab") as log:
            self.door.process = subprocess.Popen(
                ["/bin/bash", "-c", command, BINARY, str(self.door.path)], cwd=self.door.folder, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=log, pass_fds=[sock.fileno() for sock in self.sockets], start_new_session=True)
        return self

    def stop(self):
        self.door.signal(signal.SIGTERM)
        assert self.door.wait() == 0


@pytest.fixture
def activated(portunus):
    """Made from a configuration and sockets; the program is not started yet."""
    kept = []

    def make(config, sockets):
        kept.extend(sockets)
        door = portunus({"sites": {"*": {"respond": {"status": 200}}}})  # for its folder and its clean-up
        door.signal(signal.SIGTERM)
        assert door.wait() == 0
        door.write(config)
        return Activated(door, sockets)

    yield make
    for sock in kept:
        sock.close()


def on_port(port, upstreams, threads=2):
    config = one_pool(upstreams, threads=threads)
    return {**config, "listeners": {"front": {"address": f"127.0.0.1:{port}"}}}


@pytest.mark.parametrize("threads", [1, 4])
def test_nobody_is_refused_while_the_program_is_not_there(activated, upstream, threads):
    sock = listening()
    port = sock.getsockname()[1]
    program = activated(on_port(port, upstream(), threads), [sock])
    for _ in range(3):
        early = [connect(port, patience=PATIENCE * 3) for _ in range(10)]  # it is bound by us: the program could not
        for client in early:
            client.send(get("/"))
        program.start()
        assert [client.read_response().status for client in early] == [200] * 10
        with connect(port) as client:
            client.send(get("/"))
            assert client.read_response().status == 200
        program.stop()


def test_several_sockets_of_one_address_go_to_several_threads(activated, upstream):
    first = socket.socket()
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    first.bind(("127.0.0.1", 0))
    second = socket.socket()
    second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    second.bind(first.getsockname())
    for sock in first, second:
        sock.listen(64)
    port = first.getsockname()[1]
    program = activated(on_port(port, upstream(), threads=2), [first, second]).start()
    for _ in range(40):  # the kernel spreads them over both
        with connect(port, patience=PATIENCE * 3) as client:
            client.send(get("/"))
            assert client.read_response().status == 200
    program.stop()


def test_sockets_of_no_use_are_told(activated, upstream):
    used, unused = listening(), listening()
    file = open(os.devnull, "rb")  # noqa: SIM115 - lives as long as the program
    port = used.getsockname()[1]
    program = activated(on_port(port, upstream()), [used, unused, file]).start()
    with connect(port) as client:
        client.send(get("/"))
        assert client.read_response().status == 200
    other = f"127.0.0.1:{unused.getsockname()[1]} is no listener of the configuration"
    wait_until(lambda: other in program.door.log(), "the listener is told")
    wait_until(lambda: "descriptor 5 is not a TCP listener" in program.door.log(), "the file is told")
    program.stop()


def test_sockets_for_another_process_are_not_taken(portunus, upstream):
    door = portunus(one_pool(upstream()), env={"LISTEN_PID": "1", "LISTEN_FDS": "3"})
    assert door.get().status == 200
    assert "LISTEN_FDS" not in door.log()


def test_running_request_finishes_and_the_next_one_waits_for_the_next_start(activated, upstream):
    sock = listening()
    port = sock.getsockname()[1]
    release = threading.Event()

    def script(connection, _request):
        release.wait(PATIENCE * 4)
        connection.reply(200, b"finished")

    member = upstream(serve_requests(script))
    program = activated(on_port(port, member), [sock]).start()
    with connect(port, patience=PATIENCE * 3) as running:
        running.send(get("/"))
        wait_until(lambda: len(member.requests) == 1, "it runs")
        proxy = program.door.pid
        assert holds(proxy, sock)
        program.door.signal(signal.SIGTERM)
        wait_until(lambda: not holds(proxy, sock), "it drains, and accepts nobody any more")
        late = connect(port, patience=PATIENCE * 3)
        late.send(get("/"))
        release.set()
        assert running.read_response().body == b"finished"
    assert program.door.wait() == 0
    program.start()
    for client in late, connect(port, patience=PATIENCE * 3):
        if client is not late:
            client.send(get("/"))
        assert client.read_response().status == 200
        client.close()
    program.stop()
