"""Mutual TLS per site: who gets in, what members are told, and that nobody gets around it."""

import base64
import hashlib
import json
import shutil
import ssl
import subprocess

import pytest

from support.certificates import Authority, ask, open_tls, openssl
from support.client_world import World, make_client
from support.door import run_program
from support.ports import free_port
from support.waiting import PATIENCE, wait_until
from support.wire import connect, get

smoke = pytest.mark.smoke

CURL = shutil.which("curl")
FIELDS = ("x-client-cert-verify", "x-client-cert-subject", "x-client-cert-san", "x-client-cert-fingerprint",
          "client-cert", "client-cert-chain")
FORGED = [f"{name}: forged" for name in (*FIELDS, "x_client_cert_verify", "Client_Cert", "X-Client.Cert-Subject")]


@pytest.fixture
def world(tmp_path, keeper):
    return World(tmp_path, keeper)


# ---- who gets in


@smoke
def test_required_and_optional(portunus, world):
    door = portunus(world.config())
    alice, bob = make_client(world.clients, "alice"), make_client(world.others, "bob")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert world.ask("must.example", alice, version=version) == 200
        assert world.ask("may.example", alice, version=version) == 200
        assert world.ask("may.example", version=version) == 200
        assert world.ask("other.example", bob, version=version) == 200
        assert world.ask("open.example", version=version) == 200
        count = len(world.member.requests)
        assert "certificate required" in world.refused("must.example", version=version).lower() or \
            version == ssl.TLSVersion.TLSv1_2 and world.refused("must.example", version=version)
        for certificate, name in ((bob, "must.example"), (bob, "may.example"), (alice, "other.example")):
            assert world.refused(name, certificate, version=version)
        assert len(world.member.requests) == count, "nothing of it reached a member"
    wait_until(lambda: door.metric("portunus_tls_handshakes_total", result="client_certificate") >= 8, "they are counted")
    assert door.metric("portunus_tls_handshakes_total", result="ok") == 10


def test_expired_and_foreign_purpose(portunus, world):
    portunus(world.config())
    expired = make_client(world.clients, "late")
    openssl("x509", "-in", expired["cert"], "-signkey", expired["key"], "-days", "1", "-out", expired["cert"] + ".self")
    own = {"cert": expired["cert"] + ".self", "key": expired["key"]}
    assert world.refused("must.example", own), "signed by itself"
    key = world.folder / "server-only.key"
    pem = world.folder / "server-only.pem"
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
            f"{pem}.csr", "-subj", "/CN=server", "-addext", "extendedKeyUsage=serverAuth")
    pem.write_text(openssl("x509", "-req", "-in", f"{pem}.csr", "-CA", world.clients.root, "-CAkey", world.clients.key,
                           "-copy_extensions", "copyall"))
    assert world.refused("must.example", {"cert": pem, "key": key})


# ---- what members are told


@smoke
def test_members_are_told_who_it_is(portunus, world):
    door = portunus(world.config(access_log={"output": "stdout"}))
    alice = make_client(world.clients, "alice", ["alice.clients", "10.1.2.3"])
    assert world.talk("must.example", *FORGED, certificate=alice) == 200
    fields = world.member.requests[-1].fields
    der = ssl.PEM_cert_to_DER_cert(open(alice["cert"]).read().split("-----END")[0] + "-----END CERTIFICATE-----\n")
    assert fields.get("x-client-cert-verify") == "ok"
    assert fields.get("x-client-cert-subject") == "CN=alice.clients"
    assert fields.get("x-client-cert-san") == "DNS:alice.clients, IP:10.1.2.3"
    assert fields.get("x-client-cert-fingerprint") == hashlib.sha256(der).hexdigest()
    assert fields.get("client-cert") == f":{base64.b64encode(der).decode()}:"
    assert "client-cert-chain" not in fields and "x_client_cert_verify" not in fields
    assert world.talk("may.example", *FORGED) == 200
    fields = world.member.requests[-1].fields
    assert [fields.get(name) for name in FIELDS] == ["none"] + [None] * 5
    assert "forged" not in str(fields)
    lines = wait_until(lambda: len(door.output().splitlines()) == 2 and door.output().splitlines(), "two lines")
    assert {json.loads(line).get("user") for line in lines} == {"CN=alice.clients", None}


@smoke
def test_strangers_cannot_say_who_they_are(portunus, world):
    plain = free_port()
    config = world.config()
    config["listeners"]["plain"] = f"127.0.0.1:{plain}"
    config["sites"]["http.example"] = {"pool": "web", "tls": "off", "listeners": ["plain"]}
    for trusted in ([], ["127.0.0.1"]):  # no proxy either: it may not know these fields
        door = portunus({**config, "trusted_proxies": trusted})
        assert world.talk("open.example", *FORGED) == 200
        with connect(plain) as client:
            client.send(get("/", "Connection: X-Client-Cert-Verify", *FORGED, host="http.example"))
            assert client.read_response().status == 200
        for request in world.member.requests[-2:]:
            assert "forged" not in str(request.fields)
        door.stop()


