"""Who may come in: lists of addresses, and rate limits, counted by all threads together."""

import concurrent.futures
import json
import shutil
import subprocess
import threading

import pytest

from support.door import one_pool
from support.grpc_calls import Client, Worker, grpc
from support.upstream import serve_requests
from support.waiting import wait_until
from support.wire import get, head

smoke = pytest.mark.smoke
CURL = shutil.which("curl")
H2LOAD = shutil.which("h2load")
HOUR = 3600


def limited(rate_limit, **site):
    """No member is needed to count."""
    return {"sites": {"*": {"respond": {"status": 204}, "rate_limit": rate_limit, **site}}, "access_log": {"output": "access.log"}}


def ask(door, path="/", *fields, source="127.0.0.1", count=1):
    """The statuses of so many requests on one connection."""
    with door.connect(source=source) as client:
        statuses = []
        for _ in range(count):
            client.send(get(path, *fields))
            statuses.append(client.read_response().status)
        return statuses


def reasons(door, count):
    """What the access log says about the ends of that many requests, sorted."""
    file = door.folder / "access.log"
    lines = wait_until(lambda: file.exists() and len(found := file.read_text().splitlines()) >= count and found, f"{count} lines")
    assert len(lines) == count
    return sorted(json.loads(line)["end_reason"] for line in lines)


def decisions(door, decision, limiter="*"):
    return door.metric("portunus_rate_limit_decisions_total", limiter=limiter, decision=decision)


# ---- how many


@smoke
def test_connections_and_threads_share_one_count(portunus):
    door = portunus({**limited({"rate": "1/h", "burst": 70}), "threads": 4})
    with concurrent.futures.ThreadPoolExecutor(20) as pool:  # 40 connections with 5 requests
        statuses = [status for each in pool.map(lambda _: ask(door, count=5), range(40)) for status in each]
    assert (statuses.count(204), statuses.count(429), len(statuses)) == (70, 130, 200)
    assert decisions(door, "limited") == 130
    assert decisions(door, "reported") == 0
    assert door.metric("portunus_rate_limit_keys", limiter="*") == 1
    assert door.metric("portunus_rate_limit_evictions_total") == 0
    assert door.metric("portunus_http_requests_rejected_total", reason="rate_limited", mode="enforce") == 130
    assert door.metric("portunus_http_requests_total", code="429") == 130
    assert reasons(door, 200) == ["ok"] * 70 + ["rate_limited"] * 130


def test_who_waits_as_told_is_let_in(portunus):
    door = portunus(limited({"rate": "2/s", "burst": 1}))
    assert ask(door) == [204]
    refused = wait_until(lambda: (answer := door.get()).status == 429 and answer, "two within half a second")
    assert refused.header("retry-after") == "1"
    wait_until(lambda: ask(door) == [204], "half a second is over")


def test_what_a_refusal_says(portunus):
    door = portunus(limited({"rate": "1/h", "burst": 2}))
    assert "ratelimit" not in door.get().fields
    assert ask(door) == [204]
    refused = door.get("/", "Accept: application/json")
    assert refused.status == 429
    assert HOUR - 60 < int(refused.header("retry-after")) <= HOUR
    assert refused.header("ratelimit-policy") == f'"default";q=2;w={2 * HOUR}'
    assert refused.header("ratelimit") == f'"default";r=0;t={refused.header("retry-after")}'
    assert refused.header("cache-control") == "no-store"
    assert json.loads(refused.body)["reason"] == "rate_limited"


def test_all_answers_may_tell_the_limit(portunus, upstream):
    door = portunus(one_pool(upstream(), site={"rate_limit": {"rate": "1/h", "burst": 2, "headers": "all"}}))
    answers = [door.get() for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.header("ratelimit").split(";")[1] for answer in answers] == ["r=1", "r=0", "r=0"]
    assert {answer.header("ratelimit-policy") for answer in answers} == {f'"default";q=2;w={2 * HOUR}'}


def test_no_member_hears_of_a_refused_request(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member, site={"rate_limit": "1/h"}))
    assert door.get().status == 200
    with door.connect() as client:
        client.send(head("POST /big HTTP/1.1", "Content-Length: 1000000", "Expect: 100-continue"))
        assert client.read_response().status == 429, "not asked for its body first"
    assert len(member.requests) == 1


