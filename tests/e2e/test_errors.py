"""What clients are told when something goes wrong (RFC 9209)."""

import json
import re

import pytest

from support.door import one_pool
from support.ports import free_port
from support.upstream import always
from support.wire import get


@pytest.fixture(scope="module")
def door(module_keeper):
    garbage = module_keeper.upstream(always(b"garbage\r\n\r\n"))
    dead = f"127.0.0.1:{free_port()}"
    return module_keeper.portunus({
        "pools": {"garbage": {"upstreams": [garbage.address], "health": "off"},
                  "dead": {"upstreams": [dead], "health": "off", "retry": "off"}},
        "sites": {"test.local": {"routes": [{"match": {"path": "/garbage"}, "pool": "garbage"},
                                            {"match": {"path": "/dead"}, "pool": "dead"}]}},
    })


CASES = [("/garbage", {502}), ("/dead", {502, 503}), ("/nowhere", {404})]


@pytest.mark.parametrize(("path", "statuses"), CASES)
def test_plain_body(door, path, statuses):
    response = door.get(path)
    assert response.status in statuses
    assert response.header("content-type") == "text/plain; charset=utf-8"
    assert str(response.status) in response.body.decode()


@pytest.mark.parametrize("accept", ["application/json", "application/problem+json, */*;q=0.1"])
@pytest.mark.parametrize(("path", "statuses"), CASES)
def test_json_body_by_accept(door, path, statuses, accept):
    response = door.get(path, f"Accept: {accept}")
    assert response.status in statuses
    assert response.header("content-type").startswith("application/json")
    body = json.loads(response.body)
    assert body["status"] == response.status
    assert body["request_id"] == response.header("x-request-id")
    assert re.fullmatch("[a-z_]+", body["reason"])


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml,*/*;q=0.8", "*/*", "text/plain"])
def test_browsers_get_text(door, accept):
    assert door.get("/garbage", f"Accept: {accept}").header("content-type").startswith("text/plain")


@pytest.mark.parametrize(("path", "statuses"), CASES)
def test_proxy_status_and_request_id(door, path, statuses):
    response = door.get(path)
    assert response.status in statuses
    assert re.match(r"[a-z.-]+; ?error=[a-z_]+", response.header("proxy-status")), response
    assert re.fullmatch(r"[0-9A-Za-z-]{8,64}", response.header("x-request-id"))
    assert response.header("cache-control") == "no-store"


def test_request_id_of_the_body_is_the_one_of_the_header(door):
    response = door.get("/garbage")
    assert response.header("x-request-id") in response.body.decode()


@pytest.mark.parametrize(("path", "statuses"), CASES)
def test_no_banner(door, path, statuses):
    response = door.get(path)
    assert response.status in statuses
    text = f"{response.fields} {response.body!r}".lower()
    assert "server" not in response.fields
    assert not re.search(r"portunus/?\s*v?\d", text), text
    assert "127.0.0.1" not in text, "an address of the inside is told"


def test_head_of_an_error_has_no_body(door):
    with door.connect() as client:
        client.send(get("/nowhere", method="HEAD") + get("/nowhere"))
        assert client.read_response("HEAD").status == 404
        assert client.read_response().status == 404


def test_what_a_client_sent_is_not_echoed(door):
    response = door.get("/nowhere/<script>alert(1)</script>".replace("<", "%3C").replace(">", "%3E"), "Accept: text/html")
    assert b"script" not in response.body


def test_errors_keep_the_connection(door):
    with door.connect() as client:
        for path in ("/nowhere", "/garbage", "/dead", "/nowhere"):
            client.send(get(path))
            assert client.read_response().status >= 400


def test_answers_of_members_are_left_alone(portunus, upstream):
    data = b"HTTP/1.1 500 Oops\r\nServer: inner/1\r\nContent-Length: 4\r\n\r\noops"
    response = portunus(one_pool(upstream(always(data)))).get()
    assert (response.status, response.body) == (500, b"oops")