def test_routes_do_not_see_what_was_forged(portunus, world):
    route = {"match": {"header": {"X-Client-Cert-Verify": "ok"}}, "respond": {"status": 299}}
    sites = {"open.example": world.site(routes=[route])}
    portunus(world.config(sites))
    assert world.talk("open.example", "X-Client-Cert-Verify: ok") == 200


# ---- nobody gets around it


@smoke
def test_a_connection_of_another_site_is_misdirected(portunus, world):
    portunus(world.config())
    alice, bob = make_client(world.clients, "alice"), make_client(world.others, "bob")
    for name, certificate in (("open.example", None), ("open.example", alice), ("may.example", None),
                              ("may.example", alice), ("other.example", bob)):
        assert world.ask(name, certificate, host="must.example") == 421, name
    assert world.ask("other.example", bob, host="may.example") == 421
    assert world.ask("must.example", alice, host="open.example") == 200, "it asks for nothing, and the certificate is its"
    assert "x-client-cert-verify" not in world.member.requests[-1].fields, "nor is it told of any"
    assert {request.header("host") for request in world.member.requests} == {"open.example"}


def test_without_a_server_name(portunus, world):
    sites = {"must.example": world.site(world.clients.root), "open.example": world.site()}
    portunus(world.config(sites))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert ask(world.port, context, None, host="must.example")[0] == 421
    assert not world.member.requests


def test_a_site_for_any_host(portunus, world):
    sites = {"*": world.site(world.clients.root), "open.example": world.site()}
    portunus(world.config(sites))
    alice = make_client(world.clients, "alice")
    assert world.ask("anything.example", alice) == 200
    assert world.refused("anything.example")
    assert world.ask("open.example") == 200
    assert world.ask("open.example", host="anything.example") == 421


def test_no_session_is_carried_over(portunus, world):
    portunus(world.config())
    context = world.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # python keeps its session before anything is read
    with open_tls(world.port, context, "open.example") as connection:
        session = connection.session
    with open_tls(world.port, context, "open.example", session) as connection:
        assert connection.session_reused
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        with open_tls(world.port, context, "must.example", session) as connection:
            connection.recv(1)
    with open_tls(world.port, context, "may.example", session) as connection:
        assert not connection.session_reused


def test_http2_streams_for_several_hosts(portunus, world):
    """One connection, requests for hosts that differ in what they ask: as browsers do with one certificate."""
    portunus(world.config(protocols=["h1", "h2"]))
    alice = make_client(world.clients, "alice")
    result = subprocess.run(
        [CURL, "-sS", "--http2", "--cacert", str(world.servers.root), "--cert", alice["cert"], "--key", alice["key"],
         "--resolve", f"must.example:{world.port}:127.0.0.1", "-w", "%{http_code} %{http_version} %{num_connects}\\n",
         "-o", "/dev/null", f"https://must.example:{world.port}/",
         "-o", "/dev/null", "-H", "Host: other.example", f"https://must.example:{world.port}/"],
        capture_output=True, text=True, timeout=PATIENCE, check=False)
    # curl takes the field for both requests.
    assert result.stdout.split("\n")[:2] == ["421 2 1", "421 2 0"], result
    assert not world.member.requests


# ---- changes


@smoke
def test_another_authority_counts_at_once(portunus, world):
    ca = world.folder / "ca.pem"
    ca.write_text(world.clients.root.read_text())
    door = portunus(world.config({"must.example": world.site(ca)}))
    alice, bob = make_client(world.clients, "alice"), make_client(world.others, "bob")
    assert world.ask("must.example", alice) == 200
    kept = open_tls(world.port, world.context(alice), "must.example")
    kept.sendall(get("/", host="must.example"))
    assert kept.recv(65536).startswith(b"HTTP/1.1 200")
    done = door.reloads_done()
    fresh = world.folder / "ca.new"
    fresh.write_text(world.others.root.read_text())
    fresh.rename(ca)
    wait_until(lambda: door.reloads_done() > done, "the other file counts")
    assert world.refused("must.example", alice)
    assert world.ask("must.example", bob) == 200
    count = len(world.member.requests)
    kept.sendall(get("/", host="must.example"))
    assert kept.recv(65536).startswith(b"HTTP/1.1 421"), "what was opened before does not meet it"
    assert len(world.member.requests) == count
    kept.close()
    done = door.reloads_done()
    ca.write_text(world.others.root.read_text() + world.clients.root.read_text())
    wait_until(lambda: door.reloads_done() > done, "both count")
    assert world.ask("must.example", bob) == world.ask("must.example", alice) == 200
    ca.write_text("nothing of use\n")
    wait_until(lambda: not door.json("/v1/status")["config"]["last_reload_ok"], "the reload is refused")
    assert world.ask("must.example", alice) == 200
    assert world.refused("must.example")


def test_a_site_that_begins_to_ask(portunus, world):
    door = portunus(world.config({"must.example": world.site()}))
    kept = open_tls(world.port, world.context(), "must.example")
    kept.sendall(get("/", host="must.example"))
    assert kept.recv(65536).startswith(b"HTTP/1.1 200")
    door.write(world.config({"must.example": world.site(world.clients.root)}))
    assert door.reload().returncode == 0
    kept.sendall(get("/", host="must.example"))
    assert kept.recv(65536).startswith(b"HTTP/1.1 421")
    kept.close()
    assert len(world.member.requests) == 1


