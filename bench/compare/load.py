"""The load: the fast upstream, wrk, held idle connections, and the wait for a first answer."""

import http.client
import json
import os
import re
import select
import shutil
import socket
import subprocess
import time

from .certificates import client_context
from .processes import Program, ProgramError

BENCH_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT_FOLDER = os.path.dirname(BENCH_FOLDER)
WRK_SCRIPT = os.path.join(BENCH_FOLDER, "compare", "wrk_report.lua")
CONNECT_PAUSE_SECONDS = 0.0005
PLAIN_REQUEST = b"GET /1k HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def build_upstream(given=None):
    """Returns the path of the upstream's program: the one given, CMake's, or one compiled here when out of date."""
    if given:
        return given
    source = os.path.join(BENCH_FOLDER, "upstream", "fast_upstream.cc")
    program = os.path.join(ROOT_FOLDER, "build", "bench", "fast_upstream")
    if os.path.exists(program) and os.path.getmtime(program) >= os.path.getmtime(source):
        return program
    os.makedirs(os.path.dirname(program), exist_ok=True)
    compiler = os.environ.get("CXX") or shutil.which("g++") or "c++"
    subprocess.run([compiler, "-std=c++20", "-O2", source, "-o", program], check=True)
    return program


def start_upstream(program, core, port_count=4):
    upstream = Program("upstream", [program, str(port_count)], core=core, pipe=True)
    ports = [int(word) for word in upstream.stdout.readline().split()]
    if len(ports) != port_count:
        raise ProgramError("the upstream did not start")
    return upstream, ports


def connect(port, timeout, context=None):
    """A connected socket; through TLS with a context."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    if context is None:
        return plain
    try:
        return context.wrap_socket(plain)
    except OSError:
        plain.close()
        raise


def wait_for_answer(program, port, host=None, path="/1k", timeout=20.0, tls=False):
    """Asks until a complete 200 arrives; returns the seconds since the program was started."""
    deadline = program.started + timeout
    request = f"GET {path} HTTP/1.1\r\nHost: {host or '127.0.0.1'}\r\nConnection: close\r\n\r\n".encode()
    last = "no connection"
    while time.monotonic() < deadline:
        if not program.is_alive():
            raise ProgramError(f"{program.name} ended at its start:\n{program.log_tail()}")
        try:
            with connect(port, 2.0, client_context() if tls else None) as s:
                s.sendall(request)
                answer = b""
                while piece := s.recv(65536):
                    answer += piece
            if answer.startswith(b"HTTP/1.1 200 "):
                return time.monotonic() - program.started
            last = answer[:200].decode("latin-1")
        except OSError as error:
            last = str(error)
        time.sleep(CONNECT_PAUSE_SECONDS)
    raise ProgramError(f"{program.name}: no 200 within {timeout} s (last: {last})\n{program.log_tail()}")


def check_answers(name, port, tls=False, sizes=((b"/1k", 1024), (b"/10k", 10240), (b"/100k", 102400))):
    """One request of each kind, twice on one connection, byte counts checked, before anything is timed."""
    if tls:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=client_context())
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for path, size in sizes * 2:
        connection.request("GET", path.decode())
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200 or len(body) != size:
            raise ProgramError(f"{name}: {path} gave status {answer.status} and {len(body)} bytes")
    connection.request("POST", "/post", body=b"x" * 1000000)
    answer = connection.getresponse()
    if answer.status != 200 or len(answer.read()) != 2:
        raise ProgramError(f"{name}: POST gave status {answer.status}")
    connection.close()


def run_wrk(port, seconds, connections, path, core, body_bytes=0, close=False, spread=None, certificate=None):
    """One run of wrk with one thread; returns its figures as a dictionary (see wrk_report.lua).

    `spread` is (sites, host pattern, path pattern, paths): the requests go to many sites by turns.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", WRK_SCRIPT]
    if close:
        command += ["-H", "Connection: close"]
    command += [f"{'https' if certificate else 'http'}://127.0.0.1:{port}{path}", "--", str(body_bytes)]
    if spread:
        command += [str(x) for x in spread]
    output = _output_of("wrk", command, core, certificate)
    for line in output.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[len("RESULT "):])
    raise ProgramError(f"wrk gave no result:\n{output}")


def _output_of(name, command, core, certificate):
    run = Program(name, command, core=core, pipe=True, env=certificate.client_env if certificate else None)
    try:
        output = run.stdout.read().decode()
        run.wait(30)
    finally:
        run.stop(grace=0.5)
    return output


def run_h2load(port, seconds, connections, path, core, streams, certificate):
    """One run of h2load with one thread; the figures of run_wrk, but for p50 and p99, which it does not tell."""
    command = ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", "--npn-list=h2",
               f"https://127.0.0.1:{port}{path}"]
    output = _output_of("h2load", command, core, certificate)
    counts = re.search(r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored,"
                       r" (\d+) timeout", output)
    statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
    data = re.search(r"\((\d+)\) data", output)
    if not counts or not statuses or not data or "Application protocol: h2" not in output:
        raise ProgramError(f"h2load gave no result:\n{output}")
    requests, failed, errored, late = map(int, counts.groups())
    return {"duration_us": seconds * 1e6, "requests": requests, "bytes": int(data[1]), "p50_us": 0, "p99_us": 0,
            "errors": {"failed": failed, "errored": errored, "timeout": late,
                       "status": sum(map(int, statuses.groups()[1:]))}}


def read_answer_1k(s):
    """Reads one whole answer of 1 KiB from a socket."""
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer) < 1024 + answer.index(b"\r\n\r\n") + 4:
        piece = s.recv(65536)
        if not piece:
            raise ProgramError("a connection was closed before its answer was complete")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise ProgramError(f"expected a 200, got {answer[:60]!r}")


def send_one_by_one(port, count, request=PLAIN_REQUEST):
    """`count` requests on one keep-alive connection, each after the answer to the one before."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        for _ in range(count):
            s.sendall(request)
            read_answer_1k(s)


class HeldConnections:
    """Many client connections that have each had one answer and now do nothing."""

    def __init__(self, port, count, tls=False, batch=64):
        self._port = port
        self._context = client_context() if tls else None
        self._sockets = []
        while len(self._sockets) < count:
            self._open(min(batch, count - len(self._sockets)))

    def _open(self, count):
        fresh = [connect(self._port, 20, self._context) for _ in range(count)]
        self._sockets += fresh
        for s in fresh:
            s.sendall(PLAIN_REQUEST)
        for s in fresh:
            read_answer_1k(s)

    def closed_count(self):
        """How many of them the proxy has closed (or sent something unasked on)."""
        poll = select.poll()
        for s in self._sockets:
            poll.register(s, select.POLLIN)
        return len(poll.poll(0))

    def close(self):
        for s in self._sockets:
            s.close()
        self._sockets = []
