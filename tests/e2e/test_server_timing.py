"""`server_timing`: answers say where their time went."""

import re

from support.door import one_pool
from support.upstream import serve_requests
from support.waiting import wait_until
from support.wire import get

MS = r"dur=\d+\.\d{3}"


def timed(member, **changes):
    config = one_pool(member, **changes)
    next(iter(config["sites"].values()))["server_timing"] = True
    return config


def timing(response):
    return response.header("server-timing")


def test_an_answer_tells_where_its_time_went(portunus, upstream):
    door = portunus(timed(upstream(), threads=1))
    with door.connect() as client:
        client.send(get("/"))
        first = timing(client.read_response())
        client.send(get("/"))
        second = timing(client.read_response())
    assert re.fullmatch(rf"connect;{MS}, member;{MS}, total;{MS}", first), first
    assert re.fullmatch(rf"member;{MS}, total;{MS}", second), second
    member, total = (float(number) for number in re.findall(r"dur=([\d.]+)", second))
    assert 0 < member <= total


def test_what_portunus_answers_itself_has_a_total(portunus, upstream):
    config = timed(upstream())
    site = next(iter(config["sites"].values()))
    site["routes"] = [
        {"match": {"path": "/own"}, "respond": {"status": 200, "body": "own"}},
        {"match": {"path": "/silent"}, "respond": {"status": 200, "body": "silent"}, "server_timing": False},
    ]
    door = portunus(config)
    assert re.fullmatch(rf"total;{MS}", timing(door.get("/own")))
    assert door.get("/silent").header("server-timing") is None


def test_tries_are_told(portunus, upstream):
    failing = serve_requests(lambda connection, _: connection.reply(503, b"no"))
    retry = {"attempts": 2, "every": "1h"}
    door = portunus(timed([upstream(failing), upstream(failing)], pool={"retry": retry}))
    text = timing(door.get())
    assert re.search(r', tries;desc="2", total', text), text


def test_it_stands_behind_the_members_own_and_is_off_otherwise(portunus, upstream):
    member = upstream(serve_requests(lambda connection, _: connection.reply(200, b"here", "Server-Timing: db;dur=53")))
    door = portunus(timed(member))
    values = door.get().fields.all("server-timing")
    assert values[0] == "db;dur=53" and re.search(r"^(connect.*)?member.*total", values[1]), values
    door.write(one_pool(member))
    assert door.reload().returncode == 0
    wait_until(lambda: door.get().fields.all("server-timing") == ["db;dur=53"], "the member's only")
