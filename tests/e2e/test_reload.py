"""Reloading: by signal, by command, by watching the file; a bad file changes nothing, traffic does not notice."""

import concurrent.futures
import shutil
import signal
import threading

import pytest

from support.door import one_pool
from support.ports import free_port
from support.upstream import serve_requests
from support.waiting import SANITIZER, wait_until
from support.websocket import CLOSE, echo, frame, open_websocket, read_frame
from support.wire import connect, get

smoke = pytest.mark.smoke


def saying(text):
    return {"sites": {"*": {"respond": {"status": 200, "body": text}}}}


def wait_for_answer(door, text):
    wait_until(lambda: door.get().body == text.encode(), f"the answer is {text}")


@smoke
def test_hup_reloads(portunus):
    door = portunus(saying("old"))
    assert door.get().body == b"old"
    door.write(saying("new"))
    door.signal(signal.SIGHUP)
    wait_for_answer(door, "new")


@smoke
def test_reload_command_waits_for_the_outcome(portunus):
    door = portunus(saying("old"))
    door.write(saying("new"))
    result = door.reload()
    assert result.returncode == 0, result
    assert door.get().body == b"new"


@smoke
def test_rename_of_the_file_is_noticed(portunus):
    door = portunus(saying("old"))
    door.write(saying("new"))
    wait_for_answer(door, "new")
    door.write(saying("newer"))
    wait_for_answer(door, "newer")


def test_writing_in_place_is_noticed(portunus):
    door = portunus(saying("old"))
    door.path.write_text(door.path.read_text().replace("old", "new"))
    wait_for_answer(door, "new")


def test_switch_of_a_link_is_noticed(portunus, tmp_path):
    """As Kubernetes mounts a ConfigMap: file -> ..data/file, ..data -> a folder, swapped by rename."""
    door = portunus(saying("old"))
    text = door.path.read_text()
    for name in ("one", "two"):
        (door.folder / name).mkdir()
        (door.folder / name / "portunus.yaml").write_text(text.replace("old", name))
    (door.folder / "..data").symlink_to("one")
    (door.folder / "link").symlink_to("..data/portunus.yaml")
    (door.folder / "link").rename(door.path)
    wait_for_answer(door, "one")
    (door.folder / "..fresh").symlink_to("two")
    (door.folder / "..fresh").rename(door.folder / "..data")
    wait_for_answer(door, "two")


def test_target_of_a_link_written_in_place_is_noticed(portunus, tmp_path):
    door = portunus(saying("old"))
    target = tmp_path / "elsewhere.yaml"
    target.write_text(door.path.read_text())
    door.path.unlink()
    door.path.symlink_to(target)
    target.write_text(target.read_text().replace("old", "new"))
    wait_for_answer(door, "new")
    target.write_text(target.read_text().replace("new", "newer"))
    wait_for_answer(door, "newer")


def test_folder_that_is_made_anew_is_noticed(portunus):
    door = portunus(saying("old"))
    text = door.path.read_text()
    aside = door.folder.with_name("aside")
    for answer in ("new", "newer"):
        door.folder.rename(aside)
        door.folder.mkdir()
        door.path.write_text(text.replace("old", answer))
        wait_for_answer(door, answer)
        shutil.rmtree(aside)


def test_file_that_goes_and_comes_back_is_noticed(portunus):
    door = portunus(saying("old"))
    door.path.unlink()
    assert door.get().body == b"old"
    door.write(saying("new"))
    wait_for_answer(door, "new")


@smoke
def test_bad_file_changes_nothing(portunus):
    door = portunus(saying("old"))
    generation = door.generation()
    door.write(door.path.read_text() + "nonsense: true\n")
    line = door.path.read_text().count("\n")
    result = door.reload()
    assert result.returncode == 1, result
    text = result.stdout + result.stderr
    assert f"portunus.yaml:{line}:" in text, text
    assert "nonsense" in text
    assert door.get().body == b"old"
    assert door.generation() == generation
    wait_until(lambda: door.metric("portunus_config_last_reload_successful") == 0, "the failure shows")
    wait_until(lambda: "nonsense" in door.log(), "the log tells the reason")
    door.write(saying("new"))
    assert door.reload().returncode == 0
    assert door.metric("portunus_config_last_reload_successful") == 1
    assert door.get().body == b"new"


