"""Bounded memory: who reads slowly slows the sender down, in both directions."""

import threading

import pytest

from support.door import one_pool
from support.waiting import PATIENCE, SANITIZER, SCALE, wait_until_still
from support.wire import answer, chunked, get, head

MIB = 1 << 20
TOTAL = 200 * MIB
BLOCK = b"b" * MIB
GROWTH_MAX = 10 * MIB
LONG_S = 60 * SCALE
UNHURRIED = {"write": "10m", "body": "10m"}  # who waits for its turn to be read is not cut off


def check_growth(door, before):
    """Sanitizers keep freed memory, so the figure means nothing there."""
    if not SANITIZER:
        growth = door.resident_bytes() - before
        assert growth < GROWTH_MAX, f"grew by {growth / MIB:.1f} MiB"


def read_and_count(connection, total):
    count = 0
    while count < total:
        data = connection.read_some()
        assert data, f"ended after {count} of {total} bytes"
        count += len(data)
    return count


def send_counted(connection, total):
    for _ in range(total // MIB):
        connection.send(BLOCK)
        connection.sent += MIB


@pytest.mark.parametrize("framing", ["Content-Length: %d" % TOTAL, "Transfer-Encoding: chunked"])
def test_slow_client_of_a_large_answer(portunus, upstream, framing):
    is_chunked = "chunked" in framing

    def script(connection):
        connection.read_request()
        connection.patience = LONG_S
        connection.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
        for _ in range(TOTAL // MIB):
            connection.send(b"100000\r\n" + BLOCK + b"\r\n" if is_chunked else BLOCK)
            connection.sent += MIB
        if is_chunked:
            connection.send(b"0\r\n\r\n")
        connection.fill()

    member = upstream(script, record=False)
    door = portunus(one_pool(member, threads=1, timeouts=UNHURRIED))
    with door.connect(receive_buffer=65536) as client:
        before = door.resident_bytes()
        client.send(get("/large"))
        member.wait_for_requests(1)
        stopped_at = wait_until_still(lambda: member.connections[0].sent, "the upstream is held back")
        assert stopped_at < TOTAL / 2, "nobody held the upstream back"
        check_growth(door, before)
        response = client.read_response_head()
        if is_chunked:
            count = 0
            while chunk := client.read_chunk():
                count += len(chunk)
            assert count == TOTAL
        else:
            assert read_and_count(client, TOTAL) == TOTAL
        assert response.status == 200
        check_growth(door, before)


def test_slow_upstream_of_a_large_upload(portunus, upstream):
    read_on = threading.Event()

    def script(connection):
        connection.read_head()
        read_on.wait(LONG_S)
        assert read_and_count(connection, TOTAL) == TOTAL
        connection.reply()
        connection.fill()

    member = upstream(script, record=False)
    door = portunus(one_pool(member, threads=1, timeouts=UNHURRIED))
    with door.connect(patience=LONG_S) as client:
        before = door.resident_bytes()
        client.sent = 0
        client.send(head("POST / HTTP/1.1", f"Content-Length: {TOTAL}"))
        sender = threading.Thread(target=send_counted, args=(client, TOTAL), daemon=True)
        sender.start()
        member.wait_for_requests(1)
        assert wait_until_still(lambda: client.sent, "the client is held back") < TOTAL / 2
        check_growth(door, before)
        read_on.set()
        sender.join(LONG_S)
        assert client.read_response().status == 200
        check_growth(door, before)


def test_many_slow_clients_cost_little_each(portunus, upstream):
    # A thread keeps 16 MiB before it reads less at a time: many clients show what each costs then.
    size, count = 2 * MIB, 200

    def script(connection):
        connection.read_request()
        connection.patience = LONG_S
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size // MIB):
            connection.send(BLOCK)
            connection.sent += MIB
        connection.fill()

    member = upstream(script, record=False)
    door = portunus(one_pool(member, threads=1, timeouts=UNHURRIED))
    before = door.resident_bytes()
    clients = [door.connect(receive_buffer=8192) for _ in range(count)]
    for client in clients:
        client.send(get("/large"))
    member.wait_for_requests(count)
    wait_until_still(lambda: sum(c.sent for c in member.connections), "the upstreams are held back")
    if not SANITIZER:
        each = (door.resident_bytes() - before) / len(clients)
        assert each < 300 * 1024, f"{each / 1024:.0f} KiB for each slow client"
    for client in clients:
        assert client.read_response_head().status == 200
        assert read_and_count(client, size) == size
        client.close()


@pytest.mark.slow
def test_body_of_three_gib(portunus, upstream):
    """Longer than 32 bits can count."""
    total = 3 * 1024 * MIB + 5

    def script(connection):
        request = connection.read_head()
        assert request.header("content-length") == str(total)
        count, view = 0, memoryview(bytearray(MIB))
        count += len(connection.buffer)
        connection.sock.settimeout(PATIENCE)
        while count < total:
            received = connection.sock.recv_into(view)
            assert received, f"ended after {count} bytes"
            count += received
        connection.reply(200, str(count).encode())
        connection.fill()

    door = portunus(one_pool(upstream(script, record=False)))
    with door.connect(patience=LONG_S) as client:
        client.send(head("POST / HTTP/1.1", f"Content-Length: {total}"))
        for _ in range(total // MIB):
            client.send(BLOCK)
        client.send(b"12345")
        assert client.read_response().body == str(total).encode()


def test_many_small_chunks_in_one_read_go_through(portunus, upstream):
    """More slices in one turn than may be unsent: all of them leave, in both directions."""
    body = chunked(*[b"x" * 1000] * 400)

    def script(connection):
        request = connection.read_head()
        if request:
            connection.read_body(request, False)
            connection.send(answer(200, body, "Transfer-Encoding: chunked", length=False))

    door = portunus(one_pool(upstream(script)))
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + body)
        assert len(client.read_response().body) == 400_000


def test_client_that_asks_without_reading_waits(portunus):
    """Answers to pipelined requests are bounded as bodies are, however many requests have come."""
    body = "x" * 8000
    door = portunus({"sites": {"*": {"respond": {"status": 200, "body": body}}}, "threads": 1,
                     "limits": {"requests_per_connection": 1_000_000}, "timeouts": {"write": "1s"}})
    before = door.resident_bytes()
    with door.connect(receive_buffer=65536) as client:
        requests = get("/") * 1000
        # Until the program hangs up on a client that takes nothing.
        for _ in range(2000):
            if not client.try_send(requests):
                break
        else:
            raise AssertionError("the client could go on asking")
    assert door.peak_resident_bytes() - before < 32 * MIB