def test_a_rule_that_only_reports(portunus):
    door = portunus(limited({"rate": "1/h", "burst": 3, "report_only": True}))
    assert ask(door, count=10) == [204] * 10
    assert (decisions(door, "reported"), decisions(door, "limited")) == (7, 0)
    assert door.metric("portunus_http_requests_rejected_total", reason="rate_limited", mode="report") == 7
    assert door.metric("portunus_http_requests_rejected_total", mode="enforce") == 0
    assert reasons(door, 10) == ["ok"] * 10
    lines = [json.loads(line) for line in (door.folder / "access.log").read_text().splitlines()]
    assert [line.get("reported_reason") for line in lines] == [None] * 3 + ["rate_limited"] * 7


# ---- of what


def test_routes_of_a_site_count_together_unless_they_say_otherwise(portunus):
    def says(path, **more):
        return {"match": {"path": path}, "respond": {"status": 204}, **more}

    routes = [
        says("/own", rate_limit={"rate": "1/h", "burst": 2}, name="own"), says("/free", rate_limit="off"), says("/a"),
        {"match": {"path": "/old"}, "redirect": "/new"},
    ]
    door = portunus(limited({"rate": "1/h", "burst": 3}, routes=routes))
    assert ask(door, "/own", count=3) == [204, 204, 429]
    assert ask(door, "/a") + ask(door, "/old") + ask(door, "/else") == [204, 308, 204]
    assert ask(door, "/a") + ask(door, "/old") + ask(door, "/else") == [429] * 3
    assert ask(door, "/free", count=10) == [204] * 10
    assert (decisions(door, "limited"), decisions(door, "limited", "own")) == (3, 1)


@pytest.mark.parametrize("key, first, same, other", [
    ("header:X-Api-Key", "X-Api-Key: a", "x-api-key: a", "X-Api-Key: b"),
    ("cookie:id", "Cookie: x=1; id=a", "Cookie: id=a", "Cookie: id=b"),
])
def test_a_key_that_clients_send(portunus, key, first, same, other):
    door = portunus(limited({"rate": "1/h", "key": key}))
    assert ask(door, "/", first) == [204]
    assert ask(door, "/", same, source="127.0.0.2") == [429], "whoever sends it"
    assert ask(door, "/", other) == [204]
    assert ask(door, source="127.0.0.3") + ask(door, source="127.0.0.3") == [204, 429], "without it the address counts"
    assert ask(door, source="127.0.0.4") == [204]


def test_paths_count_for_everybody(portunus):
    door = portunus(limited({"rate": "1/h", "key": "path"}))
    assert ask(door, "/a") + ask(door, "/a?b=1", source="127.0.0.2") + ask(door, "/b") == [204, 429, 204]


def test_a_value_that_stands_there_twice_is_none(portunus):
    """The member may look at the other one: such requests count for the address."""
    door = portunus(limited({"rate": "1/h", "key": "cookie:sid"}))
    assert ask(door, "/", "Cookie: sid=abc") == [204]
    assert ask(door, "/", "Cookie: sid=abc ; x=1") == [429], "the same session"
    assert ask(door, "/", "Cookie: sid=1; sid=abc") == [204], "the address"
    assert ask(door, "/", "Cookie: sid=2; sid=abc") == [429]
    assert ask(door, "/", "Cookie: sid=3", "Cookie: sid=abc") == [429]
    door = portunus(limited({"rate": "1/h", "key": "header:x-key"}))
    assert ask(door, "/", "X-Key: abc") == [204]
    assert [ask(door, "/", f"X-Key: {i}", "X-Key: abc") for i in range(3)] == [[204], [429], [429]]


def test_huge_and_many_keys_take_no_memory(portunus):
    door = portunus(limited({"rate": "1/h", "key": "header:x-key", "keys": 1000}))
    ask(door, "/", "X-Key: warm")
    before = door.resident_bytes()
    shared = 0
    with door.connect() as client:
        for number in range(6000):
            client.send(get("/", f"X-Key: {number:06}" + "k" * 4000))
            shared += client.read_response().status != 204
    assert shared <= 4, "one new key in 131,000 shares another one's entry (rate_table.h)"
    assert door.metric("portunus_rate_limit_keys", limiter="*") <= 2048
    assert door.metric("portunus_rate_limit_evictions_total", limiter="*") >= 6001 - shared - 2048
    assert door.resident_bytes() - before < 4 << 20, "24 MB of keys"


def test_clients_behind_the_proxy_protocol_and_their_networks(portunus):
    door = portunus({**limited("1/h"), "front": {"proxy_protocol": {"trusted": ["127.0.0.1"]}}})

    def status(address):
        family = "TCP6" if ":" in address else "TCP4"
        end = "2001:db8::9" if ":" in address else "198.51.100.9"
        with door.connect() as client:
            client.send(f"PROXY {family} {address} {end} 4711 443\r\n".encode() + get())
            return client.read_response().status

    assert [status("2001:db8:0:1::1"), status("2001:db8:0:1:ffff::2"), status("2001:db8:0:2::1")] == [204, 429, 204]
    assert [status("192.0.2.7"), status("192.0.2.7"), status("192.0.2.8")] == [204, 429, 204]


