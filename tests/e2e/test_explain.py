"""`portunus explain`: what it says is what becomes of the request."""

import json

from support.door import run_program
from support.upstream import serve_requests
from support.wire import head


def explain(door, *arguments):
    return run_program("explain", "-c", str(door.path), *arguments, folder=door.folder)


def shop(blue, green):
    return {
        "pools": {"blue": {"upstreams": [blue.address], "health": "off"},
                  "green": {"upstreams": [green.address], "health": "off"}},
        "sites": {"shop.example": {"routes": [
            {"match": {"path": "/gone"}, "respond": {"status": 410}},
            {"match": {"path": "/all/*"}, "split": {"blue": 50, "green": 50}, "split_by": "header:X-User"}]}},
    }


def test_the_member_that_it_names_gets_the_request(portunus, upstream):
    blue, green = [upstream(serve_requests(lambda c, r, name=name: c.reply(200, name))) for name in (b"blue", b"green")]
    door = portunus(shop(blue, green))
    seen = set()
    for number in range(20):
        field = f"X-User: user{number}"
        said = explain(door, f"http://shop.example:{door.port}/all/x", "-H", field, "--json")
        assert said.returncode == 0, said
        answer = json.loads(said.stdout)
        [chosen] = [pool for pool in answer["pools"] if pool["chosen"]]
        assert chosen["next"] == {"blue": blue, "green": green}[chosen["name"]].address
        with door.connect() as client:
            client.send(head("GET /all/x HTTP/1.1", field, host="shop.example"))
            assert client.read_response().body == chosen["name"].encode()
        seen.add(chosen["name"])
    assert seen == {"blue", "green"}


def test_it_is_readable(portunus, upstream):
    blue, green = upstream(), upstream()
    door = portunus(shop(blue, green))
    said = explain(door, f"http://shop.example:{door.port}/all/x")
    assert said.returncode == 0, said
    assert "site      shop.example" in said.stdout
    assert "forwarded as /all/x" in said.stdout
    assert blue.address in said.stdout and green.address in said.stdout
    assert "answer    410, by the route itself" in explain(door, f"http://shop.example:{door.port}/gone").stdout
    assert "answer    404: no route matches" in explain(door, f"http://other.example:{door.port}/gone").stdout


def test_senseless_questions_are_refused(portunus):
    door = portunus({"sites": {"*": {"respond": {"status": 200}}}})
    said = explain(door, "http://shop.example:1/")
    assert said.returncode == 1
    assert "no listener takes http connections at port 1" in said.stderr
    assert explain(door).returncode == 2
