"""Real servers behind, real clients in front."""

import json
import os
import shutil
import subprocess

import pytest

from support import servers
from support.door import one_pool
from support.waiting import SCALE
from support.wire import chunked, get, head, post

CURL = shutil.which("curl")
SIZES = [0, 1, 4096, 65535, 65536, 65537, 1_000_000]

needs_curl = pytest.mark.skipif(not CURL, reason="curl is not installed")
needs_node = pytest.mark.skipif(not servers.NODE, reason="node is not installed")


def curl(door, path, *options):
    result = subprocess.run([CURL, "-sS", "--max-time", str(20 * SCALE), *options, f"http://127.0.0.1:{door.port}{path}"],
                            capture_output=True, check=False, timeout=30 * SCALE)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def behind_nginx(module_keeper):
    server = module_keeper.nginx()
    for size in SIZES:
        (module_keeper.folder / "www" / f"file-{size}").write_bytes(os.urandom(size))
    return module_keeper.portunus(one_pool(server)), module_keeper.folder / "www"


@needs_curl
@pytest.mark.parametrize("size", SIZES)
def test_files_of_nginx_by_curl(behind_nginx, size):
    door, folder = behind_nginx
    assert curl(door, f"/file-{size}") == (folder / f"file-{size}").read_bytes()


@needs_curl
def test_ranges_and_validators_of_nginx(behind_nginx):
    door, folder = behind_nginx
    whole = (folder / "file-1000000").read_bytes()
    assert curl(door, "/file-1000000", "-r", "1000-1999") == whole[1000:2000]
    tag = door.get("/file-1000000", method="HEAD").header("etag")
    response = door.get("/file-1000000", f"If-None-Match: {tag}")
    assert (response.status, response.body) == (304, b"")


@needs_curl
def test_many_transfers_at_once_by_curl(behind_nginx, tmp_path):
    door, folder = behind_nginx
    outputs = [tmp_path / str(number) for number in range(50)]
    pairs = [part for file in outputs for part in ("-o", str(file), f"http://127.0.0.1:{door.port}/file-65537")]
    curl(door, "/file-1", "--parallel", *pairs, "-o", str(tmp_path / "last"))
    whole = (folder / "file-65537").read_bytes()
    assert all(file.read_bytes() == whole for file in outputs)


@needs_curl
def test_http10_by_curl(behind_nginx):
    door, folder = behind_nginx
    assert curl(door, "/file-65537", "--http1.0") == (folder / "file-65537").read_bytes()


@needs_curl
def test_empty_answer_of_nginx(behind_nginx):
    door, _ = behind_nginx
    assert curl(door, "/nothing", "-o", "-", "-w", "%{http_code}") == b"204"


def test_python_server_speaks_http10(module_keeper):
    server = module_keeper.keep(servers.http_server(module_keeper.folder))
    (module_keeper.folder / "www" / "text").write_text("from python\n" * 1000)
    door = module_keeper.portunus(one_pool(server))
    with door.connect() as client:
        for _ in range(5):
            client.send(get("/text"))
            response = client.read_response()
            assert response.body == b"from python\n" * 1000
        client.send(get("/missing"))
        assert client.read_response().status == 404


@pytest.fixture(scope="module")
def behind_node(module_keeper):
    return module_keeper.portunus(one_pool(module_keeper.keep(servers.node(module_keeper.folder))))


@needs_node
def test_node_sees_the_request(behind_node):
    with behind_node.connect() as client:
        client.send(post("/path?q=1", b"x" * 100_000, "X-Mine: 1"))
        seen = json.loads(client.read_response().body)
    assert (seen["method"], seen["url"], seen["size"]) == ("POST", "/path?q=1", 100_000)
    assert seen["headers"]["x-mine"] == "1"
    assert seen["headers"]["x-forwarded-for"] == "127.0.0.1"


@needs_node
def test_node_sees_chunks_and_trailers(behind_node):
    data = head("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X-Sum")
    seen = json.loads(behind_node.ask(data + chunked(b"a" * 1000, b"b", trailers=["X-Sum: 9"])).body)
    assert seen["size"] == 1001
    assert seen["trailers"] == {"x-sum": "9"}


@needs_node
def test_trailers_of_node(behind_node):
    response = behind_node.ask(get("/trailers", "TE: trailers"))
    assert response.body == b"some text"
    assert response.trailers.get("x-sum") == "42"


@needs_node
def test_early_hints_of_node(behind_node):
    response = behind_node.ask(get("/hints"))
    assert response.body == b"hinted"
    assert [hint.header("link") for hint in response.interim] in ([], ["</a.css>; rel=preload"])


@needs_node
def test_upgrade_of_node(behind_node):
    with behind_node.connect() as client:
        client.send(get("/", "Upgrade: echo", "Connection: Upgrade"))
        assert client.read_response().status == 101
        client.send(b"there and back")
        assert client.read_exactly(14) == b"there and back"
        client.end_writing()
        client.expect_end()


@needs_node
@needs_curl
def test_curl_waits_for_100_of_node(behind_node, tmp_path):
    file = tmp_path / "upload"
    file.write_bytes(b"u" * 2_000_000)
    seen = json.loads(curl(behind_node, "/upload", "-T", str(file), "-H", "Expect: 100-continue"))
    assert (seen["method"], seen["size"]) == ("PUT", 2_000_000)


@needs_node
@needs_curl
def test_chunked_upload_by_curl(behind_node, tmp_path):
    file = tmp_path / "upload"
    file.write_bytes(b"u" * 2_000_000)
    seen = json.loads(curl(behind_node, "/upload", "-T", str(file), "-H", "Transfer-Encoding: chunked"))
    assert seen["size"] == 2_000_000
    assert seen["headers"]["transfer-encoding"] == "chunked"
