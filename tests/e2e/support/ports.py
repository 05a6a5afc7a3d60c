"""Free ports, below the range from which the kernel takes ports for outgoing connections, so that none is taken between
the choice and its use. The processes of one run each have a part of them; two runs at a time start at different places."""

import itertools
import os
import random
import socket

PARTS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
PART = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
SIZE = (32000 - 10100) // PARTS
FIRST, LAST = 10100 + PART * SIZE, 10100 + (PART + 1) * SIZE
_choices = itertools.count(random.Random(os.getpid()).randrange(LAST - FIRST))


def free_port():
    for offset in itertools.islice(_choices, LAST - FIRST):
        port = FIRST + offset % (LAST - FIRST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def listening_socket(port=0, backlog=1024):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port or free_port()))
    server.listen(backlog)
    return server


def free_ports(count):
    """That many in a row."""
    while True:
        ports = [free_port() for _ in range(count)]
        if ports[-1] - ports[0] == count - 1:
            return ports
