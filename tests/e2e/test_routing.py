"""From host, path, method, header and query to an answer."""

import collections

import pytest

from support.ports import free_port
from support.upstream import serve_requests
from support.wire import connect, get, head


def says(text, **more):
    return {"respond": {"status": 200, "body": text}, **more}


def site(*routes, **more):
    return {"routes": list(routes), **more}


def body_of(door, path="/", *fields, host="test.local", method="GET"):
    response = door.get(path, *fields, host=host, method=method)
    return response.body.decode() if response.status == 200 else response.status


@pytest.fixture(scope="module")
def hosts(module_keeper):
    return module_keeper.portunus({"sites": {
        "one.test": {**says("one"), "aliases": ["uno.test"]},
        "*.test": says("wildcard"),
        "deep.wild.test": says("deep"),
        "*.wild.test": says("wild"),
        "*": says("any"),
    }})


@pytest.mark.parametrize(("host", "expected"), [
    ("one.test", "one"), ("ONE.test", "one"), ("one.test.", "one"), ("one.test:8080", "one"), ("uno.test", "one"),
    ("two.test", "wildcard"), ("a.b.test", "any"), ("test", "any"), ("deep.wild.test", "deep"), ("x.wild.test", "wild"),
    ("other.example", "any"), ("127.0.0.1", "any"), ("[::1]", "any"),
])
def test_hosts(hosts, host, expected):
    assert body_of(hosts, host=host) == expected


def test_host_of_an_absolute_target_counts(hosts):
    response = hosts.ask(head("GET http://one.test/ HTTP/1.1", host="one.test"))
    assert response.body == b"one"


def test_unknown_host_is_a_404(portunus):
    door = portunus({"sites": {"known.test": says("known")}})
    assert body_of(door, host="known.test") == "known"
    assert body_of(door, host="unknown.test") == 404


PATH_ROUTES = [
    {"match": {"path": "/exact"}, **says("exact")},
    {"match": {"path": "/tree/*"}, **says("tree")},
    {"match": {"path": ["/either", "/or/*"]}, **says("either")},
    {"match": {"path": "/a/b/*"}, **says("a/b")},
    {"match": {"path": "/a/*"}, **says("a")},
    {"match": {"path": "/a/c/*"}, **says("never: the one before takes it")},
]


@pytest.fixture(scope="module")
def paths(module_keeper):
    return module_keeper.portunus({"sites": {"*": site(*PATH_ROUTES)}})


@pytest.mark.parametrize(("path", "expected"), [
    ("/exact", "exact"), ("/exact/", 404), ("/exact/more", 404), ("/exactly", 404), ("/exact?query=1", "exact"),
    ("/tree", "tree"), ("/tree/", "tree"), ("/tree/deep/er", "tree"), ("/trees", 404), ("/TREE", 404),
    ("/either", "either"), ("/or/x", "either"), ("/either/x", 404),
    ("/a/b/c", "a/b"), ("/a/b", "a/b"), ("/a/bc", "a"), ("/a", "a"), ("/a/c/d", "a"), ("/", 404),
    ("/tree/../exact", "exact"), ("//tree//x", "tree"), ("/%74ree", "tree"),
])
def test_paths(paths, path, expected):
    assert body_of(paths, path) == expected


MATCH_ROUTES = [
    {"match": {"path": "/m", "method": ["POST", "PUT"]}, **says("write")},
    {"match": {"path": "/m", "method": "GET"}, **says("read")},
    {"match": {"header": {"X-Tenant": "blue"}}, **says("blue")},
    {"match": {"header": {"X-Tenant": "gr*"}}, **says("gr*")},
    {"match": {"header": {"X-Tenant": "*", "X-Also": "1"}}, **says("both")},
    {"match": {"query": {"v": "2"}}, **says("v2")},
    {"match": {"query": {"debug": "*"}}, **says("debug")},
    {"match": {"path": "/m"}, **says("other method")},
]


@pytest.fixture(scope="module")
def matches(module_keeper):
    return module_keeper.portunus({"sites": {"*": site(*MATCH_ROUTES)}})


@pytest.mark.parametrize(("method", "path", "fields", "expected"), [
    ("POST", "/m", [], "write"), ("PUT", "/m", [], "write"), ("GET", "/m", [], "read"),
    ("DELETE", "/m", [], "other method"),
    ("GET", "/x", ["X-Tenant: blue"], "blue"), ("GET", "/x", ["x-tenant: green"], "gr*"),
    ("GET", "/x", ["X-Tenant: red"], 404), ("GET", "/x", ["X-Tenant: red", "X-Also: 1"], "both"),
    ("GET", "/x?v=2", [], "v2"), ("GET", "/x?a=1&v=2&b", [], "v2"), ("GET", "/x?v=23", [], 404),
    ("GET", "/x?av=2", [], 404),
    ("GET", "/x?debug", [], "debug"), ("GET", "/x?debug=", [], "debug"), ("GET", "/x?debug=yes", [], "debug"),
    ("GET", "/x", [], 404),
])
def test_methods_headers_and_queries(matches, method, path, fields, expected):
    response = matches.ask(get(path, "Content-Length: 0", *fields, method=method))
    assert (response.body.decode() if response.status == 200 else response.status) == expected


