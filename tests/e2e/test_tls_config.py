"""TLS by configuration: which certificate a client gets, when files change, redirects, our own authority."""

import glob
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.certificates import Authority, ask, client_context, open_tls, serial_of
from support.door import run_program
from support.ports import free_port
from support.waiting import SANITIZER, wait_until
from support.wire import connect, get

smoke = pytest.mark.smoke


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def port():
    return free_port()


def front(port, plain=None, **tls):
    """Listeners, the plain one too when it has a port."""
    listeners = {"secure": {"address": f"127.0.0.1:{port}", "tls": True, "protocols": "h1", **tls}}
    if plain:
        listeners["plain"] = f"127.0.0.1:{plain}"
    return listeners


def in_one_file(files):
    """Both halves change in one step: who looks between two would see a pair that does not fit."""
    place = os.path.splitext(files["cert"])[0] + "-both.pem"
    with open(place + ".new", "w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(open(files["cert"]).read() + open(files["key"]).read())
    os.rename(place + ".new", place)
    return {"cert": place, "key": place}


def saying(text, **site):
    return {"respond": {"status": 200, "body": text}, **site}


def ask_plainly(port, host, path="/"):
    with connect(port) as client:
        client.send(get(path, host=host))
        return client.read_response()


# ---- check


def check(folder, text):
    file = folder / "checked.yaml"
    file.write_text(text)
    return run_program("check", str(file))


@smoke
def test_check_reads_certificates(tmp_path, authority):
    authority.make("a.example")
    authority.make("b.example")
    site = "sites:\n  a.example:\n    respond: {}\n    tls: { cert: %s, key: %s }\n"
    good = check(tmp_path, site % ("a.example.pem", "a.example.key"))
    assert (good.returncode, good.stderr) == (0, "")
    bad = check(tmp_path, site % ("a.example.pem", "b.example.key"))
    assert bad.returncode == 1
    first, line, caret, *_ = bad.stderr.splitlines()
    assert first.endswith("a.example.pem: the key belongs to another certificate")
    assert ":4:18: error:" in first and line.endswith("tls: { cert: a.example.pem, key: b.example.key }")
    assert caret.index("^") == line.index("a.example.pem")
    missing = check(tmp_path, site % ("a.example.pem", "no.key"))
    assert "no.key: No such file or directory" in missing.stderr


def test_check_makes_no_authority(tmp_path):
    result = check(tmp_path, f"state: {tmp_path}/state\nsites: {{ localhost: {{ respond: {{}}, tls: internal }} }}\n")
    assert (result.returncode, result.stderr) == (0, "")
    assert not (tmp_path / "state").exists()


# ---- which certificate


@smoke
def test_the_server_name_chooses_the_certificate(portunus, authority, port):
    sites = {
        "a.example": saying("a", tls=authority.make("a.example")),
        "b.example": saying("b", tls=authority.make("b.example")),
        "*.c.example": saying("c", tls=authority.make("star", ["*.c.example"])),
    }
    portunus({"listeners": front(port), "sites": sites})
    context = authority.client()
    for name in ("a.example", "b.example", "x.c.example"):
        assert ask(port, context, name)[2] == name[-9:-8].encode()
    for name in ("d.example", "x.y.c.example"):  # the default's, which is not theirs
        with pytest.raises(ssl.SSLCertVerificationError):
            open_tls(port, context, name)


def test_strict_names_are_refused(portunus, authority, port):
    tls = {"certificates": [authority.make("a.example")], "strict_sni": True}
    portunus({"listeners": front(port), "tls": tls, "sites": {"a.example": saying("a")}})
    context = authority.client()
    assert ask(port, context, "a.example")[0] == 200
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        open_tls(port, context, "b.example")


def test_ecdsa_and_rsa_side_by_side(portunus, authority, port):
    pair = [authority.make("a.example"), authority.make("a.rsa", ["a.example"], kind="rsa")]
    portunus({"listeners": front(port), "sites": {"a.example": saying("a", tls=pair)}})
    for kind in ("ECDSA", "RSA"):
        context = authority.client(version=ssl.TLSVersion.TLSv1_2, ciphers=f"ECDHE-{kind}-AES128-GCM-SHA256")
        with open_tls(port, context, "a.example") as connection:
            assert kind in connection.cipher()[0]


def test_versions(portunus, authority, port):
    other = free_port()
    listeners = {**front(port), "other": {"address": f"127.0.0.1:{other}", "tls": True}}
    tls = {"certificates": [authority.make("a.example")], "min_version": "1.3"}
    portunus({"listeners": listeners, "tls": tls, "sites": {"a.example": saying("a")}})
    assert open_tls(port, authority.client(), "a.example").version() == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        open_tls(other, authority.client(version=ssl.TLSVersion.TLSv1_2), "a.example")


# ---- changes


@smoke
def test_a_renewed_certificate_is_taken_over(portunus, authority, port):
    files = in_one_file(authority.make("a.example"))
    # A thread takes it over when it comes to it: with one, what was seen once is so from then on.
    door = portunus({"listeners": front(port), "sites": {"a.example": saying("a", tls=files)}, "threads": 1})
    context = authority.client()
    before = serial_of(port, context, "a.example")
    kept = open_tls(port, context, "a.example")
    generation = door.json("/v1/status")["config"]["generation"]
    in_one_file(authority.make("a.example"))
    wait_until(lambda: serial_of(port, context, "a.example") != before, "the new certificate")
    kept.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
    assert kept.recv(65536).startswith(b"HTTP/1.1 200")
    kept.close()
    config = door.json("/v1/status")["config"]
    assert (config["last_reload_ok"], config["generation"]) == (True, generation), "only the certificate is another one"
    shown, = door.json("/v1/certificates")["certificates"]
    names = ssl.get_server_certificate(("127.0.0.1", port))
    assert shown["fingerprint"] == hashlib.sha256(ssl.PEM_cert_to_DER_cert(names)).hexdigest()
    wait_until(lambda: "1 of 1 certificates read again" in door.log(), "it is told")


def last_reload_ok(door):
    return door.json("/v1/status")["config"]["last_reload_ok"]


@smoke
@pytest.mark.parametrize("wrong", ["nonsense: [", "sites: { x.example: { poool: web } }\n"], ids=["unreadable", "not_valid"])
def test_renewed_beside_a_refused_configuration(portunus, authority, port, wrong):
    door = portunus({"listeners": front(port), "sites": {"a.example": saying("a", tls=authority.make("a.example"))},
                     "threads": 1})
    right = door.path.read_text()
    context = authority.client()
    for _ in range(2):
        before = serial_of(port, context, "a.example")
        door.path.write_text(wrong)
        wait_until(lambda: not last_reload_ok(door), "the reload is refused")
        authority.make("a.example")
        wait_until(lambda: serial_of(port, context, "a.example") != before, "the new certificate")
        assert not last_reload_ok(door), "what is wrong is still told"
        before = serial_of(port, context, "a.example")
        door.path.write_text(right)
        wait_until(lambda: last_reload_ok(door), "all is well again")
        assert serial_of(port, context, "a.example") == before


def test_renewed_beside_one_that_cannot_be_read(portunus, authority, port):
    config = {"listeners": front(port), "sites": {
        name: saying(name[0], tls=authority.make(name)) for name in ("a.example", "b.example")}}
    door = portunus(config)
    context = authority.client()
    before = {name: serial_of(port, context, name) for name in ("a.example", "b.example")}
    with open(config["sites"]["b.example"]["tls"]["key"], "w") as file:
        file.write("nonsense")
    wait_until(lambda: not last_reload_ok(door), "what is wrong is told")
    wait_until(lambda: "b.example.pem" in door.log(), "and where")
    authority.make("a.example")
    wait_until(lambda: serial_of(port, context, "a.example") != before["a.example"], "the new certificate")
    assert serial_of(port, context, "b.example") == before["b.example"], "the last one that was good"
    authority.make("b.example")
    wait_until(lambda: serial_of(port, context, "b.example") != before["b.example"], "the other one")
    wait_until(lambda: last_reload_ok(door), "all is well again")


def test_renewed_beside_a_new_site_that_cannot_be_read(portunus, authority, port):
    """The one in use is not named by the files that were refused: it is watched all the same."""
    config = {"listeners": front(port), "sites": {"a.example": saying("a", tls=authority.make("a.example"))}}
    door = portunus(config)
    context = authority.client()
    before = serial_of(port, context, "a.example")
    files = authority.make("b.example")
    key = open(files["key"]).read()
    with open(files["key"], "w") as file:
        file.write("nonsense")
    door.write({"listeners": front(port), "sites": {"b.example": saying("b", tls=files)}})
    wait_until(lambda: not last_reload_ok(door), "the reload is refused")
    authority.make("a.example")
    wait_until(lambda: serial_of(port, context, "a.example") != before, "the new certificate")
    with open(files["key"], "w") as file:
        file.write(key)

    def is_served():
        try:
            return ask(port, context, "b.example")[2] == b"b"
        except ssl.SSLError:  # not yet its certificate
            return False

    wait_until(is_served, "the new site")


def delayed(door, path, seconds):
    """Opening this file takes the program so long, from now on; None where that cannot be done."""
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-P", path, "-e", "trace=openat",
                               "-e", f"inject=openat:delay_enter={seconds * 1_000_000}", "-p", str(door.pid)])
    tasks = f"/proc/{door.pid}/task"

    def is_attached():
        return tracer.poll() is not None or all(
            f"TracerPid:\t{tracer.pid}\n" in open(f"{tasks}/{task}/status").read() for task in os.listdir(tasks))

    wait_until(is_attached, "every thread is traced")
    return tracer if tracer.poll() is None else None


