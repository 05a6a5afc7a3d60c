"""WebSockets by npm's ws on both ends, in the clear and over TLS."""

import json

import pytest

from support.certificates import Authority, ask, client_context
from support.door import one_pool
from support.waiting import wait_until
from support.wire import connect, get
from support.ws_peers import Client, Server


class Ends:
    """A server and a door before it, and what a client has to be told to reach it."""

    def __init__(self, keeper, is_tls):
        folder, self.root = keeper.folder, None
        pool, front, root = {}, {}, {}
        files = None
        if is_tls:
            authority = Authority(folder)
            self.root = authority.root
            files = authority.make("localhost", ["localhost", "127.0.0.1"])
            pool = {"tls": {"ca_file": str(self.root)}}
            front, root = {"tls": True}, {"tls": {"certificates": [files]}}
        self.server = keeper.keep(Server(folder, files))
        self.config = one_pool(self.server, pool, front=front, **root)
        self.door = keeper.portunus(self.config)
        self.keep = keeper.keep

    def client(self, what):
        scheme = "wss" if self.root else "ws"
        return self.keep(Client(what, f"{scheme}://localhost:{self.door.port}", self.root))

    def ended(self):
        """How connections ended for the server, beside the proxy."""
        if self.root:
            return json.loads(ask(self.server.port, client_context(self.root))[2])
        with connect(self.server.port) as client:
            client.send(get("/", "Connection: close"))
            return json.loads(client.read_response().body)


@pytest.fixture(params=["plain", "tls"])
def ends(request, keeper):
    return Ends(keeper, request.param == "tls")


@pytest.mark.smoke
def test_fragments_and_pings(ends):
    ends.client("fragments").finish()
    ends.client("pings").finish()


def test_messages_of_16_mib(ends):
    ends.client("large").finish()


def test_close_codes_both_ways(ends):
    ends.client("closes").finish()
    wait_until(lambda: len(ends.ended()) == 8, "the server knows of every end")
    by_client = [[1000, "done"], [4001, "a reason of mine"], [4999, "x" * 123], [1006, ""]]
    # Whoever begins gets back what it has said; but the one that cuts has heard nothing.
    by_server = [[1001, "going"], [1011, ""], [4002, "a reason of the server"], [1006, ""]]
    assert sorted(ends.ended()) == sorted(by_client + by_server)


def test_a_hundred_survive_a_reload(ends):
    door, client = ends.door, ends.client("many")
    assert client.wait_for_line() == "all have talked\n"
    tunnels = {"name": "portunus_upgraded_connections_active", "kind": "websocket"}
    assert door.metric(**tunnels) == 100
    ends.config["pools"]["web"]["timeouts"] = {"first_byte": "17s"}
    door.write(ends.config)
    assert door.reload().returncode == 0
    assert door.generation() >= 2  # the file is watched as well
    assert door.metric(**tunnels) == 100
    client.finish("go on\n")
    wait_until(lambda: door.metric(**tunnels) == 0, "all have ended")
    wait_until(lambda: len(ends.ended()) == 100, "the server knows of every end")
    assert sorted(ends.ended()) == [[4000 + number, ""] for number in range(100)]