def test_paths_that_members_see(portunus, upstream):
    member = upstream()
    pool = {"pool": "web"}
    door = portunus({
        "pools": {"web": {"upstreams": [member.address], "health": "off"}},
        "sites": {"*": site(
            {"match": {"path": "/api/*"}, "strip_prefix": "/api", **pool},
            {"match": {"path": "/old/*"}, "rewrite": "/new/{path.rest}", **pool},
            {"match": {"path": "/fixed"}, "rewrite": "/elsewhere", **pool},
        )},
    })
    for sent, seen in [("/api/users?x=1", "/users?x=1"), ("/api", "/"), ("/api/", "/"), ("/api?q", "/?q"),
                       ("/api/a%2fb", "/a%2Fb"), ("/old/a/b?q=1", "/new/a/b?q=1"), ("/fixed?q=1", "/elsewhere?q=1")]:
        assert door.get(sent).status == 200
        assert member.requests[-1].target == seen, sent


@pytest.mark.parametrize(("to", "sent", "location"), [
    ("/new/{path.rest}", "/old/a/b", "/new/a/b"),
    ("/new/{path.rest}", "/old/a?q=1", "/new/a?q=1"),
    ("/new?fixed=1", "/old/a?q=1", "/new?fixed=1"),
    ("https://{host}{path}", "/old/x?q=1", "https://test.local/old/x?q=1"),
])
def test_redirects(portunus, to, sent, location):
    door = portunus({"sites": {"*": site({"match": {"path": "/old/*"}, "redirect": {"to": to, "code": 301}})}})
    response = door.get(sent)
    assert (response.status, response.header("location")) == (301, location)


def test_redirect_keeps_the_scheme_that_a_trusted_proxy_tells(portunus):
    site = {"test.local": {"redirect": "{scheme}://www.test.local{path}"}}
    for trusted, scheme in (["127.0.0.1"], "https"), ([], "http"):
        door = portunus({"sites": site, "trusted_proxies": trusted})
        response = door.get("/a", "X-Forwarded-Proto: https")
        assert response.header("location") == f"{scheme}://www.test.local/a"


def test_redirect_cannot_be_split(portunus):
    door = portunus({"sites": {"*": site({"match": {"path": "/old/*"}, "redirect": "/new/{path.rest}"})}})
    response = door.get("/old/a%0d%0aSet-Cookie:%20x")
    assert response.status == 308
    assert "set-cookie" not in response.fields
    assert response.header("location") == "/new/a%0D%0ASet-Cookie:%20x"


def test_redirect_to_a_path_never_leaves_the_site(portunus):
    """`//evil.test` would be another host for browsers."""
    door = portunus({"sites": {"*": site({"match": {"path": "/old/*"}, "redirect": "/{path.rest}"})}})
    location = door.get("/old//evil.test/x").header("location")
    assert not location.startswith("//"), location


def test_own_answer_in_full(portunus):
    respond = {"status": 418, "body": "short and stout", "content_type": "text/x-tea", "headers": {"X-Pot": "1"}}
    door = portunus({"sites": {"*": {"respond": respond}}})
    response = door.get("/")
    assert (response.status, response.body) == (418, b"short and stout")
    assert (response.header("content-type"), response.header("x-pot")) == ("text/x-tea", "1")
    assert door.get("/", method="HEAD").header("content-length") == "15"


def test_own_answer_to_a_request_with_a_body(portunus):
    door = portunus({"sites": {"*": says("fine")}})
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 5") + b"hello" + get("/"))
        assert client.read_response().body == b"fine"
        assert client.read_response().body == b"fine"


def test_split_is_about_what_it_says(portunus, upstream):
    blue, green = [upstream(serve_requests(lambda c, r, name=name: c.reply(200, name))) for name in (b"blue", b"green")]
    door = portunus({
        "pools": {"blue": {"upstreams": [blue.address], "health": "off"},
                  "green": {"upstreams": [green.address], "health": "off"}},
        "sites": {"*": {"split": {"blue": 90, "green": 10}, "split_by": "request"}},
    })
    count = collections.Counter()
    with door.connect() as client:
        for _ in range(1000):
            client.send(get("/"))
            count[client.read_response().body] += 1
    assert 50 <= count[b"green"] <= 160, count  # 100 expected, standard deviation 9.5


def test_sites_of_one_listener_do_not_answer_on_another(portunus):
    inner = free_port()
    door = portunus({"sites": {f"http://127.0.0.1:{inner}": says("inner"), "*": {**says("front"), "listeners": ["front"]}}})
    assert body_of(door) == "front"
    with connect(inner) as client:
        client.send(get("/"))
        assert client.read_response().body == b"inner"