def is_in_open(door):
    """A thread stands still in the call that strace delays, while others stop for a moment at a time."""
    stopped = set(glob.glob(f"/proc/{door.pid}/task/*/status"))
    for _ in range(50):
        stopped = {path for path in stopped if "State:\tt (tracing stop)" in open(path).read()}
        time.sleep(0.002)
    return bool(stopped)


@pytest.mark.skipif(not shutil.which("strace") or bool(SANITIZER), reason="needs strace, and a program that may be traced")
def test_a_certificate_that_changes_while_a_reload_is_made(portunus, authority, port):
    """The reload has read the old one already, and is looking up a name."""
    door = portunus({"listeners": front(port), "pools": {"web": {"upstreams": [f"localhost:{free_port()}"], "health": "off"}},
                     "sites": {"a.example": {"pool": "web", "tls": authority.make("a.example")}}})
    context = authority.client()
    before = serial_of(port, context, "a.example")
    tracer = delayed(door, "/etc/hosts", 2)
    if tracer is None:
        pytest.skip("strace may not attach here")
    try:
        with ThreadPoolExecutor() as pool:
            reload = pool.submit(door.reload)
            wait_until(lambda: "asked for by the admin API" in door.log(), "it has begun")
            # Or it has come to its end before we could see it: the file changes behind it, then.
            wait_until(lambda: is_in_open(door) or reload.done(), "the files have been read, and it waits")
            authority.make("a.example")
            assert reload.result().returncode == 0
    finally:
        tracer.terminate()
        tracer.wait()
    wait_until(lambda: serial_of(port, context, "a.example") != before, "the new certificate")