@smoke
@pytest.mark.parametrize("text", ["", "sites: [", "\0\0", "sites:\n  - x: {y\n", "\xff" * 20, "x: &a [*a]\n"],
                         ids=["empty", "open", "null", "list", "latin", "loop"])
def test_broken_files_change_nothing(portunus, text):
    door = portunus(saying("old"))
    door.path.write_bytes(text.encode("latin-1"))
    assert door.reload().returncode == 1
    assert door.get().body == b"old"


def test_missing_file_and_folder_change_nothing(portunus):
    door = portunus(saying("old"))
    door.path.unlink()
    assert door.reload().returncode == 1
    door.path.mkdir()
    assert door.reload().returncode == 1
    assert door.get().body == b"old"


def test_taken_port_changes_nothing(portunus, upstream):
    door = portunus(saying("old"))
    taken = upstream()
    config = saying("new")
    config["listeners"] = {"front": f"127.0.0.1:{door.port}", "second": taken.address}
    door.write(config)
    result = door.reload()
    assert result.returncode == 1
    assert str(taken.port) in result.stdout + result.stderr
    assert door.get().body == b"old"


@smoke
def test_listeners_come_and_go(portunus):
    door = portunus(saying("text"))
    second = free_port()
    both = {"front": f"127.0.0.1:{door.port}", "second": f"127.0.0.1:{second}"}
    door.write({**saying("text"), "listeners": both})
    assert door.reload().returncode == 0
    with connect(second) as client:
        client.send(get("/"))
        assert client.read_response().status == 200
        door.write(saying("text"))
        assert door.reload().returncode == 0
        with pytest.raises(ConnectionRefusedError):
            connect(second)
    assert door.get().status == 200


@smoke
def test_reload_without_a_change_is_harmless(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member, threads=1))
    with door.connect() as client:
        for _ in range(10):
            client.send(get("/"))
            assert client.read_response().status == 200
            assert door.reload().returncode == 0
    assert len(member.connections) == 1
    wait_until(lambda: door.metric("portunus_config_generations_alive") == 1, "old generations are gone")


@smoke
def test_secret_of_a_file_is_used_and_watched(portunus, upstream, tmp_path):
    token = tmp_path / "token"
    token.write_text("Bearer first\n")
    member = upstream()
    site = {"request_headers": {"set": {"Authorization": f"file:{token}"}}}
    door = portunus(one_pool(member, site=site))

    def sent():
        assert door.get().status == 200
        return member.requests[-1].header("authorization")

    assert sent() == "Bearer first"
    token.write_text("Bearer second\n")
    wait_until(lambda: sent() == "Bearer second", "the new value is used")
    token.unlink()
    assert door.reload().returncode == 1
    assert sent() == "Bearer second"
    assert "Bearer" not in door.log_path.read_text()


@smoke
def test_unchanged_pool_keeps_connections_and_counters(portunus, upstream):
    member, other = upstream(), upstream()
    config = one_pool(member, threads=1)
    door = portunus(config)
    for _ in range(5):
        assert door.get().status == 200
    config["pools"]["more"] = {"upstreams": [other.address], "health": "off"}
    config["sites"]["more.test"] = {"pool": "more"}
    door.write(config)
    assert door.reload().returncode == 0
    for _ in range(5):
        assert door.get().status == 200
        assert door.get(host="more.test").status == 200
    assert len(member.connections) == 1
    assert door.metric("portunus_upstream_requests_total", pool="web") == 10
    assert door.metric("portunus_upstream_requests_total", pool="more") == 5


@smoke
def test_health_survives_a_reload(portunus, upstream):
    member = upstream()
    config = one_pool(member, pool={"health": {"tcp": True, "interval": "1h"}})
    door = portunus(config)
    door.wait_for_state(member.address, "up")
    config["limits"] = {"header_count": 90}
    door.write(config)
    assert door.reload().returncode == 0
    assert door.member(member.address)["state"] == "up"
    assert door.get().status == 200


@smoke
def test_members_come_and_go(portunus, upstream):
    members = [upstream() for _ in range(2)]
    door = portunus(one_pool(members[:1]))
    assert door.get().status == 200
    door.write(one_pool(members[1:]))
    assert door.reload().returncode == 0
    assert door.get().status == 200
    assert [len(member.requests) for member in members] == [1, 1]
    members[0].wait_for(lambda u: u.open_connections == 0, "connections to a member that left are closed")


