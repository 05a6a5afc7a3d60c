"""A proxy that ends while the files are wrong is replaced by one that runs on the last configuration that was good."""

import os
import re
import shutil
import signal
import time

import pytest

from support.door import BINARY, children_of, one_pool, run_program
from support.ports import free_port
from support.waiting import SCALE, wait_until, wait_until_still
from support.wire import connect, get
from test_supervisor import kill_proxy
from test_upgrade_command import upgrade

smoke = pytest.mark.smoke

RESPOND = {"sites": {"*": {"respond": {"status": 200, "body": "here"}}}}
WRONG = "sites:\n  x.test:\n    poool: web\n"


def break_file(door, text=WRONG):
    refused = door.log().count("nothing has changed")
    door.path.write_text(text)
    wait_until(lambda: door.log().count("nothing has changed") > refused, "the reload is refused")


def on_last_good(door):
    return door.json("/v1/status")["config"]["source"] == "last_good"


@smoke
def test_the_next_request_is_answered(portunus):
    door = portunus(RESPOND)
    assert door.json("/v1/status")["config"]["source"] == "files"
    before = door.json("/v1/status")["config"]
    break_file(door)
    wait_until(lambda: "portunus.yaml:3:5" in door.log(), "the running one has seen the file")
    told = door.log().count("portunus.yaml:3:5")
    os.kill(door.pid, signal.SIGKILL)
    assert door.get().body == b"here"
    wait_until(door.is_ready, "it is ready")
    config = door.json("/v1/status")["config"]
    assert (config["source"], config["hash"], config["last_reload_ok"]) == ("last_good", before["hash"], False)
    assert door.metric("portunus_config_last_reload_successful") == 0
    wait_until(lambda: "started on the last one that was good" in door.log(), "the log, written a moment later")
    # What is wrong with the files is told again when the next one starts.
    wait_until(lambda: door.log().count("portunus.yaml:3:5") > told, "the place of the error")
    wait_until(lambda: door.json("/v1/status")["config"]["last_reload_error"] == "the configuration is not valid",
               "the next one has read the files, too")
    kill_proxy(door)
    assert door.get().body == b"here", "and again"


@smoke
def test_the_file_made_right_is_taken_over(portunus):
    door = portunus(RESPOND)
    right = door.path.read_text()
    break_file(door)
    kill_proxy(door)
    assert on_last_good(door)
    door.path.write_text(right)  # to the letter what runs already
    wait_until(lambda: not on_last_good(door), "it runs on the file")
    assert door.metric("portunus_config_last_reload_successful") == 1
    door.write({"sites": {"*": {"respond": {"status": 200, "body": "new"}}}})
    wait_until(lambda: door.get().body == b"new", "it is watched on")
    break_file(door)
    kill_proxy(door)
    assert door.get().body == b"new", "the last that was good, not the first"


@smoke
def test_includes_secrets_and_variables(portunus, monkeypatch):
    """All that was read counts, as it was then; from the disk comes nothing."""
    monkeypatch.setenv("GREETING", "from the environment")
    door = portunus({**RESPOND, "include": ["conf.d/*.yaml", "one.yaml"]}, wait_ready=False, may_end_badly=True)
    door.stop()
    (door.folder / "conf.d").mkdir()
    (door.folder / "conf.d" / "b.yaml").write_text('sites: { b.test: { respond: { status: 200, body: "b" } } }\n')
    (door.folder / "conf.d" / "a.yaml").write_text('sites: { a.test: { respond: { status: 200, body: "${GREETING}" } } }\n')
    (door.folder / "conf.d" / ".hidden.yaml").write_text("nonsense: 1\n")
    (door.folder / "one.yaml").write_text("# nothing\n")
    door.start()
    for name in ("conf.d/a.yaml", "conf.d/b.yaml", "one.yaml"):
        (door.folder / name).unlink()
    break_file(door, "")
    kill_proxy(door)
    assert door.get(host="a.test").body == b"from the environment"
    assert door.get(host="b.test").body == b"b"
    assert door.get().body == b"here"


@smoke
def test_listeners_that_came_by_a_reload(portunus):
    door = portunus(RESPOND)
    second = free_port()
    door.write({**RESPOND, "listeners": {"front": f"127.0.0.1:{door.port}", "second": f"127.0.0.1:{second}"}})
    assert door.reload().returncode == 0
    break_file(door)
    kill_proxy(door)
    with connect(second) as client:
        client.send(get("/"))
        assert client.read_response().body == b"here"


@smoke
def test_a_file_that_is_valid_and_cannot_be_had(portunus, upstream):
    """Not the words are wrong, but an address is taken: the same holds."""
    taken = upstream()
    door = portunus(RESPOND)
    door.write({**RESPOND, "listeners": {"front": f"127.0.0.1:{door.port}", "second": taken.address}})
    wait_until(lambda: "nothing has changed" in door.log(), "the reload is refused")
    kill_proxy(door)
    assert door.get().body == b"here"
    assert on_last_good(door)
    wait_until(lambda: "in use" in door.json("/v1/status")["config"]["last_reload_error"], "with the reason")


