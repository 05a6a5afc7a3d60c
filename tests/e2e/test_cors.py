"""Which pages of other sites may read the answers: Portunus says it, whatever members say."""

import pytest

from support.door import one_pool, run_program
from support.upstream import serve_requests
from support.wire import answer

smoke = pytest.mark.smoke
APP = "https://app.example.org"
LOOSE = ("Access-Control-Allow-Origin: *", "Access-Control-Allow-Credentials: true", "Access-Control-Allow-Methods: *")


def door_for(portunus, upstream, cors, **more):
    """A member that allows everything to everybody, and what Portunus makes of it."""
    member = upstream(serve_requests(lambda connection, _request: connection.send(answer(200, b"ok", *LOOSE))))
    return portunus(one_pool([member], site={"cors": cors, **more})), member


def ask_first(door, path="/", method="PUT", page=APP):
    return door.get(path, f"Origin: {page}", f"Access-Control-Request-Method: {method}", "Access-Control-Request-Headers: x-tenant",
                    method="OPTIONS")


def said(got):
    return {name: value for name, value in got.fields.pairs if name.startswith("access-control-")}


@smoke
def test_a_browsers_question_is_answered_without_a_member(portunus, upstream):
    door, member = door_for(portunus, upstream, {"origins": [APP], "credentials": True, "methods": ["GET", "PUT"], "headers": ["X-Tenant"],
                                                 "expose": ["ETag"], "max_age": "1h"})
    got = ask_first(door)
    assert got.status == 204
    assert said(got) == {
        "access-control-allow-origin": APP,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET, PUT",
        "access-control-allow-headers": "X-Tenant",
        "access-control-max-age": "3600",
        "access-control-expose-headers": "ETag",
    }
    assert got.header("vary") == "Origin"
    assert member.requests == []


@smoke
def test_the_members_own_fields_are_replaced(portunus, upstream):
    door, _ = door_for(portunus, upstream, {"origins": [APP], "credentials": True})
    allowed = door.get("/", f"Origin: {APP}")
    assert said(allowed) == {"access-control-allow-origin": APP, "access-control-allow-credentials": "true"}
    assert len(allowed.fields.all("access-control-allow-origin")) == 1
    for fields in ([], ["Origin: https://evil.example"], ["Origin: null"], [f"Origin: {APP}.evil.example"]):
        other = door.get("/", *fields)
        assert (other.status, said(other), other.header("vary")) == (200, {}, "Origin"), fields


def test_who_is_not_allowed_hears_nothing(portunus, upstream):
    door, member = door_for(portunus, upstream, {"origins": [APP]})
    got = ask_first(door, page="https://evil.example")
    assert (got.status, said(got), got.header("vary")) == (204, {}, "Origin")
    assert member.requests == []


def test_one_label_below_a_name(portunus, upstream):
    door, _ = door_for(portunus, upstream, "https://*.example.org")
    assert said(door.get("/", f"Origin: {APP}"))["access-control-allow-origin"] == APP
    assert said(door.get("/", "Origin: https://a.b.example.org")) == {}
    assert said(door.get("/", "Origin: https://example.org")) == {}


def test_everybody_is_a_star_that_caches_may_keep(portunus, upstream):
    door, _ = door_for(portunus, upstream, "*")
    got = door.get("/", f"Origin: {APP}")
    assert said(got) == {"access-control-allow-origin": "*"}
    assert "vary" not in got.fields


def test_the_question_is_about_the_route_of_the_request(portunus, upstream):
    routes = [{"match": {"path": "/api/*", "method": ["PUT"]}, "cors": {"origins": [APP], "methods": ["PUT"]}, "pool": "web"},
              {"match": {"path": "/api/*", "method": ["DELETE"]}, "cors": "off", "pool": "web"},
              {"match": {"path": "/open"}, "cors": "off", "pool": "web"}]
    door, member = door_for(portunus, upstream, "https://other.example.org", routes=routes)
    assert said(ask_first(door, "/api/x"))["access-control-allow-methods"] == "PUT"
    assert said(ask_first(door, "/api/x", method="GET")) == {}, "that one is the site's"
    assert member.requests == []
    assert ask_first(door, "/open").header("access-control-allow-origin") == "*", "the member's own answer"
    assert member.requests[0].method == "OPTIONS"
    # Another route would take the question itself, and says something else.
    assert ask_first(door, "/api/x", method="DELETE").header("access-control-allow-origin") == "*"
    assert len(member.requests) == 2


def test_other_options_are_the_members(portunus, upstream):
    door, member = door_for(portunus, upstream, {"origins": [APP]})
    assert door.get("/", f"Origin: {APP}", method="OPTIONS").status == 200
    assert [request.method for request in member.requests] == ["OPTIONS"]


def test_pages_can_read_our_errors(portunus, upstream):
    def hang_up(connection):
        connection.read_request()

    door = portunus(one_pool([upstream(hang_up)], pool={"retry": {"attempts": 1}}, site={"cors": APP}))
    got = door.get("/", f"Origin: {APP}")
    assert (got.status, said(got)["access-control-allow-origin"]) == (502, APP)


def test_a_page_that_is_let_in_by_address_only_is_asked_first(portunus, upstream):
    door, member = door_for(portunus, upstream, {"origins": [APP]}, deny=["127.0.0.0/8"])
    assert ask_first(door).status == 403
    assert member.requests == []


def test_a_change_of_our_own_does_not_double_it(portunus, upstream):
    door, _ = door_for(portunus, upstream, {"origins": [APP]}, response_headers={"add": {"Access-Control-Allow-Origin": "*"}})
    assert door.get("/", f"Origin: {APP}").fields.all("access-control-allow-origin") == [APP]


def test_a_star_with_credentials_is_a_mistake(tmp_path):
    file = tmp_path / "portunus.yaml"
    file.write_text('sites: { "http://:8080": { respond: {}, cors: { origins: ["*"], credentials: true } } }\n')
    result = run_program("check", file)
    assert result.returncode == 1
    assert "`*` does not go with `credentials`" in result.stdout + result.stderr
