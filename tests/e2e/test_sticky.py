"""Sticky sessions: a signed cookie that keeps a client with its member."""

import collections
import os
import signal
import stat

import pytest

from support.door import one_pool, run_program
from support.upstream import serve_requests
from support.waiting import wait_until
from test_access_log import entries, with_log

pytestmark = pytest.mark.smoke


def numbered(upstream, count=3):
    """Members that answer with their number."""
    return [upstream(serve_requests(lambda c, r, i=i: c.reply(200, str(i).encode()))) for i in range(count)]


def sticky_pool(members, sticky=None, **root):
    # In turn: new clients come to all members.
    return one_pool(members, pool={"balance": "round_robin", "sticky": sticky or True}, **root)


class Browser:
    """Keeps the one cookie that it is given."""

    def __init__(self, door, name="portunus"):
        self.door = door
        self.name = name
        self.cookie = None
        self.set_cookies = []

    def ask(self, path="/", *fields):
        if self.cookie is not None:
            fields = (*fields, f"Cookie: theme=dark; {self.name}={self.cookie}")
        response = self.door.get(path, *fields)
        for field in response.fields.all("set-cookie"):
            self.set_cookies.append(field)
            self.cookie = field.split(";")[0].removeprefix(f"{self.name}=")
        return response

    def home(self):
        response = self.ask()
        assert response.status == 200, response
        return response.body


def test_a_client_stays_with_its_member(portunus, upstream):
    members = numbered(upstream)
    door = portunus(sticky_pool(members))
    homes = collections.Counter()
    for _ in range(24):
        browser = Browser(door)
        home = browser.home()
        homes[home] += 1
        assert [browser.home() for _ in range(4)] == [home] * 4
        assert len(browser.set_cookies) == 1, "once is enough"
        assert browser.set_cookies[0].split("; ")[1:] == ["Path=/", "Max-Age=3600", "HttpOnly", "SameSite=Lax"]
    assert len(homes) == 3, "new clients are balanced"
    seen = [request.fields.all("cookie") for member in members for request in member.requests]
    assert [] in seen and ["theme=dark"] in seen
    assert all(cookies in ([], ["theme=dark"]) for cookies in seen), "members do not see it"
    assert door.metric("portunus_sticky_requests_total", pool="web", result="hit") == 24 * 4
    assert door.metric("portunus_sticky_requests_total", pool="web", result="miss") == 24


def test_what_is_no_cookie_of_ours_is_ignored(portunus, upstream):
    door = portunus(sticky_pool(numbered(upstream)))
    browser = Browser(door)
    home = browser.home()
    good = browser.cookie
    forged = good[:-1] + ("A" if good[-1] != "A" else "B")
    for cookie in (forged, good + "A", "", "x", "A" * 36, "A" * 5000, good[:20] + "%00" + good[23:]):
        browser.cookie = cookie
        assert browser.ask().status == 200
        assert browser.cookie != cookie, "and another one is given"
    browser.cookie = good
    assert browser.home() == home
    assert door.metric("portunus_sticky_requests_total", pool="web", result="miss") == 8


def test_another_member_takes_over_and_keeps_the_client(portunus, upstream):
    members = numbered(upstream)
    door = portunus(with_log(sticky_pool(members)))
    browser = Browser(door)
    home = browser.home()
    member = members[int(home)].address
    drained = run_program("drain", f"web/{member}", "--wait", "10s", "-c", str(door.path), folder=door.folder)
    assert drained.returncode == 0, drained.stderr
    other = browser.home()
    assert other != home
    assert len(browser.set_cookies) == 2
    enabled = run_program("enable", f"web/{member}", "-c", str(door.path), folder=door.folder)
    assert enabled.returncode == 0, enabled.stderr
    assert [browser.home() for _ in range(3)] == [other] * 3, "it does not go back"
    # Lines of two threads may change places.
    words = collections.Counter(entry["sticky"] for entry in entries(door, 5))
    assert words == {"miss": 1, "lost": 1, "hit": 3}


def test_a_member_that_has_died_loses_its_clients(portunus, upstream):
    members = numbered(upstream)
    door = portunus(sticky_pool(members))
    browser = Browser(door)
    home = browser.home()
    members[int(home)].close()
    other = browser.home()
    assert other != home
    assert [browser.home() for _ in range(3)] == [other] * 3


