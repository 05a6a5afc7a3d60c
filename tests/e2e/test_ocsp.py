"""OCSP stapling: what `openssl ocsp`, a real responder, says of our certificates is what `openssl s_client` sees."""

import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen

import pytest

from support.certificates import Authority, ask, openssl, serial_of
from support.ports import free_port
from support.waiting import PATIENCE, wait_until

smoke = pytest.mark.smoke


class Responder:
    """`openssl ocsp` with the list of certificates of an authority."""

    def __init__(self, authority, folder):
        self.authority, self.folder = authority, folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.index = folder / "index.txt"
        self.index.touch()
        self.process = None

    def know(self, certificate, is_revoked=False):
        serial = openssl("x509", "-in", certificate["cert"], "-noout", "-serial").strip().split("=")[1]
        kind, when = ("R", "260101000000Z") if is_revoked else ("V", "")
        with open(self.index, "a", encoding="ascii") as index:
            index.write(f"{kind}\t351231000000Z\t{when}\t{serial}\tunknown\t/CN={serial}\n")
        return serial

    def start(self, *options, signer=None):
        signer = signer or self.authority
        self.process = subprocess.Popen(
            ["openssl", "ocsp", "-index", self.index, "-port", str(self.port), "-CA", self.authority.root,
             "-rsigner", signer.root, "-rkey", signer.key, *(options or ("-ndays", "7"))],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        # A connection without a request would end it.
        assert self.process.stdout.readline().startswith(b"ACCEPT"), "the responder does not start"
        return self

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def responder(authority, tmp_path):
    made = Responder(authority, tmp_path)
    yield made
    made.stop()


def config(port, *hosts, **tls):
    sites = {host: {"respond": {"status": 200, "body": host}, "tls": pair} for host, pair in hosts}
    listeners = {"secure": {"address": f"127.0.0.1:{port}", "tls": True, "protocols": "h1"}}
    return {"listeners": listeners, "sites": sites, **({"tls": tls} if tls else {})}


def status_of(port, authority, name, *options):
    """What a client is shown: the text of the answer, verified by it; None without one."""
    result = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name, "-status", "-CAfile", authority.root,
         "-verify_return_error", *options],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False,
    )
    assert "Verify return code: 0 (ok)" in result.stdout, result.stdout + result.stderr
    if "OCSP response: no response sent" in result.stdout:
        return None
    assert "OCSP Response Status: successful" in result.stdout, result.stdout
    return result.stdout


def ocsp_of(door, name):
    for each in door.json("/v1/certificates")["certificates"]:
        if each["names"] == [name]:
            return each.get("ocsp")
    return None


def wait_for_state(door, name, state):
    return wait_until(lambda: (ocsp_of(door, name) or {}).get("state") == state and ocsp_of(door, name), f"{name} is {state}")


def stapled(door):
    """By name, and whether it has to be: 1 or 0."""
    return {(labels["name"], labels["must_staple"]): value
            for labels, value in door.metrics().series("portunus_certificate_ocsp_stapled")}


@smoke
def test_what_the_responder_says_is_stapled(portunus, authority, responder, port):
    pairs = {name: authority.make(name, responder=responder.url) for name in ("a.example", "b.example")}
    pairs["c.example"] = authority.make("c.example")
    serials = {name: responder.know(pair) for name, pair in pairs.items()}
    responder.start()
    door = portunus(config(port, *pairs.items()))
    for name in ("a.example", "b.example"):
        shown = wait_for_state(door, name, "good")
        assert shown["responder"] == responder.url and shown["next_update"] > shown["this_update"]
        assert 2 * 86400 < shown["next_fetch_in_s"] <= 84 * 3600  # half of seven days, a little earlier
        for version in ("-tls1_2", "-tls1_3"):
            text = status_of(port, authority, name, version)
            assert "Cert Status: good" in text and f"Serial Number: {serials[name]}" in text
    assert ocsp_of(door, "c.example") is None and status_of(port, authority, "c.example") is None
    metrics = door.metrics()
    assert metrics.sum("portunus_ocsp_fetches_total", result="good") == 2
    assert metrics.sum("portunus_ocsp_certificates", state="good") == 2 == metrics.sum("portunus_ocsp_certificates")
    ends = metrics.series("portunus_certificate_ocsp_next_update_timestamp_seconds")
    assert sorted(labels["name"] for labels, _ in ends) == ["a.example", "b.example"]
    assert all(abs(end - time.time() - 7 * 86400) < 120 for _, end in ends)


