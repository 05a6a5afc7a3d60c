"""Handshakes of clients, counted by the site that they name."""

import ssl

import pytest

from support.certificates import Authority, ask, client_context, open_tls
from support.ports import free_port
from support.waiting import wait_until
from support.wire import get

smoke = pytest.mark.smoke

FAMILY = "portunus_tls_site_handshakes_total"


@smoke
def test_handshakes_by_site(portunus, tmp_path):
    authority, port = Authority(tmp_path), free_port()
    pair = authority.make("all", ["a.example", "b.example"])
    site = {"respond": {"status": 200, "body": "x"}}
    door = portunus({
        "listeners": {"secure": {"address": f"127.0.0.1:{port}", "tls": True, "protocols": "h1"}},
        "sites": {
            "a.example": {**site, "tls": pair},
            "b.example": {**site, "tls": {**pair, "client_ca": str(authority.root)}},
        },
    })
    context = authority.client(version=ssl.TLSVersion.TLSv1_2)
    with open_tls(port, context, "a.example") as first:
        session = first.session
    with open_tls(port, context, "a.example", session) as second:
        assert second.session_reused
        second.sendall(get("/", "Connection: close", host="a.example"))
        assert b"200" in second.recv(1000)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        open_tls(port, context, "b.example")
    anybody = client_context(authority.root)
    anybody.check_hostname = False
    assert ask(port, anybody, "nobody.example", host="a.example")[0] == 200

    def counted():
        return {labels: door.metric(FAMILY, **dict(zip(("site", "resumed", "result"), labels)))
                for labels in (("a.example", "false", "ok"), ("a.example", "true", "ok"),
                               ("b.example", "false", "client_certificate"), ("_OTHER", "false", "ok"))}

    wait_until(lambda: all(count == 1 for count in counted().values()), "each of them is counted where it belongs")
    assert door.metric(FAMILY) == door.metric("portunus_tls_handshakes_total") == 4
    # The names of clients are in no label.
    assert "nobody.example" not in door.admin("/metrics").body.decode()
    # And a site that was counted goes on counting after a reload.
    assert door.reload().returncode == 0
    assert ask(port, authority.client(), "a.example")[0] == 200
    wait_until(lambda: door.metric(FAMILY, site="a.example", resumed="false", result="ok") == 2, "one more")