def test_half_a_certificate_changes_nothing(portunus, authority, port):
    files = authority.make("a.example")
    door = portunus({"listeners": front(port), "sites": {"a.example": saying("a", tls=files)}})
    context = authority.client()
    before = serial_of(port, context, "a.example")
    text = open(files["cert"]).read()
    with open(files["cert"], "w") as file:
        file.write(text[:300])
    wait_until(lambda: not door.json("/v1/status")["config"]["last_reload_ok"], "the reload is refused")
    assert serial_of(port, context, "a.example") == before
    assert door.metric("portunus_config_last_reload_successful") == 0
    with open(files["cert"], "w") as file:
        file.write(text)
    wait_until(lambda: door.json("/v1/status")["config"]["last_reload_ok"], "all is well again")
    assert "PRIVATE" not in door.log()


def test_touching_a_file_changes_no_sessions(portunus, authority, port):
    """Tickets are good over a reload."""
    files = authority.make("a.example")
    config = {"listeners": front(port), "sites": {"a.example": saying("a", tls=files)}}
    door = portunus(config)
    context = authority.client(version=ssl.TLSVersion.TLSv1_2)
    with open_tls(port, context, "a.example") as first:
        session = first.session
    config["sites"]["a.example"]["respond"]["body"] = "b"
    door.write(config)
    wait_until(lambda: ask(port, context, "a.example")[2] == b"b", "the reload")
    with open_tls(port, context, "a.example", session) as second:
        assert second.session_reused


# ---- redirects


@smoke
def test_plain_requests_are_redirected(portunus, authority, port):
    plain = free_port()
    sites = {
        "a.example": saying("a", tls=authority.make("a.example")),
        f"http://127.0.0.1:{plain}": saying("rest"),
    }
    portunus({"listeners": front(port, plain), "sites": sites})
    answer = ask_plainly(plain, "a.example", "/x%20y/?q=1&r")
    assert (answer.status, answer.header("location")) == (308, f"https://a.example:{port}/x%20y/?q=1&r")
    assert ask_plainly(plain, f"a.example:{plain}").header("location") == f"https://a.example:{port}/"
    assert ask_plainly(plain, "other.example").body == b"rest"