def test_only_a_trusted_proxy_says_who_the_client_is(portunus):
    config = limited("1/h")
    door = portunus({**config, "trusted_proxies": ["127.0.0.2"]})
    told = ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"]
    assert [ask(door, "/", each, source="127.0.0.2")[0] for each in told] == [204, 429, 204]
    assert [ask(door, "/", each)[0] for each in told] == [204, 429, 429], "nobody's word"


# ---- at a time


def is_closed(door, source="127.0.0.1"):
    with door.connect(source=source) as client:
        client.try_send(get("/"))
        return client.read_some() == b""


@smoke
def test_connections_of_a_client_are_limited(portunus):
    config = {"sites": {"*": {"respond": {"status": 204}}}, "limits": {"client_connections": 2},
              "trusted_proxies": ["127.0.0.3"]}
    door = portunus({**config, "threads": 2})
    clients = [door.connect() for _ in range(2)]
    for client in clients:
        client.send(get("/"))
        assert client.read_response().status == 204
    assert is_closed(door)
    wait_until(lambda: door.metric("portunus_connections_rejected_total", reason="client_limit") == 1, "it is counted")
    assert ask(door, source="127.0.0.2") == [204], "another client"
    proxy = [door.connect(source="127.0.0.3") for _ in range(4)]
    for client in proxy:
        client.send(get("/"))
        assert client.read_response().status == 204
    for client in clients:  # those that are in stay in
        client.send(get("/"))
        assert client.read_response().status == 204
    clients[0].close()
    wait_until(lambda: not is_closed(door), "there is room again")
    door.write({**config, "limits": {"client_connections": 0}, "threads": 2})
    assert door.reload().returncode == 0
    assert [is_closed(door) for _ in range(4)] == [False] * 4


@smoke
def test_requests_in_flight_of_a_client_are_limited(portunus, upstream):
    release = threading.Event()

    def slow(connection, request):
        if request.target == "/slow":
            release.wait(20)
        connection.reply()

    member = upstream(serve_requests(slow))
    door = portunus(one_pool(member, limits={"client_requests": 2}, trusted_proxies=["127.0.0.2"], threads=2))
    clients = [door.connect(patience=20) for _ in range(2)]
    for client in clients:
        client.send(get("/slow"))
    member.wait_for_requests(2)
    refused = door.get()
    assert (refused.status, refused.header("retry-after")) == (429, "1")
    assert b"client_limited" in refused.body
    assert door.metric("portunus_http_requests_rejected_total", reason="client_limited") == 1
    assert ask(door, "/", "X-Forwarded-For: 192.0.2.1", source="127.0.0.2") == [200], "somebody behind a proxy"
    assert ask(door, "/", "X-Forwarded-For: 127.0.0.1", source="127.0.0.2") == [429], "the same client, by a proxy"
    assert ask(door, "/", "X-Forwarded-For: 192.0.2.1") == [429], "nobody's word"
    release.set()
    assert [client.read_response().status for client in clients] == [200] * 2
    wait_until(lambda: door.get().status == 200, "both have ended")


# ---- over a reload


def test_what_has_been_used_up_stays_so_over_a_reload(portunus):
    config = limited({"rate": "1/h", "burst": 2})
    door = portunus(config)
    assert ask(door, count=3) == [204, 204, 429]
    config["sites"]["other.test"] = {"respond": {"status": 200}}
    door.write(config)
    assert door.reload().returncode == 0
    assert ask(door) == [429]
    assert decisions(door, "limited") == 2
    config["sites"]["*"]["rate_limit"]["burst"] = 3
    door.write(config)
    assert door.reload().returncode == 0
    assert ask(door, count=4) == [204, 204, 204, 429], "another rule begins anew"
    del config["sites"]["*"]["rate_limit"]
    door.write(config)
    assert door.reload().returncode == 0
    assert ask(door, count=10) == [204] * 10


# ---- HTTP/2 and gRPC