# ---- forms of the configuration


def test_with_an_internal_certificate_and_with_common_ones(portunus, world):
    common = world.config({
        "a.example": {"pool": "web", "tls": {"client_ca": str(world.clients.root)}},
        "b.example": {"pool": "web"},
        "localhost": {"pool": "web", "tls": {"internal": True, "client_ca": str(world.clients.root)}},
        "c.example": {"pool": "web", "tls": {"certificates": [world.pair], "client_ca": str(world.clients.root)}},
    }, tls={"certificates": [world.pair]})
    door = portunus(common)
    alice = make_client(world.clients, "alice")
    for name in ("a.example", "c.example"):
        assert world.ask(name, alice) == 200
        assert world.refused(name)
    assert world.ask("b.example") == 200
    root = door.folder / "state"
    context = ssl.create_default_context(cafile=next(str(file) for file in root.rglob("root.pem")))
    context.load_cert_chain(alice["cert"], alice["key"])
    assert ask(world.port, context, "localhost")[0] == 200
    assert world.member.requests[-1].header("x-client-cert-subject") == "CN=alice.clients"


def check(folder, text):
    file = folder / "checked.yaml"
    file.write_text(text)
    return run_program("check", str(file))


def test_check(tmp_path):
    authority = Authority(tmp_path)
    authority.make("a.example")
    (tmp_path / "bad.pem").write_text("no certificate\n")
    site = "sites:\n  a.example:\n    respond: {}\n    tls: { cert: a.example.pem, key: a.example.key, %s }\n"
    good = check(tmp_path, site % "client_ca: authority.pem, client_auth: optional")
    assert (good.returncode, good.stderr) == (0, "")
    for keys, said in (("client_ca: no.pem", "the authorities"), ("client_ca: bad.pem", "there is no certificate in it"),
                       ("client_auth: optional", "`client_auth` needs `client_ca`"),
                       ("client_ca: authority.pem, client_auth: maybe", "`required` or `optional`"),
                       ("client_ca: authority.pem, internal: true", "only one of")):
        bad = check(tmp_path, site % keys)
        assert bad.returncode == 1 and said in bad.stderr, bad.stderr
    served = ("listeners:\n  open: { address: '127.0.0.1:1', tls: false }\n  tls: { address: '127.0.0.1:2', tls: true }\n"
              + site % "client_ca: authority.pem")
    bad = check(tmp_path, served)
    assert bad.returncode == 1 and "the site is served without TLS, too, on the listener `open`" in bad.stderr


# ---- real clients


@smoke
@pytest.mark.skipif(not CURL, reason="curl is not installed")
@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_curl(portunus, world, http):
    portunus(world.config(protocols=["h1", "h2"]))
    alice = make_client(world.clients, "alice")

    def curl(name, *options):
        return subprocess.run(
            [CURL, "-sS", http, "--cacert", str(world.servers.root), "--resolve", f"{name}:{world.port}:127.0.0.1",
             "-o", "/dev/null", "-w", "%{http_code}", *options, f"https://{name}:{world.port}/"],
            capture_output=True, text=True, timeout=PATIENCE, check=False)

    known = ("--cert", alice["cert"], "--key", alice["key"])
    assert curl("must.example", *known).stdout == "200"
    assert world.member.requests[-1].header("x-client-cert-subject") == "CN=alice.clients"
    assert curl("may.example").stdout == "200"
    assert curl("must.example").stdout == "000"
    assert curl("may.example", "-H", "Host: must.example").stdout == "421"


def test_openssl_client_is_told_whom_we_know(portunus, world):
    portunus(world.config())
    asked = openssl("s_client", "-connect", f"127.0.0.1:{world.port}", "-servername", "may.example", text="\n")
    assert "Acceptable client certificate CA names\nCN = Test Authority" in asked
    silent = openssl("s_client", "-connect", f"127.0.0.1:{world.port}", "-servername", "open.example", text="\n")
    assert "No client certificate CA names sent" in silent


def test_an_intermediate_authority(portunus, world):
    """The file names the root, the client shows the chain; or the file names the intermediate alone."""
    folder = world.folder
    key, pem = folder / "middle.key", folder / "middle.pem"
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
            f"{pem}.csr", "-subj", "/CN=Middle", "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
            "keyUsage=critical,keyCertSign,cRLSign")
    pem.write_text(openssl("x509", "-req", "-in", f"{pem}.csr", "-CA", world.clients.root, "-CAkey", world.clients.key,
                           "-copy_extensions", "copyall"))
    (folder / "below").mkdir()
    below = Authority(folder / "below")
    below.root, below.key = pem, key  # what it signs has the intermediate behind it
    carol = below.make("carol", ["carol.clients"])
    portunus(world.config({"root.example": world.site(world.clients.root), "middle.example": world.site(pem)}))
    assert world.ask("root.example", carol) == world.ask("middle.example", carol) == 200
    alice = make_client(world.clients, "alice")
    assert world.refused("middle.example", alice)

