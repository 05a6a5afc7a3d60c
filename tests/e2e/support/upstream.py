"""Upstreams made of raw sockets: a thread for each connection runs a script, and what came is recorded byte for byte."""

import socket
import threading
import traceback

from .ports import listening_socket
from .waiting import PATIENCE, NotInTime
from .wire import Connection, Truncated, answer


class UpstreamConnection(Connection):
    """One connection that the program under test opened."""

    def __init__(self, sock, number, upstream):
        super().__init__(sock)
        self.number = number  # counted from 1
        self.upstream = upstream
        self.received = bytearray()
        self.requests = []
        self.is_open = True
        self.sent = 0
        if upstream.is_recording:
            self.on_received = self.received.extend

    def read_request(self):
        """The next request, None when the connection ends instead; waits for as long as the upstream lives."""
        self.patience = 3600
        request = super().read_request_head()
        self.patience = PATIENCE
        if request is None:
            return None
        self.note(request)
        self.read_body(request, until_end=False)
        return request

    def read_head(self):
        """As read_request(), and leaves the body."""
        self.patience = 3600
        request = super().read_request_head()
        self.patience = PATIENCE
        if request is not None:
            self.note(request)
        return request

    def note(self, request):
        request.connection = self.number
        with self.upstream.changed:
            self.requests.append(request)
            self.upstream.requests.append(request)
            self.upstream.changed.notify_all()

    def reply(self, status=200, body=b"ok", *fields):
        self.send(answer(status, body, *fields))

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


def serve_requests(per_request):
    """A script that answers one request after the other: per_request(connection, request)."""

    def script(connection):
        while (request := connection.read_request()) is not None:
            per_request(connection, request)

    return script


def ok(connection, _request):
    connection.reply()


def always(data):
    """A script that answers every request with these bytes."""
    return serve_requests(lambda connection, _request: connection.send(data))


class Upstream:
    """A server on a free port. `script(connection)` runs once for each connection; a list gives the first connection
    the first script and so on, the last one goes on for the rest."""

    def __init__(self, script=serve_requests(ok), record=True, port=0, backlog=1024):
        self.scripts = script if isinstance(script, list) else [script]
        self.is_recording = record
        self.changed = threading.Condition()
        self.connections = []
        self.requests = []
        self.errors = []  # of scripts; a test with any fails
        self.ended_early = 0  # scripts that were cut off by a close
        self.is_closing = False
        self.listener = listening_socket(port, backlog)
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if self.is_closing:
                sock.close()
                return
            with self.changed:
                connection = UpstreamConnection(sock, len(self.connections) + 1, self)
                self.connections.append(connection)
                self.changed.notify_all()
            thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _run(self, connection):
        script = self.scripts[min(connection.number, len(self.scripts)) - 1]
        try:
            script(connection)
        except (OSError, Truncated):
            self.ended_early += 1  # the program under test closed: tests look at what came before
        except Exception:  # noqa: BLE001 - shown by check()
            if not self.is_closing:
                self.errors.append(traceback.format_exc())
        finally:
            connection.close()
            with self.changed:
                connection.is_open = False
                self.changed.notify_all()

    @property
    def received(self):
        return b"".join(bytes(connection.received) for connection in self.connections)

    @property
    def open_connections(self):
        return sum(connection.is_open for connection in self.connections)

    def wait_for(self, condition, what, seconds=PATIENCE):
        """condition(self), looked at after every change."""
        with self.changed:
            if not self.changed.wait_for(lambda: condition(self), seconds):
                raise NotInTime(f"upstream: not within {seconds:g} s: {what}")

    def wait_for_requests(self, count, seconds=PATIENCE):
        self.wait_for(lambda u: len(u.requests) >= count, f"{count} requests", seconds)
        return self.requests

    def close(self):
        self.is_closing = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for connection in list(self.connections):
            connection.close()
        for thread in self.threads:
            thread.join(PATIENCE)

    def check(self):
        assert not self.errors, "an upstream's script failed:\n" + "\n".join(self.errors)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