@smoke
def test_the_copy_outlives_an_upgrade(portunus):
    door = portunus(RESPOND)
    assert upgrade(door).returncode == 0
    wait_until(lambda: door.is_ready() and door.log().count("goes on as") == 1, "all is new")
    break_file(door)
    kill_proxy(door)
    assert door.get().body == b"here"
    assert on_last_good(door)


@smoke
def test_no_request_is_lost_over_it(portunus, upstream):
    door = portunus(one_pool(upstream()))
    break_file(door)
    os.kill(door.pid, signal.SIGKILL)
    clients = [connect(door.port, patience=20) for _ in range(20)]
    for client in clients:
        client.send(get("/", "Connection: close"))
    assert [client.read_response().status for client in clients] == [200] * 20


@smoke
def test_a_first_start_with_a_wrong_file_ends(portunus):
    door = portunus(RESPOND, may_end_badly=True)
    break_file(door)
    door.signal(signal.SIGTERM)
    assert door.wait() == 0
    door.start(wait_ready=False)
    assert door.wait() == 1


@smoke
def test_nothing_is_left_over(portunus):
    door = portunus(RESPOND)
    break_file(door)
    kill_proxy(door)
    files = door.supervisor_files()
    of_proxy = wait_until_still(door.open_files, "the proxy's descriptors", still=1.5)
    for _ in range(2):
        kill_proxy(door)
    wait_until(lambda: door.supervisor_files() <= files, "the supervisor holds no more than before")
    wait_until(lambda: door.open_files() <= of_proxy, "the proxy holds no more than before")


# ---- a configuration that ends the proxy

POISON = {"sites": {"*": {"respond": {"status": 200, "body": "poison"}}}}


@pytest.fixture
def vulnerable(portunus, tmp_path):
    """Its next proxies are ended by a signal as soon as they have answered `poison`; with `at_start`, before they are ready on such a file."""
    program = tmp_path / "portunus"
    shutil.copy(BINARY, program)
    door = portunus(RESPOND, binary=str(program))
    former = door.pid
    # A crash brings another program in only when the proxy is one already, and the supervisor is not: one that has vanished in an upgrade.
    put_program(program, f'[ "$1" = proxy ] && rm {program}')
    result = run_program("upgrade", "-c", str(door.path), folder=door.folder, seconds=60 * SCALE)
    assert "the new proxy serves, but the supervisor stays what it is" in result.stderr
    wait_until(lambda: former not in children_of(door.supervisor_pid), "the former proxy has gone")
    kill = f"(until /usr/bin/curl -s --max-time 1 http://127.0.0.1:{door.port}/ | grep -q poison; do sleep 0.02; done; kill -KILL $$) &"
    at_start = f'[ -e {tmp_path}/at_start ] && grep -q poison {door.path} && case "$*" in *--files*) ;; *) kill -KILL $$ ;; esac'
    put_program(program, f'if [ "$1" = proxy ]; then\n{at_start}\n{kill}\nfi')
    return door


def put_program(path, before):
    path.unlink(missing_ok=True)
    path.write_text(f'#!/bin/sh\n{before}\nexec {BINARY} "$@"\n')
    path.chmod(0o755)


def crashes(door):
    return len(re.findall("the proxy was ended by SIGKILL", door.log()))


@pytest.mark.parametrize("when", ["once it serves", "at its start"])
def test_a_file_that_ends_the_proxy_again_and_again_is_let_be(vulnerable, tmp_path, when):
    door = vulnerable
    started = time.monotonic()
    before = door.pid
    time.sleep(max(0, 10.5 - (time.monotonic() - started)))  # it has proved itself: that takes 10 s
    if when == "at its start":
        (tmp_path / "at_start").touch()
        os.kill(before, signal.SIGSTOP)  # this one does not see the file any more
        door.write(POISON)
    else:
        door.write(POISON)
        wait_until(lambda: door.get().body == b"poison", "it is taken over")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: "stays there until the files change" in door.log(), "it settles", 60 * SCALE)
    wait_until(lambda: door.is_ready() and on_last_good(door), "on the copy")
    assert door.get().body == b"here"
    assert crashes(door) == 5
    config = door.json("/v1/status")["config"]
    assert not config["last_reload_ok"]
    assert "waits for a change or a reload" in config["last_reload_error"]
    kill_proxy(door)
    assert door.get().body == b"here", "it stays there"
    assert on_last_good(door)
    door.write({"sites": {"*": {"respond": {"status": 200, "body": "cured"}}}})
    wait_until(lambda: not on_last_good(door), "what has changed is taken over")
    assert door.get().body == b"cured"
    wait_until(lambda: crashes(door) == 6, "the log tells the last one, too")