def test_a_responder_that_is_away_and_comes(portunus, authority, responder, port):
    pairs = {name: authority.make(name, responder=responder.url) for name in ("a.example", "b.example")}
    for pair in pairs.values():
        responder.know(pair)
    door = portunus(config(port, *pairs.items()))
    for name in pairs:
        assert "refused" in wait_for_state(door, name, "failed")["error"]
    assert door.metric("portunus_ocsp_certificates", state="failed") == 2
    assert status_of(port, authority, "a.example") is None
    assert ask(port, authority.client(), "a.example")[2] == b"a.example"
    responder.start()
    for name in pairs:
        wait_for_state(door, name, "good")
    assert "Cert Status: good" in status_of(port, authority, "a.example")
    wait_until(lambda: f"OCSP: {responder.url} answers again" in door.log(), "it is told that it is back")
    assert door.log().count(f"OCSP: {responder.url}: ") == 1, "one line for all certificates that name it"


def test_the_next_responder_is_asked(portunus, authority, responder, port):
    away = f"http://127.0.0.1:{free_port()}/"
    pair = authority.make("a.example", responder=[away, responder.url])
    responder.know(pair)
    responder.start()
    door = portunus(config(port, ("a.example", pair)))
    shown = wait_for_state(door, "a.example", "good")
    assert shown["responder"] == responder.url, "the next time it is the first to be asked"
    assert "Cert Status: good" in status_of(port, authority, "a.example")
    metrics = door.metrics()
    assert (metrics.sum("portunus_ocsp_fetches_total", result="failed"), metrics.sum("portunus_ocsp_fetches_total", result="good")) == (1, 1)
    wait_until(lambda: door.log().count(f"OCSP: {away}: ") == 1, "it is told")
    assert f"OCSP: {responder.url}: " not in door.log()


def test_when_all_responders_fail_there_is_a_pause(portunus, authority, port):
    away = [f"http://127.0.0.1:{free_port()}/" for _ in range(2)]
    pair = authority.make("a.example", responder=away, must_staple=True)
    door = portunus(config(port, ("a.example", pair)))
    shown = wait_until(lambda: (found := ocsp_of(door, "a.example"))["state"] == "failed" and "next_fetch_in_s" in found
                       and found, "a pause")
    assert shown["must_staple"] is True and shown["responder"] == away[0], "the first one's turn again"
    for line in (*(f"OCSP: {url}: " for url in away), "has to be stapled (must-staple)"):
        wait_until(lambda line=line: door.log().count(line) == 1, "it is told once")
    assert stapled(door) == {("a.example", "true"): 0}


def test_what_has_no_staple_is_counted(portunus, authority, responder, port):
    """Also when there was never any; and why is told when the responder has come back and the answer is still bad."""
    pairs = {name: authority.make(name, responder=responder.url) for name in ("a.example", "b.example")}
    pairs["c.example"] = authority.make("c.example")
    responder.know(pairs["a.example"])
    door = portunus(config(port, *pairs.items()))
    for name in ("a.example", "b.example"):
        wait_for_state(door, name, "failed")
    assert stapled(door) == {("a.example", "false"): 0, ("b.example", "false"): 0}, "c.example names no responder"
    responder.start()
    wait_for_state(door, "a.example", "good")
    line = f"certificate b.example: OCSP: {responder.url}: the responder does not know the certificate"
    wait_until(lambda: line in door.log(), "why it fails now")
    assert stapled(door) == {("a.example", "false"): 1, ("b.example", "false"): 0}
    assert door.log().count(line) == 1


def test_what_is_revoked_is_not_stapled(portunus, authority, responder, port):
    pair = authority.make("a.example", responder=responder.url)
    responder.know(pair, is_revoked=True)
    responder.start()
    door = portunus(config(port, ("a.example", pair)))
    wait_for_state(door, "a.example", "revoked")
    assert status_of(port, authority, "a.example") is None
    wait_until(lambda: "a.example is revoked" in door.log(), "it is told")
    assert door.metrics().sum("portunus_ocsp_fetches_total", result="revoked") == 1


