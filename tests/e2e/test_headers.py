"""What is added to, replaced in and removed from the fields of requests and answers (RFC 9110 section 7.6)."""

import re

import pytest

from support.door import one_pool
from support.upstream import always
from support.wire import answer, get, head

TRUSTED = {"trusted_proxies": ["127.0.0.1"]}
HOP_BY_HOP = ["Connection: X-Hop, keep-alive", "X-Hop: 1", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive",
              "TE: gzip", "Proxy-Authorization: Basic x"]


@pytest.fixture(scope="module")
def untrusting(module_keeper):
    member = module_keeper.upstream()
    return module_keeper.portunus(one_pool(member, threads=1)), member


@pytest.fixture(scope="module")
def trusting(module_keeper):
    member = module_keeper.upstream()
    return module_keeper.portunus(one_pool(member, threads=1, **TRUSTED)), member


def received(shared, *fields, request=None):
    """What the member gets when a client sends this."""
    door, member = shared
    assert door.ask(request or get("/", *fields)).status == 200
    return member.requests[-1]


def test_hop_by_hop_fields_of_a_request_are_removed(untrusting):
    request = received(untrusting, *HOP_BY_HOP)
    for name in ("x-hop", "keep-alive", "proxy-connection", "proxy-authorization"):
        assert name not in request.fields, request
    assert "x-hop" not in (request.header("connection") or "").lower()
    assert "gzip" not in (request.header("te") or "")


def test_hop_by_hop_fields_of_an_answer_are_removed(portunus, upstream):
    fields = ["Connection: X-Hop, keep-alive", "X-Hop: 1", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive",
              "X-Kept: 1"]
    response = portunus(one_pool(upstream(always(answer(200, b"ok", *fields))))).ask(get("/"))
    assert response.header("x-kept") == "1"
    for name in ("x-hop", "keep-alive", "proxy-connection"):
        assert name not in response.fields
    assert "x-hop" not in (response.header("connection") or "").lower()


def test_connection_cannot_remove_what_the_proxy_adds(untrusting):
    fields = "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Request-Id, Via, Host"
    request = received(untrusting, f"Connection: close, {fields}")
    for name in ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "via", "host"):
        assert name in request.fields, f"{name} was removed"


def test_connection_cannot_remove_protected_fields(untrusting):
    protected = ["Cookie: a=b", "Authorization: Basic x", "Cache-Control: no-cache"]
    request = received(untrusting, *protected, "Connection: Cookie, Authorization, Cache-Control, Content-Length, Host")
    assert request.header("host") == "test.local"
    assert request.header("cookie") == "a=b"
    assert request.header("authorization") == "Basic x"


def test_connection_cannot_remove_the_length(untrusting):
    data = head("POST / HTTP/1.1", "Content-Length: 3", "Connection: Content-Length") + b"abc"
    assert received(untrusting, request=data).body == b"abc"


def test_via_is_added_both_ways(portunus, upstream):
    member = upstream(always(answer(200, b"ok", "Via: 1.1 inner")))
    door = portunus(one_pool(member))
    response = door.ask(get("/", "Via: 1.0 outer"))
    assert re.fullmatch(r"1\.0 outer, 1\.1 \S+", ", ".join(member.requests[0].fields.all("via")))
    assert re.fullmatch(r"1\.1 inner(, 1\.1 \S+)?", ", ".join(response.fields.all("via")))


def test_forwarded_fields_describe_the_client(untrusting):
    request = received(untrusting)
    assert request.header("x-forwarded-for") == "127.0.0.1"
    assert request.header("x-forwarded-proto") == "http"
    assert request.header("x-forwarded-host") == "test.local"
    assert "forwarded" not in request.fields


def test_forwarded_fields_of_strangers_are_replaced(untrusting):
    request = received(
        untrusting, "X-Forwarded-For: 66.6.6.6", "X-Forwarded-For: 66.6.6.7", "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.local", "X-Forwarded-Port: 443", "X-Real-IP: 66.6.6.6", "Forwarded: for=66.6.6.6",
        "X-Request-Id: forged", "X-Forwarded-Prefix: /forged", "x-forwarded-Server: forged", "X-Forwarded: for=forged",
    )
    assert request.header("x-forwarded-for") == "127.0.0.1"
    assert request.header("x-forwarded-proto") == "http"
    assert request.header("x-forwarded-host") == "test.local"
    assert "66.6.6" not in repr(request.fields), request
    assert "forged" not in repr(request.fields), request
    assert "443" not in (request.header("x-forwarded-port") or "")


def test_forwarded_fields_of_trusted_proxies_are_kept_and_extended(trusting):
    request = received(trusting, "X-Forwarded-For: 10.1.2.3", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example",
                       "X-Request-Id: abc-123", "X-Forwarded-Prefix: /shop")
    assert request.header("x-forwarded-for").replace(" ", "") == "10.1.2.3,127.0.0.1"
    assert request.header("x-forwarded-prefix") == "/shop"
    assert request.header("x-forwarded-proto") == "https"
    assert request.header("x-forwarded-host") == "shop.example"
    assert request.header("x-request-id") == "abc-123"


