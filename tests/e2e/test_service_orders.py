"""POST /v1/services/{name}/{verb}: orders to services by the admin interface, which the supervisor answers."""

import json
import os
import signal

import pytest

from support.door import one_pool, run_program
from support.ports import free_ports
from support.waiting import SCALE, wait_until
from support.wire import connect, head, post
from test_services import config, replicas_of, wait_for_members

pytestmark = pytest.mark.smoke


def order(door, path, body=None, *fields):
    text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    with connect(door.admin_port) as client:
        client.send(post(path, text, "Connection: close", *fields, host=f"127.0.0.1:{door.admin_port}"))
        response = client.read_response("POST")
    return response.status, json.loads(response.body)


@pytest.fixture
def web(portunus, tmp_path):
    door = portunus(config(tmp_path, free_ports(5), replicas={"min": 1, "max": 3}))
    wait_for_members(door, 1)
    return door


def settled(door, count):
    """As many run as are wanted, and the proxy knows it."""
    wait_for_members(door, count)
    wait_until(lambda: [r["state"] for r in door.json("/v1/services")["services"][0]["replicas"]] == ["running"] * count,
               f"{count} run", 30 * SCALE)


def is_rolling(door):
    """As the supervisor says: the proxy may not have heard yet that it began."""
    result = run_program("services", "--json", "-c", str(door.path), folder=door.folder)
    return json.loads(result.stdout)["services"][0]["rolling"]


def test_each_order_is_taken_and_done(web):
    assert order(web, "/v1/services/web/scale", {"replicas": 2}) == (202, {"service": "web", "order": "scale", "replicas": 2})
    settled(web, 2)
    before = set(replicas_of(web).values())
    assert order(web, "/v1/services/web/roll") == (202, {"service": "web", "order": "roll"})
    wait_until(lambda: not before & set(replicas_of(web).values()), "all are new", 30 * SCALE)
    wait_until(lambda: not is_rolling(web), "the roll is over", 30 * SCALE)
    settled(web, 2)
    before = set(replicas_of(web).values())
    assert order(web, "/v1/services/web/restart", b"")[0] == 202
    wait_until(lambda: len(replicas_of(web)) == 2 and not before & set(replicas_of(web).values()), "others run", 30 * SCALE)
    settled(web, 2)
    assert order(web, "/v1/services/web/stop")[0] == 202
    wait_until(lambda: not replicas_of(web), "none runs", 30 * SCALE)
    assert order(web, "/v1/services/web/start")[0] == 202
    settled(web, 2)


def test_what_is_refused_says_why(web):
    for path, body, status, why in (
            ("none/stop", None, 404, "no service is named none"), ("none/scale", {"replicas": 1}, 404, "no service is named none"),
            ("web/scale", {"replicas": 0}, 409, "is not within its replicas 1 to 3"),
            ("web/scale", {"replicas": 4294967295}, 409, "is not within its replicas 1 to 3"),
            ("web/scale", None, 400, "replicas"), ("web/scale", {}, 400, "replicas"), ("web/scale", {"replicas": "2"}, 400, "replicas"),
            ("web/scale", {"replicas": -1}, 400, "replicas"), ("web/scale", {"replicas": 1.5}, 400, "replicas"),
            ("web/scale", {"replicas": 4294967296}, 400, "replicas"), ("web/scale", {"replicas": 2, "x": 1}, 400, "replicas"),
            ("web/scale", b"[" * 60000, 400, "replicas"), ("web/scale", b"\xff", 400, "replicas"),
            ("web/explode", None, 404, "no such endpoint"), ("web", None, 404, "no such endpoint"), ("", None, 404, "no such endpoint"),
            ("/stop", None, 404, "no such endpoint"), ("web/stop/x", None, 404, "no such endpoint"),
            ("web/scale", b"x" * 70000, 413, "so large a body")):
        answer = order(web, f"/v1/services/{path}", body)
        assert answer[0] == status, (path, body if body is None else str(body)[:40], answer)
        assert why in answer[1]["message"]
    assert order(web, "/v1/services/web/stop")[0] == 202
    assert order(web, "/v1/services/web/restart") [0] == 409, "it is stopped"
    assert order(web, "/v1/services/w%65b/start")[0] == 202, "the name is decoded"
    settled(web, 1)


def test_web_pages_cannot_give_orders(web):
    assert order(web, "/v1/services/web/stop", None, "Origin: http://elsewhere.test")[0] == 403
    assert order(web, "/v1/services/web/stop", None, "Sec-Fetch-Site: cross-site")[0] == 403
    with connect(web.admin_port) as client:
        client.send(head("GET /v1/services/web/stop HTTP/1.1", "Connection: close", host="localhost"))
        response = client.read_response()
        assert (response.status, response.header("allow")) == (405, "POST")
    assert len(replicas_of(web)) == 1


def test_without_a_supervisor_it_is_503(portunus, upstream):
    door = portunus(one_pool(upstream()), command="proxy")
    status, answer = order(door, "/v1/services/web/stop")
    assert status == 503
    assert "no supervisor" in answer["message"]


def test_a_supervisor_that_hangs(web):
    """It is asked, does not answer, and goes on: the proxy, which it has not heard meanwhile, is left alone."""
    proxy = web.pid
    os.kill(web.supervisor_pid, signal.SIGSTOP)
    try:
        with connect(web.admin_port, patience=30 * SCALE) as client:
            client.send(post("/v1/services/web/scale", b'{"replicas": 2}', host="localhost"))
            assert client.read_response("POST").status == 503
    finally:
        os.kill(web.supervisor_pid, signal.SIGCONT)
    settled(web, 2)
    assert web.pid == proxy
    assert order(web, "/v1/services/web/scale", {"replicas": 1})[0] == 202
    settled(web, 1)


def test_a_client_that_leaves_before_the_answer(web):
    os.kill(web.supervisor_pid, signal.SIGSTOP)
    try:
        with connect(web.admin_port) as client:
            client.send(post("/v1/services/web/scale", b'{"replicas": 2}', host="localhost"))
            assert web.admin("/livez").status == 200, "it has been read"
    finally:
        os.kill(web.supervisor_pid, signal.SIGCONT)
    settled(web, 2)
    assert web.admin("/livez").status == 200
