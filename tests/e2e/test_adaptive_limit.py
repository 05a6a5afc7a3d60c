"""`overload.adaptive`: the bound of a pool's requests follows how long its members take."""

import threading

import pytest

from support.door import one_pool
from support.upstream import serve_requests
from support.waiting import SCALE, wait_until
from support.wire import get

pytestmark = pytest.mark.smoke

WORK_SECONDS = 0.02  # of the members, for each request


class Workshop:
    """Works on so many requests at a time; others wait inside it."""

    def __init__(self, workers):
        self.places = threading.Semaphore(workers)
        self.lock = threading.Lock()
        self.inside = 0
        self.most = 0

    def answer(self, connection, _request):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        with self.places:
            threading.Event().wait(WORK_SECONDS)  # the work itself
        with self.lock:
            self.inside -= 1
        connection.reply()


class Crowd:
    """Clients that each send one request after the other until they are told to go."""

    def __init__(self, door, count):
        self.door = door
        self.is_over = threading.Event()
        self.statuses = []
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def _run(self):
        with self.door.connect(patience=60 * SCALE) as client:
            while not self.is_over.is_set():
                client.send(get("/"))
                self.statuses.append(client.read_response().status)

    def __enter__(self):
        for each in self.threads:
            each.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for each in self.threads:
            each.join(60 * SCALE)
        assert not any(each.is_alive() for each in self.threads)


def shown(door):
    return door.json("/v1/pools")["pools"][0]["concurrency"]


def adaptive(member, **keys):
    return one_pool(member, pool={"overload": {"adaptive": keys, "pending_timeout": "60s"}}, threads=2)


def renew(door, config):
    door.write(config)
    assert door.reload().returncode == 0


def test_a_slow_member_gets_fewer_requests_at_a_time(portunus, upstream):
    shop = Workshop(1)
    door = portunus(adaptive(upstream(serve_requests(shop.answer), record=False), initial=24, min=1, max=24))
    assert shown(door) == {"limit": 24, "in_flight": 0, "throttling": False}
    with Crowd(door, 40) as crowd:
        wait_until(lambda: shown(door)["throttling"], "it is seen that answers wait for each other", 60 * SCALE)
        # Once to see how long answers take alone; then for good.
        wait_until(lambda: shown(door)["latency_alone_s"] < shown(door)["latency_s"] / 1.5, "it was looked for", 60 * SCALE)
        wait_until(lambda: 1 <= shown(door)["limit"] < 20, "fewer are let in", 60 * SCALE)
        wait_until(lambda: door.metric("portunus_pool_queue_length", pool="web") > 10, "the others wait", 60 * SCALE)
        assert door.metric("portunus_pool_concurrency_limit", pool="web") < 24
    assert set(crowd.statuses) == {200}
    assert shop.most <= 24
    wait_until(lambda: "overload: pool web: answers take " in door.log(), "it was told")
    assert door.metric("portunus_pool_concurrency_in_flight", pool="web") == 0


def test_members_that_have_time_get_more(portunus, upstream):
    shop = Workshop(64)
    door = portunus(adaptive(upstream(serve_requests(shop.answer), record=False), initial=1, min=1, tolerance="100%"))
    with Crowd(door, 12) as crowd:
        wait_until(lambda: shop.most >= 4, "four at a time", 100 * SCALE)
    assert set(crowd.statuses) == {200}


def test_a_reload_keeps_what_is_known_and_may_end_it(portunus, upstream):
    shop = Workshop(1)
    member = upstream(serve_requests(shop.answer), record=False)
    door = portunus(adaptive(member, initial=24, min=1))
    with Crowd(door, 40) as crowd:
        wait_until(lambda: shown(door).get("latency_s"), "something is known", 60 * SCALE)
        renew(door, adaptive(member, initial=20, min=1, max=23))
        assert shown(door)["latency_s"] > 0
        assert shown(door)["limit"] <= 23
        renew(door, one_pool(member, threads=2))
        assert "concurrency" not in door.json("/v1/pools")["pools"][0]
        assert door.metrics().sum("portunus_pool_concurrency_limit", pool="web") == 0
        wait_until(lambda: shop.most == 40, "nobody waits any more", 60 * SCALE)
    assert set(crowd.statuses) == {200}