def test_trusted_proxy_without_fields_gets_our_own(trusting):
    request = received(trusting)
    assert request.header("x-forwarded-for") == "127.0.0.1"
    assert request.header("x-forwarded-proto") == "http"
    assert request.header("x-request-id")


def test_request_id_is_made_and_differs(untrusting):
    ids = {received(untrusting).header("x-request-id") for _ in range(20)}
    assert len(ids) == 20
    assert all(re.fullmatch(r"[0-9A-Za-z-]{8,64}", one) for one in ids), ids


def test_forwarded_is_sent_by_option(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member, forwarded_header=True))
    assert door.ask(get("/", "Forwarded: for=66.6.6.6")).status == 200
    text = member.requests[0].header("forwarded")
    assert "66.6.6.6" not in text
    pairs = dict(part.strip().lower().split("=", 1) for part in text.split(";"))
    assert pairs["for"].strip('"') == "127.0.0.1"
    assert pairs["proto"] == "http"
    assert pairs["host"].strip('"') == "test.local"


def test_forwarded_is_extended_for_trusted_proxies(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member, forwarded_header=True, **TRUSTED))
    assert door.ask(get("/", "Forwarded: for=10.1.2.3;proto=https")).status == 200
    text = ", ".join(member.requests[0].fields.all("forwarded"))
    assert text.startswith("for=10.1.2.3;proto=https, for=")


def test_host_is_passed_on_as_it_came(untrusting):
    assert received(untrusting, request=get("/", host="Some.Host:8080")).header("host").lower() == "some.host:8080"


def test_host_of_a_pool_takes_its_place(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member, pool={"host": "inner.local"}))
    assert door.get().status == 200
    assert member.requests[0].header("host") == "inner.local"
    assert member.requests[0].header("x-forwarded-host") == "test.local"


def test_fields_keep_their_values_and_order(untrusting):
    request = received(untrusting, "X-A: one", "X-B: two  words", "X-A: three", "X-Empty:",
                       "X-Latin: \xe9\xff", "X-Quote: \"a,b\"")
    assert request.fields.all("x-a") == ["one", "three"]
    assert request.header("x-b") == "two  words"
    assert request.header("x-empty") == ""
    assert request.header("x-latin") == "\xe9\xff"
    assert request.header("x-quote") == '"a,b"'


def test_several_fields_of_an_answer_stay_several(portunus, upstream):
    door = portunus(one_pool(upstream(always(answer(200, b"ok", "Set-Cookie: a=1", "Set-Cookie: b=2")))))
    assert door.get().fields.all("set-cookie") == ["a=1", "b=2"]


DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")


def test_date_is_added_where_the_member_gave_none(untrusting):
    """RFC 9110 section 6.6.1: whoever forwards an answer without a Date adds one."""
    door, _ = untrusting
    assert DATE.fullmatch(door.get().header("date", ""))


def test_date_of_the_member_is_kept(portunus, upstream):
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert portunus(one_pool(upstream(always(answer(200, b"ok", f"Date: {date}"))))).get().header("date") == date


def test_own_answers_have_a_date(portunus):
    door = portunus({"sites": {"test.local": {"respond": {"status": 200, "body": "x"}}}})
    for host in ("test.local", "unknown.local"):
        assert DATE.fullmatch(door.get(host=host).header("date", "")), host


def test_header_changes_of_site_and_route(portunus, upstream):
    member = upstream(always(answer(200, b"ok", "X-Powered-By: something", "X-Old: 1")))
    changes = {
        "request_headers": {"set": {"X-Set": "site"}, "remove": ["X-Gone"]},
        "response_headers": {"remove": ["X-Powered-By"], "set": {"X-Old": "2"}},
        "routes": [{"pool": "web", "request_headers": {"set": {"X-Set": "route"}, "add": {"X-Add": ["1", "2"]}},
                    "response_headers": {"add": {"X-More": "3"}}}],
    }
    config = one_pool(member)
    config["sites"] = {"*": changes}
    response = portunus(config).ask(get("/", "X-Set: client", "X-Gone: 1", "X-Add: 0"))
    request = member.requests[0]
    assert request.header("x-set") == "route"
    assert "x-gone" not in request.fields
    assert request.fields.all("x-add") == ["0", "1", "2"]
    assert "x-powered-by" not in response.fields
    assert (response.header("x-old"), response.header("x-more")) == ("2", "3")


def test_clients_in_front_of_each_other_do_not_mix(portunus, upstream):
    """Fields of one request never show up in the next one on the same connection."""
    member = upstream()
    door = portunus(one_pool(member, threads=1))
    with door.connect() as client:
        client.send(get("/1", "X-Secret: one", "Cookie: a=1") + get("/2"))
        client.read_response()
        client.read_response()
    assert "x-secret" in member.requests[0].fields
    assert "x-secret" not in member.requests[1].fields
    assert "cookie" not in member.requests[1].fields