@smoke
def test_running_request_finishes_on_its_generation(portunus, upstream):
    release = threading.Event()

    def slow(connection, _request):
        release.wait(20)
        connection.reply(200, b"from the old pool")

    door = portunus(one_pool(upstream(serve_requests(slow))))
    with door.connect() as client:
        client.send(get("/"))
        wait_until(lambda: door.metric("portunus_http_requests_in_flight") == 1, "one request runs")
        door.write(saying("new"))
        assert door.reload().returncode == 0
        assert door.get().body == b"new"
        # The file is watched, too: one more may have come and be about to go.
        wait_until(lambda: door.metric("portunus_config_generations_alive") == 2, "the old one and the new one are there")
        release.set()
        assert client.read_response().body == b"from the old pool"
        client.send(get("/"))
        assert client.read_response().body == b"new"
    wait_until(lambda: door.metric("portunus_config_generations_alive") == 1, "the old generation is freed")


@smoke
def test_websocket_survives_a_reload(portunus, upstream):
    door = portunus(one_pool(upstream(echo)))
    with door.connect() as client:
        open_websocket(client)
        door.write(saying("new"))
        assert door.reload().returncode == 0
        assert door.get().body == b"new"
        client.send(frame(b"still there", masked=True))
        assert read_frame(client) == (1, b"still there")
        client.send(frame(b"", CLOSE, masked=True))
        read_frame(client)
        client.expect_end()
    wait_until(lambda: door.metric("portunus_config_generations_alive") == 1, "the old generation is freed")


def test_hup_storm(portunus):
    door = portunus(saying("0"))
    for number in range(1, 60):
        door.write(saying(str(number)))
        door.signal(signal.SIGHUP)
    wait_for_answer(door, "59")
    wait_until(lambda: door.metric("portunus_config_generations_alive") == 1, "old generations are gone")


def test_concurrent_reload_commands(portunus):
    door = portunus(saying("old"))
    door.write(saying("new"))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: door.reload(), range(8)))
    assert [result.returncode for result in results] == [0] * 8
    assert door.get().body == b"new"


def test_settings_of_clients_change_with_a_reload(portunus):
    door = portunus(saying("x"))
    with door.connect() as client:
        client.send(get("/" + "u" * 1000))
        assert client.read_response().status == 200
        door.write({**saying("x"), "limits": {"uri_bytes": "512B"}})
        assert door.reload().returncode == 0
        client.send(get("/" + "u" * 1000))
        assert client.read_response().status == 414


@smoke
@pytest.mark.slow
def test_hundred_reloads_under_load(portunus, keeper, upstream):
    """They add and remove a route and a member; nothing fails, nothing is left behind."""
    servers = [keeper.nginx() for _ in range(3)]
    kept = upstream()

    def config(number):
        members = [server.address for server in servers[: 2 + number % 2]]
        routes = [{"match": {"path": "/kept"}, "pool": "kept"}]
        if number % 2:
            routes.insert(0, {"match": {"path": f"/extra-{number}"}, "respond": {"status": 200, "body": "extra"}})
        return {
            "pools": {"web": {"upstreams": members, "health": {"tcp": True, "interval": "1s"}},
                      "kept": {"upstreams": [kept.address], "health": "off"}},
            "sites": {"*": {"routes": [*routes, {"pool": "web"}]}},
        }

    rounds = 100 if not SANITIZER else 15
    door = portunus(config(0))
    wait_until(lambda: door.get("/hello").status == 200, "a member is up")
    assert door.get("/kept").status == 200
    load = keeper.load(door, seconds=50, connections=16)
    wait_until(lambda: door.metric("portunus_http_requests_total") > 200, "the load runs")
    before = 0
    for number in range(1, rounds + 1):
        door.write(config(number))
        result = door.reload()
        assert result.returncode == 0, result
        if number == rounds // 4:
            before = door.resident_bytes()
        if number % 10 == 1:
            assert door.get(f"/extra-{number}").body == b"extra"
    after = door.resident_bytes()
    requests, failures = load.finish()
    assert failures == "", failures
    assert requests > 100
    assert door.get("/kept").status == 200
    wait_until(lambda: door.metric("portunus_config_generations_alive") == 1, "old generations are freed")
    assert door.metric("portunus_config_reloads_total", result="success") >= rounds
    assert len(kept.connections) <= 2, "an unchanged pool lost its connections"  # one for each thread
    if not SANITIZER:
        assert after - before < 8 << 20, f"{(after - before) >> 20} MiB more after the reloads"
