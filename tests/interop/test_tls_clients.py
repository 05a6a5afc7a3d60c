"""Real clients and scanners of TLS: curl, nghttp, h2load, openssl s_client, sslscan, testssl.sh; nginx behind."""

import json
import os
import re
import signal
import subprocess
import xml.etree.ElementTree as xml

import pytest

from support.certificates import Authority, openssl
from support.door import one_pool
from support.h2_servers import nginx
from support.upstream import serve_requests
from support.waiting import SANITIZER, SCALE

BYTES = os.urandom(3_000_000)
only_once = pytest.mark.skipif(bool(SANITIZER), reason="looks at what TLS offers, which is the same without sanitizers")


def echo(connection, asked):
    connection.reply(200, asked.body)


class World:
    """nginx with two files and /echo/, and a door before it that has a certificate of each kind."""

    def __init__(self, keeper):
        upstream = keeper.upstream(serve_requests(echo), record=False)
        member = keeper.keep(nginx(keeper.folder, upstream.address))
        (keeper.folder / "www" / "file").write_bytes(BYTES)
        (keeper.folder / "www" / "small").write_text("a small file\n" * 10)
        authority = Authority(keeper.folder)
        self.root, self.folder = authority.root, keeper.folder
        certificates = [authority.make(kind, ["localhost"], kind, days=90) for kind in ("ec", "rsa")]
        self.door = keeper.portunus(one_pool(
            member, {"protocol": "h2c"}, {"headers": "security"}, front={"tls": True}, tls={"certificates": certificates},
        ))
        self.address = f"localhost:{self.door.port}"

    def url(self, path="/file"):
        return f"https://{self.address}{path}"


@pytest.fixture(scope="module")
def world(module_keeper):
    return World(module_keeper)


def run(program, *arguments, status=0):
    result = subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=40 * SCALE, check=False)
    assert result.returncode == status, f"{program} ended with {result.returncode}: {result.stderr} {result.stdout[-3000:]}"
    return result.stdout


@pytest.mark.smoke
@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("http", ["1.1", "2"])
def test_curl(world, tmp_path, http, tls):
    """Files, ranges, uploads of known and of unknown length."""

    def curl(path, *options):
        text = run("curl", "-sS", f"--http{http}", f"--tlsv{tls}", "--tls-max", tls, "--cacert", world.root, "--max-time",
                   20 * SCALE, "-H", "Expect:", "-w", "\n%{http_code} %{http_version} %{ssl_verify_result}", *options, world.url(path))
        body, _, seen = text.rpartition(b"\n")
        return body, seen.decode()

    file = tmp_path / "upload"
    file.write_bytes(BYTES)
    assert curl("/file") == (BYTES, f"200 {http} 0")
    assert curl("/file", "--range", "1000-1999") == (BYTES[1000:2000], f"206 {http} 0")
    assert curl("/file", "--range", "-10") == (BYTES[-10:], f"206 {http} 0")
    assert curl("/file", "--range", "3000000-")[1] == f"416 {http} 0"
    assert curl("/echo/", "--upload-file", file) == (BYTES, f"200 {http} 0")
    assert curl("/echo/", "--upload-file", file, "-H", "Transfer-Encoding: chunked") == (BYTES, f"200 {http} 0")
    _, seen = curl("/file", "--parallel", *(part for _ in range(20) for part in ("-o", os.devnull, world.url())), "-o", os.devnull)
    assert seen == f"200 {http} 0"


@pytest.mark.smoke
def test_nghttp(world):
    text = run("nghttp", "-v", "-m", 10, world.url("/file"), world.url("/missing")).decode(errors="replace")
    assert "The negotiated protocol: h2" in text
    assert (text.count(":status: 200"), text.count(":status: 404")) == (10, 10)
    assert "recv RST_STREAM" not in text and "recv GOAWAY" not in text


@pytest.mark.parametrize("options, protocol", [(["-m", "32"], "h2"), (["--h1"], "http/1.1")])
def test_h2load(world, options, protocol):
    before = world.door.metric("portunus_tls_handshakes_total", result="ok")
    text = run("h2load", "-n", 2000, "-c", 4, *options, world.url("/small")).decode()
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in text, text
    assert f"Application protocol: {protocol}\n" in text and "TLS Protocol: TLSv1.3\n" in text
    assert world.door.metric("portunus_tls_handshakes_total", result="ok") == before + 4


def s_client(world, *options):
    return openssl("s_client", "-connect", world.address, "-servername", "localhost", "-CAfile", world.root,
                   "-verify_return_error", "-ign_eof", *options, text="GET /small HTTP/1.1\r\nHost: localhost\r\n"
                   "Connection: close\r\n\r\n")


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_openssl_s_client(world, tmp_path, version):
    """Each kind of certificate, protocols by ALPN, and sessions."""
    kinds = {"ecdsa_secp256r1_sha256": "ECDSA", "rsa_pss_rsae_sha256": "RSA-PSS"}
    for algorithm, name in kinds.items():
        text = s_client(world, f"-{version}", "-sigalgs", algorithm)
        assert f"Peer signature type: {name}" in text and "Verify return code: 0 (ok)" in text
        assert "HTTP/1.1 200 OK" in text and "a small file" in text
    assert "ALPN protocol: http/1.1" in s_client(world, f"-{version}", "-alpn", "acme/1,http/1.1")
    assert "No ALPN negotiated" in s_client(world, f"-{version}")
    session = tmp_path / "session"
    assert "New, TLSv1" in s_client(world, f"-{version}", "-sess_out", session)
    assert "Reused, TLSv1" in s_client(world, f"-{version}", "-sess_in", session)


@only_once
def test_sslscan_finds_nothing(world):
    found = xml.fromstring(run("sslscan", "--xml=-", world.address)).find("ssltest")
    enabled = {f"{each.get('type')} {each.get('version')}" for each in found.iter("protocol") if each.get("enabled") == "1"}
    assert enabled == {"tls 1.2", "tls 1.3"}
    ciphers = {each.get("cipher"): each for each in found.iter("cipher")}
    assert {each.get("sslversion") for each in ciphers.values()} == {"TLSv1.2", "TLSv1.3"}
    assert {each.get("strength") for each in ciphers.values()} <= {"strong", "acceptable"}
    assert all(re.match("TLS_|ECDHE-", name) for name in ciphers), ciphers.keys()
    assert {each.get("vulnerable") for each in found.iter("heartbleed")} == {"0"}
    assert [each.get("supported") for each in found.iter("renegotiation")] == ["0"]


PARTS = [("-p -s -f", "TLS1_3"), ("-U", "heartbleed")]  # with what is always found when it has looked


@pytest.fixture(scope="module", params=PARTS, ids=["ciphers", "attacks"])
def findings(request, world):
    """Of testssl.sh about protocols, ciphers and forward secrecy, or attacks that have names. Not with --fast, which
    does not see ciphers that the openssl at hand has not either. Takes long beside other work: longer than a test may."""
    parts, sign = request.param
    file = world.folder / f"testssl-{sign}.json"
    process = subprocess.Popen(
        ["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--add-ca", str(world.root), *parts.split(),
         "--jsonfile", str(file), world.address],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )
    try:
        status = process.wait(150)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert status == 0
    found = {each["id"]: each for each in json.loads(file.read_text())}
    assert found[sign]["severity"] == "OK"
    return found.values()


@only_once
@pytest.mark.slow
def test_testssl_finds_nothing_above_low(findings):
    harmless = {"OK", "INFO", "LOW", "WARN"}  # the last: what it cannot look at with Debian's openssl
    assert [each for each in findings if each["severity"] not in harmless] == []