@pytest.mark.skipif(not (CURL and H2LOAD), reason="curl or h2load is not installed")
def test_streams_of_http2_count_as_well(portunus):
    door = portunus({**limited({"rate": "1/h", "burst": 50}), "front": {"protocols": ["h1", "h2"]}, "threads": 4})
    url = f"http://127.0.0.1:{door.port}/"
    load = subprocess.run([H2LOAD, "-n", "200", "-c", "8", "-m", "10", url], capture_output=True, text=True, timeout=30, check=True)
    assert "status codes: 50 2xx, 0 3xx, 150 4xx, 0 5xx" in load.stdout, load.stdout
    assert decisions(door, "limited") == 150
    one = subprocess.run(
        [CURL, "--silent", "--http2-prior-knowledge", "--max-time", "20", "--output", "/dev/null", "--write-out",
         "%{http_code} %{http_version} %header{retry-after}", url],
        capture_output=True, text=True, timeout=30, check=True,
    )
    status, version, retry_after = one.stdout.split()
    assert (status, version) == ("429", "2")
    assert HOUR - 60 < int(retry_after) <= HOUR
    assert ask(door) == [429], "HTTP/1.1 is no way around"


def test_calls_of_grpc_end_with_their_own_statuses(portunus, keeper):
    worker = keeper.keep(Worker(keeper.folder))
    routes = [
        {"match": {"path": "/test.Worker/Gather"}, "deny": ["127.0.0.0/8"], "pool": "web"},
        {"rate_limit": {"rate": "1/h", "burst": 2}, "pool": "web"},
    ]
    config = one_pool(worker, {"protocol": "h2c"}, front={"protocols": ["h1", "h2"]})
    config["sites"]["*"] = {"routes": routes}
    door = portunus(config)
    with Client(door.port) as client:
        assert client.call("Echo", b"one") == b"one"
        assert client.call("Echo", b"two") == b"two"
        failure = client.failure("Echo", b"three")
        assert failure.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, failure
        assert "rate_limited" in failure.details()
        with pytest.raises(grpc.RpcError) as caught:
            client.gather([b"one"])
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED, caught.value
        assert "rejected_address" in caught.value.details()


# ---- addresses


@smoke
def test_lists_of_addresses(portunus, upstream):
    member = upstream()
    routes = [
        {"match": {"path": "/admin/*"}, "allow": ["127.0.0.4"], "pool": "web"},
        {"match": {"path": "/public"}, "allow": ["127.0.0.0/8"], "pool": "web"},
        {"pool": "web"},
    ]
    config = one_pool(member, access_log={"output": "access.log"})
    config["sites"]["*"] = {"allow": ["127.0.0.0/29"], "deny": ["127.0.0.2", "127.0.0.6/31"], "routes": routes}
    door = portunus(config)

    def row(source):
        return [ask(door, path, source=source)[0] for path in ("/", "/admin/x", "/public")]

    assert row("127.0.0.1") == [200, 403, 200]
    assert row("127.0.0.2") == [403, 403, 403], "a route does not open what the site has closed"
    assert row("127.0.0.4") == [200, 200, 200]
    assert row("127.0.0.7") == [403, 403, 403]
    assert row("127.0.0.8") == [403, 403, 403]
    assert len(member.requests) == 5
    assert door.metric("portunus_http_requests_rejected_total", reason="rejected_address", mode="enforce") == 10
    assert reasons(door, 15) == ["ok"] * 5 + ["rejected_address"] * 10
    refused = door.get("/admin/x")
    assert (refused.status, refused.header("proxy-status")) == (
        403, 'portunus; error=http_request_denied; details="rejected_address"')


def test_the_believed_address_is_judged(portunus):
    config = {"sites": {"*": {"respond": {"status": 204}, "allow": ["192.0.2.0/24"]}}, "trusted_proxies": ["127.0.0.2"]}
    door = portunus(config)
    assert ask(door, "/", "X-Forwarded-For: 192.0.2.1", source="127.0.0.2") == [204]
    assert ask(door, "/", "X-Forwarded-For: 198.51.100.1", source="127.0.0.2") == [403]
    assert ask(door, "/", "X-Forwarded-For: 192.0.2.1, 198.51.100.1", source="127.0.0.2") == [403], "its own claim"
    assert ask(door, "/", "X-Forwarded-For: 192.0.2.1") == [403], "nobody's word"
    assert ask(door) == [403]


def test_an_unreadable_address_is_not_allowed_in_the_proxys_place(portunus):
    config = {"sites": {"*": {"respond": {"status": 204}, "allow": ["127.0.0.0/8"]}}, "trusted_proxies": ["127.0.0.2"]}
    door = portunus(config)
    assert ask(door, source="127.0.0.2") == [204]
    for field in ("X-Forwarded-For: 300.1.1.1", "X-Forwarded-For: unknown", "X-Forwarded-For: _hidden",
                  "X-Forwarded-For: 127.0.0.1, unknown", "Forwarded: for=_hidden", "Forwarded: for=unknown;proto=http"):
        assert ask(door, "/", field, source="127.0.0.2") == [403], field
