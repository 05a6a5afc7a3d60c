"""A member that stays alive and misbehaves as a test says, for test_chaos_moods.py: its mood holds for each request that
comes from then on."""

import socket
import threading

from .ports import free_port
from .upstream import Upstream, serve_requests

MOODS = ["fails", "hangs", "slow", "resets", "refuses"]
HANGS_FOR = 60
PIECE_S = 0.02  # between two pieces of a slow answer
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n"  # one that never ends


class MoodyMember:
    def __init__(self):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.mood, self.may_know = "well", False
        self.mood_ends = threading.Event()  # who hangs in an earlier mood may go
        self.lock = threading.Lock()
        self.asked = dict.fromkeys([*MOODS, "well"], 0)
        self.executed = {}  # by the path of each POST: how often it was read in full
        self.servers = []
        self.listen()

    def listen(self):
        self.servers.append(Upstream(serve_requests(self.answer), record=False, port=self.port))

    def refuse(self):
        """Connections that stand go on: an answer that has begun is not cut."""
        listener = self.servers[-1].listener
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()

    def become(self, mood, may_know=False):
        """`may_know`: its probes suffer, too."""
        before, self.mood, self.may_know = self.mood, mood, may_know
        ended, self.mood_ends = self.mood_ends, threading.Event()
        ended.set()
        if mood == "refuses":
            self.refuse()
        elif before == "refuses":
            self.listen()

    def answer(self, connection, request):
        mood, ends = self.mood, self.mood_ends
        number = 0
        if request.target == "/health":
            mood = mood if self.may_know else "well"
        else:
            with self.lock:
                self.asked[mood] += 1
                number = self.asked[mood]
                if request.method == "POST":
                    self.executed[request.target] = self.executed.get(request.target, 0) + 1
        body = request.target.encode()
        if mood == "well":
            connection.reply(200, body)
        elif mood == "fails":
            connection.reply(502 + number % 3, b"a bad day")
        elif mood == "hangs":
            ends.wait(HANGS_FOR)
            connection.close()
        elif mood == "slow":
            for piece in (b"HTTP/1.1 200 OK\r\n", b"Content-Length: %d\r\n\r\n" % len(body), body[:1], body[1:]):
                connection.send(piece)
                ends.wait(PIECE_S)
        else:
            connection.send(HEAD[:number % len(HEAD)])
            connection.reset()

    def close(self):
        self.mood_ends.set()
        for server in self.servers:
            server.close()

    def check(self):
        for server in self.servers:
            server.check()