@pytest.mark.parametrize("fault", ["stranger", "unknown", "endless"])
def test_answers_that_are_not_believed(portunus, authority, responder, port, tmp_path, fault):
    pair = authority.make("a.example", responder=responder.url)
    if fault != "unknown":
        responder.know(pair)
    (tmp_path / "stranger").mkdir()
    stranger = Authority(tmp_path / "stranger") if fault == "stranger" else None  # of the same name
    responder.start(*(["-nrequest", "100"] if fault == "endless" else []), signer=stranger)
    door = portunus(config(port, ("a.example", pair)))
    why = {"stranger": "not signed", "unknown": "does not know", "endless": "how long"}[fault]
    assert why in wait_for_state(door, "a.example", "failed")["error"]
    assert status_of(port, authority, "a.example") is None
    assert ask(port, authority.client(), "a.example")[0] == 200


@pytest.mark.parametrize("fault", ["changed", "large", "status", "cut", "garbage"])
def test_answers_that_are_spoiled_on_their_way(portunus, authority, responder, port, fault):
    class Spoiler(BaseHTTPRequestHandler):
        def do_GET(self):
            with urlopen(f"http://127.0.0.1:{responder.port}{self.path}", timeout=PATIENCE) as answer:
                body = bytearray(answer.read())
            if fault == "changed":
                body[len(body) // 3] ^= 1
            self.send_response(500 if fault == "status" else 200)
            self.send_header("Content-Length", str(len(body) + (10 if fault == "cut" else 100_000 if fault == "large" else 0)))
            self.end_headers()
            self.wfile.write(b"\0" * len(body) if fault == "garbage" else bytes(body))
            if fault == "large":
                self.wfile.write(bytes(100_000))

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Spoiler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pair = authority.make("a.example", responder=f"http://127.0.0.1:{server.server_port}/")
        responder.know(pair)
        responder.start()
        door = portunus(config(port, ("a.example", pair)))
        wait_for_state(door, "a.example", "failed")
        assert status_of(port, authority, "a.example") is None
        server.shutdown()


@smoke
def test_another_certificate_does_not_get_the_staple_of_the_one_before(portunus, authority, responder, port):
    pair = authority.make("a.example", responder=responder.url)
    responder.know(pair)
    responder.start()
    # A thread takes the new one over when it comes to it: with one, what was seen once is so from then on.
    door = portunus({**config(port, ("a.example", pair)), "threads": 1})
    wait_for_state(door, "a.example", "good")
    context = authority.client()
    before = serial_of(port, context, "a.example")
    responder.stop()
    authority.make("a.example", responder=responder.url)
    wait_until(lambda: serial_of(port, context, "a.example") != before, "the new certificate")
    assert status_of(port, authority, "a.example") is None
    serial = responder.know(pair)
    responder.start()
    wait_for_state(door, "a.example", "good")
    assert f"Serial Number: {serial}" in status_of(port, authority, "a.example")


def test_reloads_keep_staples_until_they_are_not_wanted(portunus, authority, responder, port):
    pair = authority.make("a.example", responder=responder.url)
    responder.know(pair)
    responder.start()
    door = portunus(config(port, ("a.example", pair)))
    wait_for_state(door, "a.example", "good")
    responder.stop()
    assert door.reload().returncode == 0
    assert "Cert Status: good" in status_of(port, authority, "a.example")
    door.write(config(port, ("a.example", pair), ocsp=False))
    assert door.reload().returncode == 0
    assert status_of(port, authority, "a.example") is None and ocsp_of(door, "a.example") is None


def test_a_responder_that_does_not_answer_holds_nobody_up(portunus, authority, port):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        pairs = [(f"n{i}.example", authority.make(f"n{i}.example", responder=url)) for i in range(20)]
        door = portunus(config(port, *pairs))
        accepted = [silent.accept()[0] for _ in range(4)]  # as many as one responder is asked at a time
        silent.settimeout(0.3)
        with pytest.raises(TimeoutError):
            silent.accept()
        for name, _ in pairs[:3]:
            assert ask(port, authority.client(), name)[2] == name.encode()
        assert ocsp_of(door, "n0.example")["state"] == "waiting"
        begun = time.monotonic()
        door.stop()
        assert time.monotonic() - begun < PATIENCE
        for each in accepted:
            each.close()
