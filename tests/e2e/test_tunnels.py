"""Upgrades: WebSocket and other protocols, both directions, half-closes, refusals."""

import threading

import pytest

from support.door import one_pool
from support.waiting import PATIENCE, wait_until
from support.websocket import CLOSE, echo, frame, open_websocket, read_frame
from support.wire import get, head

pytestmark = pytest.mark.smoke

RAW = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n"


def open_raw(client):
    client.send(get("/", "Upgrade: raw", "Connection: Upgrade"))
    response = client.read_response()
    assert response.status == 101
    assert response.header("upgrade") == "raw"


def test_websocket_talks_both_ways(portunus, upstream):
    door = portunus(one_pool(upstream(echo)))
    with door.connect() as client:
        open_websocket(client)
        for payload in (b"hello", b"", b"x" * 70_000, b"last"):
            client.send(frame(payload, masked=True))
            assert read_frame(client) == (1, payload)
        client.send(frame(b"", CLOSE, masked=True))
        assert read_frame(client) == (CLOSE, b"")
        client.expect_end()


def test_upgrade_reaches_the_upstream(portunus, upstream):
    member = upstream(echo)
    door = portunus(one_pool(member))
    with door.connect() as client:
        open_websocket(client)
    request = member.requests[0]
    assert request.header("upgrade") == "websocket"
    assert "upgrade" in request.header("connection").lower()
    assert request.header("sec-websocket-version") == "13"


def test_bytes_right_behind_the_handshake_arrive(portunus, upstream):
    def script(connection):
        connection.read_request()
        connection.send(RAW + b"greeting")
        assert connection.read_exactly(5) == b"hello"
        connection.send(b"world")

    door = portunus(one_pool(upstream(script)))
    with door.connect() as client:
        open_raw(client)
        assert client.read_exactly(8) == b"greeting"
        client.send(b"hello")
        assert client.read_exactly(5) == b"world"
        client.expect_end()


def test_client_may_end_its_direction_first(portunus, upstream):
    def script(connection):
        connection.read_request()
        connection.send(RAW)
        data = connection.read_until_end()
        connection.send(b"got " + data)

    door = portunus(one_pool(upstream(script)))
    with door.connect() as client:
        open_raw(client)
        client.send(b"all of it")
        client.end_writing()
        assert client.read_until_end() == b"got all of it"
        assert not client.was_reset


def test_upstream_may_end_its_direction_first(portunus, upstream):
    came = []

    def script(connection):
        connection.read_request()
        connection.send(RAW + b"all of it")
        connection.end_writing()
        came.append(connection.read_until_end())

    member = upstream(script)
    door = portunus(one_pool(member))
    with door.connect() as client:
        open_raw(client)
        assert client.read_until_end() == b"all of it"
        client.send(b"still talking")
        client.end_writing()
        member.wait_for(lambda u: u.open_connections == 0, "the tunnel ends")
    assert came == [b"still talking"]


def test_reset_on_one_side_ends_the_other(portunus, upstream):
    def script(connection):
        connection.read_request()
        connection.send(RAW)
        connection.fill()

    member = upstream(script)
    door = portunus(one_pool(member))
    client = door.connect()
    open_raw(client)
    client.reset()
    member.wait_for(lambda u: u.open_connections == 0, "the tunnel ends")


def test_upstream_reset_ends_the_client(portunus, upstream):
    release = threading.Event()

    def script(connection):
        connection.read_request()
        connection.send(RAW)
        release.wait(PATIENCE)
        connection.reset()

    door = portunus(one_pool(upstream(script)))
    with door.connect() as client:
        open_raw(client)
        release.set()
        client.expect_end()


def test_refused_upgrade_is_an_ordinary_answer(portunus, upstream):
    door = portunus(one_pool(upstream()))
    with door.connect() as client:
        client.send(get("/", "Upgrade: raw", "Connection: Upgrade"))
        assert client.read_response().body == b"ok"
        client.send(get("/"))
        assert client.read_response().body == b"ok"


def test_switch_to_another_protocol_than_the_offered_one_is_refused(portunus, upstream):
    def script(connection):
        connection.read_request()
        connection.send(RAW + b"bytes")

    door = portunus(one_pool(upstream(script)))
    with door.connect() as client:
        client.send(get("/", "Connection: upgrade", "Upgrade: WebSocket"))
        assert client.read_response().status == 502


def test_offer_of_h2c_is_not_passed_on(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member))
    fields = ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"]
    assert door.ask(get("/", *fields)).status == 200
    assert "upgrade" not in member.requests[0].fields
    assert "http2-settings" not in member.requests[0].fields


def test_open_tunnels_are_counted(portunus, upstream):
    door = portunus(one_pool(upstream(echo)))
    name = "portunus_upgraded_connections_active"
    with door.connect() as client:
        open_websocket(client)
        wait_until(lambda: door.metric(name, kind="websocket") == 1, "one open tunnel")
        client.send(frame(b"", CLOSE, masked=True))
        read_frame(client)
    wait_until(lambda: door.metric(name) == 0, "no open tunnel")


def test_idle_tunnel_is_closed(portunus, upstream):
    def script(connection):
        connection.read_request()
        connection.send(RAW + b"still here")  # in one piece: nobody here has to be quicker than the time-out
        connection.fill()

    door = portunus(one_pool(upstream(script), pool={"timeouts": {"tunnel": "300ms"}}))
    with door.connect() as client:
        open_raw(client)
        assert client.read_exactly(10) == b"still here"
        client.expect_end()


def test_tunnel_carries_a_lot_both_ways_at_once(portunus, upstream):
    size = 20_000_000

    def script(connection):
        connection.read_request()
        connection.send(RAW)
        sender = threading.Thread(target=connection.send, args=(b"d" * size,))
        sender.start()
        assert len(connection.read_exactly(size)) == size
        sender.join()

    door = portunus(one_pool(upstream(script, record=False)))
    with door.connect() as client:
        open_raw(client)
        sender = threading.Thread(target=client.send, args=(b"u" * size,))
        sender.start()
        assert client.read_until_end() == b"d" * size
        sender.join()


def test_switch_before_the_end_of_the_request_is_refused(portunus, upstream):
    """The rest of the body would be taken for the other protocol."""

    def script(connection):
        if connection.read_head():
            connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")

    door = portunus(one_pool(upstream(script)))
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Connection: upgrade", "Upgrade: x", "Transfer-Encoding: chunked")
                    + b"5\r\n123")
        response = client.read_response()
        assert response.status == 502
        assert b"upstream_protocol" in response.body
        client.try_send(b"45\r\n0\r\n\r\n")
        client.expect_end()