def test_it_outlives_reload_and_restart(portunus, upstream):
    members = numbered(upstream)
    door = portunus(sticky_pool(members))
    browsers = [Browser(door) for _ in range(6)]
    homes = [browser.home() for browser in browsers]
    key = door.folder / "state" / "sticky" / "key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    # Another order and another list: who is named is a member and not a place.
    door.write(sticky_pool(list(reversed(members)), threads=1))
    assert door.reload().returncode == 0
    assert [browser.home() for browser in browsers] == homes
    before = door.pid
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: door.proxy_pid() not in (None, before) and door.is_ready(), "another proxy is ready")
    assert [browser.home() for browser in browsers] == homes
    door.stop()
    door.start()
    assert [browser.home() for browser in browsers] == homes
    assert all(len(browser.set_cookies) == 1 for browser in browsers)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
def test_it_outlives_a_proxy_that_is_another_user(portunus, upstream):
    members = numbered(upstream)
    door = portunus({**sticky_pool(members), "user": "nobody"}, world_readable=True)
    browsers = [Browser(door) for _ in range(6)]
    homes = [browser.home() for browser in browsers]
    key = door.folder / "state" / "sticky" / "key"
    assert (key.owner(), stat.S_IMODE(key.stat().st_mode)) == ("nobody", 0o600)
    door.stop()
    door.start()
    assert [browser.home() for browser in browsers] == homes


def test_machines_with_the_same_secret_agree(portunus, upstream, tmp_path):
    members = numbered(upstream)
    secret = tmp_path / "shared.key"
    secret.write_text("0123456789abcdef" * 4 + "\n")
    sticky = {"secret": f"file:{secret}", "cookie": "home"}
    one, two = (portunus(sticky_pool(members, sticky)) for _ in range(2))
    assert not (one.folder / "state" / "sticky" / "key").exists(), "nothing is made that nobody needs"
    for _ in range(6):
        browser = Browser(one, "home")
        home = browser.home()
        browser.door = two
        assert [browser.home() for _ in range(3)] == [home] * 3


def test_a_new_secret_is_another_key(portunus, upstream, tmp_path):
    secret = tmp_path / "shared.key"
    secret.write_text("a" * 32)
    door = portunus(sticky_pool(numbered(upstream), {"secret": f"file:{secret}"}))
    browser = Browser(door)
    browser.home()
    first = browser.cookie
    secret.write_text("b" * 32)
    assert door.reload().returncode == 0
    browser.home()
    assert browser.cookie != first
    assert "aaaa" not in door.log() and "bbbb" not in door.log()


def test_behind_a_trusted_proxy_the_cookie_is_as_secure_as_the_client(portunus, upstream):
    door = portunus(sticky_pool(numbered(upstream), {"same_site": "none"}, trusted_proxies=["127.0.0.1"]))
    plain, tls = Browser(door), Browser(door)
    plain.ask()
    tls.ask("/", "X-Forwarded-Proto: https")
    assert plain.set_cookies[0].split("; ")[1:] == ["Path=/", "Max-Age=3600", "HttpOnly"]
    assert tls.set_cookies[0].split("; ")[1:] == ["Path=/", "Max-Age=3600", "HttpOnly", "Secure", "SameSite=None"]


def test_a_split_keeps_its_clients(portunus, upstream):
    """Each client stays in the pool that it has been in, until that has no share any more."""
    members = numbered(upstream, 2)
    pools = {
        name: {"upstreams": [member.address], "health": "off", "sticky": True}
        for name, member in zip(("blue", "green"), members)
    }

    def split(blue, green):
        return {"sites": {"*": {"split": {"blue": blue, "green": green}, "split_by": "request"}}, "pools": pools}

    door = portunus(split(50, 50))
    browsers = [Browser(door) for _ in range(24)]
    homes = [browser.home() for browser in browsers]
    assert set(homes) == {b"0", b"1"}
    for _ in range(3):
        assert [browser.home() for browser in browsers] == homes
    door.write(split(0, 100))
    assert door.reload().returncode == 0
    assert [browser.home() for browser in browsers] == [b"1"] * 24