def test_plain_stays_plain_where_it_is_asked_for(portunus, authority, port):
    plain = free_port()
    site = saying("a", tls=authority.make("a.example"), redirect_http=False, headers="security")
    portunus({"listeners": front(port, plain), "sites": {"a.example": site}})
    answer = ask_plainly(plain, "a.example")
    assert (answer.status, answer.body) == (200, b"a")
    assert answer.header("strict-transport-security") is None
    assert answer.header("x-content-type-options") == "nosniff"
    _, fields, _ = ask(port, authority.client(), "a.example")
    assert fields["strict-transport-security"] == "max-age=31536000"
    assert fields["x-frame-options"] == "SAMEORIGIN"


# ---- our own authority


def test_internal_certificates_of_a_refused_configuration_are_not_shown(portunus, port, tmp_path):
    config = {"listeners": front(port), "sites": {"a.example": saying("here", tls="internal")}}
    door = portunus(config)
    context = client_context(door.folder / "state" / "tls" / "root.pem")
    serial = serial_of(port, context, "a.example")
    config["sites"] = {"b.example": saying("there", tls="internal")}
    config["access_log"] = {"output": str(tmp_path / "missing" / "access.log")}
    door.write(config)
    wait_until(lambda: not last_reload_ok(door), "refused when its certificates are made already")
    assert [each["names"] for each in door.json("/v1/certificates")["certificates"]] == [["a.example"]]
    assert serial_of(port, context, "a.example") == serial


@smoke
def test_internal_certificates(portunus, port):
    config = {"listeners": front(port), "sites": {"*": saying("here", tls="internal")}}
    door = portunus(config)
    root = door.folder / "state" / "tls" / "root.pem"
    wait_until(lambda: str(root) in door.log(), "it is told")
    context = client_context(root)
    assert ask(port, context, "localhost")[2] == b"here"
    assert ask(port, context, "127.0.0.1")[2] == b"here"
    serial = serial_of(port, context)
    for file in root.parent.iterdir():
        assert file.stat().st_mode & 0o777 == (0o644 if file == root else 0o600)
    door.stop()
    door.start()
    assert serial_of(port, context) == serial


def test_internal_certificates_for_another_user(keeper, port):
    """The proxy makes them, as who it is; the folder of the state stays closed."""
    door = keeper.portunus(
        {"listeners": front(port), "user": "nobody", "sites": {"localhost": saying("here", tls="internal")}},
        world_readable=True,
    )
    state = door.folder / "state"
    assert state.stat().st_mode & 0o777 == 0o711
    assert (state / "tls").stat().st_mode & 0o777 == 0o700
    assert (state / "tls" / "root.key").stat().st_uid != state.stat().st_uid
    assert ask(port, client_context(state / "tls" / "root.pem"))[2] == b"here"


# ---- what is shown


def test_certificates_are_shown_without_keys(portunus, authority, port):
    files = authority.make("a.example", ["a.example", "*.a.example"])
    sites = {"a.example": saying("a", tls=files), "b.internal": saying("b", tls="internal")}
    door = portunus({"listeners": front(port), "sites": sites})
    shown = door.json("/v1/certificates")
    first, second = shown["certificates"]
    assert first["names"] == ["*.a.example", "a.example"]
    assert (first["issuer"], first["source"], first["file"]) == ("CN=Test Authority", "file", files["cert"])
    assert first["key"] == "ecdsa" and len(first["fingerprint"]) == 64
    assert 29 * 86400 < first["expires_in_s"] <= 30 * 86400
    assert (second["names"], second["source"]) == (["b.internal"], "internal")
    assert shown["root"].endswith("/state/tls/root.pem")
    assert "PRIVATE" not in json.dumps(shown)
    series = door.metrics().series("portunus_certificate_not_after_timestamp_seconds")
    assert len(series) == 2
    table = run_program("certificates", "-c", str(door.path))
    assert table.returncode == 0, table.stderr
    assert "*.a.example, a.example" in table.stdout and "root.pem" in table.stdout
    as_json = run_program("certificates", "--json", "-c", str(door.path))
    assert json.loads(as_json.stdout)["certificates"][0]["fingerprint"] == first["fingerprint"]
