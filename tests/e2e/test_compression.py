"""Answers are compressed for clients that take it, as they come, and never where it would break something."""

import gzip
import random
import shutil
import subprocess
import threading
import zlib

import pytest

from support.door import one_pool
from support.upstream import serve_requests
from support.waiting import SCALE, wait_until, wait_until_still
from support.wire import Truncated, answer, chunked, get

smoke = pytest.mark.smoke
CURL = shutil.which("curl")
MIB = 1 << 20
HTML = "Content-Type: text/html; charset=utf-8"
PAGE = b"".join(b"<p>line %d of the page</p>\n" % i for i in range(40_000))  # about 1 MiB


def site(compress="on", **more):
    return {"site": {"compress": compress, **more}, "threads": 1, "front": {"protocols": ["h1", "h2"]}}


def pages(body=PAGE, *fields, status=200):
    """A member that answers everything with the same."""
    return serve_requests(lambda connection, _request: connection.send(answer(status, body, HTML, *fields)))


def ask(door, *fields, method="GET", path="/"):
    return door.get(path, "Accept-Encoding: gzip", *fields, method=method)


# ---- what clients get


@smoke
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("protocol", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("level", ["fast", "balanced", "small"])
def test_curl_reads_every_coding(portunus, upstream, coding, protocol, level, tmp_path):
    member = upstream(pages())
    door = portunus(one_pool([member], **site({"level": level})))
    result = subprocess.run(
        [CURL, "--silent", "--show-error", protocol, "--max-time", str(20 * SCALE), "--compressed", "--header", f"Accept-Encoding: {coding}",
         "--dump-header", tmp_path / "head", "--output", tmp_path / "body", "--write-out", "%{size_download}", f"http://127.0.0.1:{door.port}/"],
        capture_output=True, text=True, check=True)
    assert (tmp_path / "body").read_bytes() == PAGE
    assert f"content-encoding: {coding}" in (tmp_path / "head").read_text().lower().splitlines()
    assert int(result.stdout) < len(PAGE) / 4
    wait_until(lambda: door.metric("portunus_http_requests_in_flight") == 0, "it is over, and counted")
    assert door.metric("portunus_compressed_responses_total", coding=coding) == 1
    assert door.metric("portunus_compression_input_bytes_total", coding=coding) == len(PAGE)
    assert door.metric("portunus_compression_output_bytes_total", coding=coding) == int(result.stdout)
    assert door.metric("portunus_http_response_body_bytes_total") == int(result.stdout)


def test_the_head_says_what_the_body_is(portunus, upstream):
    member = upstream(pages(PAGE, 'ETag: "v1"', "Accept-Ranges: bytes", "Vary: Cookie"))
    door = portunus(one_pool([member], **site()))
    got = ask(door)
    assert gzip.decompress(got.body) == PAGE
    assert got.header("content-encoding") == "gzip"
    assert got.header("etag") == 'W/"v1"'
    assert got.fields.all("vary") == ["Cookie", "Accept-Encoding"]
    assert "content-length" not in got.fields
    assert "accept-ranges" not in got.fields
    assert got.header("transfer-encoding") == "chunked"


def test_a_head_has_the_fields_and_no_body(portunus, upstream):
    def script(connection, request):
        connection.send(answer(200, PAGE, HTML, 'ETag: "v1"') if request.method == "GET" else
                        answer(200, b"", HTML, 'ETag: "v1"', f"Content-Length: {len(PAGE)}", length=False))

    door = portunus(one_pool([upstream(serve_requests(script))], **site()))
    of_get, of_head = ask(door), ask(door, method="HEAD")
    for name in ("content-encoding", "etag", "vary", "content-length"):
        assert of_head.header(name) == of_get.header(name), name
    assert of_head.header("content-encoding") == "gzip"
    wait_until(lambda: door.metric("portunus_http_requests_in_flight") == 0, "both are over, and counted")
    assert door.metric("portunus_compressed_responses_total") == 1


def test_who_does_not_take_it_gets_the_bytes_and_a_vary(portunus, upstream):
    door = portunus(one_pool([upstream(pages(PAGE, 'ETag: "v1"'))], **site()))
    for fields in ([], ["Accept-Encoding: gzip;q=0"], ["Accept-Encoding: identity, gzip;q=0.1"], ["Accept-Encoding: deflate"]):
        got = door.get("/", *fields)
        assert got.body == PAGE
        assert got.header("content-length") == str(len(PAGE))
        assert got.header("etag") == '"v1"'
        assert got.header("vary") == "Accept-Encoding"
        assert "content-encoding" not in got.fields


def test_old_clients_keep_their_connection(portunus, upstream):
    door = portunus(one_pool([upstream(pages())], **site()))
    with door.connect() as client:
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nHost: test.local\r\nConnection: keep-alive\r\nAccept-Encoding: gzip\r\n\r\n")
            assert client.read_response().body == PAGE


@pytest.mark.parametrize("what", ["encoded", "no-transform", "tiny", "image", "digest"])
def test_what_stays_as_it_is(portunus, upstream, what):
    data = {
        "encoded": answer(200, PAGE, HTML, "Content-Encoding: x-own"),
        "no-transform": answer(200, PAGE, HTML, "Cache-Control: public, no-transform"),
        "tiny": answer(200, PAGE[:1023], HTML),
        "image": answer(200, PAGE, "Content-Type: image/png"),
        "digest": answer(200, PAGE, HTML, "Content-Digest: sha-256=:AAAA:"),
    }[what]
    door = portunus(one_pool([upstream(serve_requests(lambda connection, _request: connection.send(data)))], **site()))
    got = ask(door)
    assert got.body == data.partition(b"\r\n\r\n")[2]
    assert got.header("content-encoding") == ("x-own" if what == "encoded" else None)
    assert "vary" not in got.fields
    wait_until(lambda: door.metric("portunus_http_requests_in_flight") == 0, "it is over, and counted")
    assert door.metric("portunus_compressed_responses_total") == 0


def test_a_part_of_a_page_stays_as_it_is_and_says_that_the_page_varies(portunus, upstream):
    part = answer(206, PAGE[:10], HTML, 'ETag: "v1"', f"Content-Range: bytes 0-9/{len(PAGE)}")
    member = upstream(serve_requests(lambda connection, _request: connection.send(part)))
    got = ask(portunus(one_pool([member], **site())), "Range: bytes=0-9")
    assert (got.status, got.body, got.header("etag")) == (206, PAGE[:10], '"v1"')
    assert "content-encoding" not in got.fields
    assert got.fields.all("vary") == ["Accept-Encoding"]


def test_it_is_off_unless_it_is_asked_for(portunus, upstream):
    routes = [{"match": {"path": "/off"}, "compress": "off", "pool": "web"}, {"match": {"path": "/on"}, "pool": "web"}]
    member = upstream(pages())
    door = portunus(one_pool([member], **site("on", routes=routes)))
    assert "content-encoding" not in ask(door, path="/off").fields
    assert ask(door, path="/on").header("content-encoding") == "gzip"
    assert "content-encoding" not in ask(portunus(one_pool([member]))).fields


def test_members_need_not_be_asked_for_it(portunus, upstream):
    member = upstream(pages())
    door = portunus(one_pool([member], **site("on", request_headers={"remove": ["Accept-Encoding"]})))
    assert gzip.decompress(ask(door).body) == PAGE
    assert "accept-encoding" not in member.requests[0].fields


def test_a_304_names_the_version_that_the_client_has(portunus, upstream):
    def script(connection, _request):
        connection.send(answer(304, b"", 'ETag: "v1"', length=False))

    door = portunus(one_pool([upstream(serve_requests(script))], **site()))
    assert ask(door, 'If-None-Match: W/"v1"').header("etag") == 'W/"v1"'
    assert ask(door, 'If-None-Match: "v1"').header("etag") == '"v1"'


def test_chunks_and_trailers_come_through(portunus, upstream):
    data = answer(200, chunked(PAGE[:1000], PAGE[1000:], trailers=["X-End: yes"]), HTML, "Transfer-Encoding: chunked", length=False)
    door = portunus(one_pool([upstream(serve_requests(lambda connection, _request: connection.send(data)))], **site()))
    got = ask(door)
    assert gzip.decompress(got.body) == PAGE
    assert got.trailers.get("x-end") == "yes"


# ---- as it comes


@smoke
def test_events_are_read_before_the_next_is_sent(portunus, upstream):
    was_read = threading.Event()

    def script(connection):
        connection.read_request()
        connection.send(answer(200, b"", "Content-Type: text/event-stream", "Transfer-Encoding: chunked", length=False))
        for number in range(3):
            event = b"data: %d\n\n" % number
            connection.send(b"%x\r\n%s\r\n" % (len(event), event))
            assert was_read.wait(20 * SCALE)
            was_read.clear()
        connection.send(b"0\r\n\r\n")

    door = portunus(one_pool([upstream(script)], **site({"types": ["text/event-stream"]})))
    with door.connect() as client:
        client.send(get("/", "Accept-Encoding: gzip"))
        assert client.read_response_head().header("content-encoding") == "gzip"
        decoder = zlib.decompressobj(31)
        for number in range(3):
            wanted, text = b"data: %d\n\n" % number, b""
            while len(text) < len(wanted):
                text += decoder.decompress(client.read_chunk())
            assert text == wanted
            was_read.set()
        while chunk := client.read_chunk():
            decoder.decompress(chunk)
        assert decoder.eof


def test_event_streams_are_left_alone_by_default(portunus, upstream):
    data = answer(200, chunked(PAGE), "Content-Type: text/event-stream", "Transfer-Encoding: chunked", length=False)
    door = portunus(one_pool([upstream(serve_requests(lambda connection, _request: connection.send(data)))], **site()))
    got = ask(door)
    assert (got.body, got.header("content-encoding")) == (PAGE, None)


def test_an_answer_that_is_cut_looks_cut(portunus, upstream):
    def script(connection):
        connection.read_request()
        connection.send(answer(200, b"", HTML, f"Content-Length: {len(PAGE)}", length=False) + PAGE[:-1])

    door = portunus(one_pool([upstream(script)], **site()))
    with door.connect() as client:
        client.send(get("/", "Accept-Encoding: gzip"))
        with pytest.raises(Truncated):
            client.read_response()


def test_a_client_that_does_not_read_holds_the_member_back(portunus, upstream):
    noise = random.Random(1).randbytes(MIB)
    total = 64

    def script(connection):
        connection.read_request()
        connection.send(answer(200, b"", HTML, f"Content-Length: {total * MIB}", length=False))
        for _ in range(total):
            connection.send(noise)
            connection.sent += 1

    member = upstream(script, record=False)
    door = portunus(one_pool([member], **site({"level": "fast"})))
    with door.connect(receive_buffer=65536) as client:
        client.send(get("/", "Accept-Encoding: gzip"))
        member.wait_for_requests(1)
        assert wait_until_still(lambda: member.connections[0].sent, "the member is held back") < total / 2
        decoder, count = zlib.decompressobj(31), 0
        assert client.read_response_head().status == 200
        while chunk := client.read_chunk():
            count += len(decoder.decompress(chunk))
        assert (count, decoder.eof) == (total * MIB, True)


def test_so_many_at_a_time_and_the_rest_as_they_are(portunus, upstream):
    bound = 64  # of one thread
    go_on = threading.Event()

    def script(connection):
        connection.read_request()
        connection.send(answer(200, b"", HTML, "Transfer-Encoding: chunked", length=False) + b"5\r\nhello\r\n")
        assert go_on.wait(20 * SCALE)
        connection.send(b"0\r\n\r\n")

    door = portunus(one_pool([upstream(script)], **site({"codings": ["gzip"], "level": "fast"})))
    clients = [door.connect() for _ in range(bound + 1)]
    codings = []
    for client in clients:
        client.send(get("/", "Accept-Encoding: gzip"))
        codings.append(client.read_response_head().header("content-encoding"))
    assert codings == ["gzip"] * bound + [None]
    assert door.metric("portunus_compression_busy_total", coding="gzip") == 1
    go_on.set()
    for client, coding in zip(clients, codings):
        body = b""
        while chunk := client.read_chunk():
            body += chunk
        assert (gzip.decompress(body) if coding else body) == b"hello"
        client.close()
    assert ask(door).header("content-encoding") == "gzip", "there is room again"
