"""`admin.token`: who may change something over the admin interface."""

import json
import os
import signal

import pytest

from support.door import one_pool, run_program
from support.waiting import wait_until

pytestmark = pytest.mark.smoke

FIRST = "first-0123456789abcdef"
SECOND = "second-0123456789abcdef"
RELOAD = "/v1/config/reload"


@pytest.fixture
def token(tmp_path):
    file = tmp_path / "admin.token"
    file.write_text(FIRST + "\n")
    return file


@pytest.fixture
def member(upstream):
    return upstream()


@pytest.fixture
def start(portunus, member, token):
    def start_with(**keys):
        config = one_pool(member)
        door = portunus(config)
        config["admin"] = {"listen": f"127.0.0.1:{door.admin_port}", "token": f"file:{token}", **keys}
        door.write(config)
        wait_until(lambda: status(door) == 401, "the token is asked for")
        return door

    return start_with


def status(door, path=RELOAD, sent=None, method="POST"):
    fields = [f"Authorization: Bearer {sent}"] if sent else []
    return door.admin(path, method, None, "Content-Length: 0", *fields).status


def check_silence(door):
    """Neither token stands in what anybody can read."""
    told = door.log() + door.output()
    for path in ("/", "/v1/status", "/v1/pools", "/v1/services", "/metrics"):
        told += door.admin(path, "GET", None, f"Authorization: Bearer {FIRST}").body.decode()
    told += run_program("plan", "-c", str(door.path)).stdout
    told += run_program("check", "--json", str(door.path)).stdout
    assert "0123456789" not in told


def test_changes_need_the_token(start, member):
    door = start()
    name = f"/v1/pools/web/upstreams/{member.address}"
    for path, method in ((RELOAD, "POST"), (name + "/drain", "POST"), (name + "/weight", "PUT"),
                         ("/v1/services/web/stop", "POST"), ("/v1/pools", "DELETE")):
        refused = door.admin(path, method, None, "Content-Length: 0")
        assert (refused.status, refused.header("www-authenticate")) == (401, "Bearer"), path
        assert status(door, path, SECOND, method) == status(door, path, FIRST[:-1], method) == 401
        assert status(door, path, FIRST, method) != 401, path
    assert door.member(member.address)["admin"] == "drained", "the right token drained it"
    assert status(door, RELOAD, FIRST) == 200
    assert status(door, "/v1/status", method="GET") == 200
    check_silence(door)


def test_a_token_for_all(start):
    door = start(token_for="all")
    for path in ("/", "/metrics", "/v1/status", "/v1/pools", "/nothing"):
        assert status(door, path, None, "GET") == 401
        assert status(door, path, FIRST, "GET") in (200, 404)
    for path in ("/livez", "/readyz", "/healthz"):
        assert status(door, path, None, "GET") == 200
    for command in ("status", "pools", "healthcheck", "reload"):
        result = run_program(command, "-c", str(door.path))
        assert result.returncode == 0, result.stderr
    check_silence(door)


def test_a_changed_file_is_a_changed_token(start, token):
    door = start()
    token.write_text(SECOND)
    wait_until(lambda: status(door, RELOAD, SECOND) == 200, "the new token counts")
    assert status(door, RELOAD, FIRST) == 401
    token.write_text("short-0123456789"[:15])  # refused: the former one stays
    wait_until(lambda: "from 16 to 1024 characters" in door.log(), "the short one is refused")
    assert status(door, RELOAD, SECOND) == 422
    token.unlink()
    assert status(door, RELOAD) == 401
    assert status(door, RELOAD, SECOND) == 422
    token.write_text(FIRST)
    wait_until(lambda: status(door, RELOAD, FIRST) == 200, "back to the first")
    check_silence(door)


def test_a_proxy_that_ends_is_replaced_by_one_with_the_token(start):
    door = start()
    before = door.pid
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: door.proxy_pid() not in (None, before) and door.is_ready(), "another one serves")
    assert status(door) == 401
    assert status(door, RELOAD, FIRST) == 200


def test_commands_take_the_token_from_the_file(start, member, token):
    door = start()
    assert door.reload().returncode == 0
    order = f"web/{member.address}"
    assert run_program("drain", order, "-c", str(door.path)).returncode == 0
    assert run_program("enable", order, "-c", str(door.path)).returncode == 0

    address = f"127.0.0.1:{door.admin_port}"
    result = run_program("reload", "--admin", address)
    assert result.returncode == 1
    assert "answered 401" in result.stderr and "PORTUNUS_ADMIN_TOKEN" in result.stderr
    for sent, expected in ((FIRST, 0), (SECOND, 1), ("", 1)):
        result = run_program("reload", "--admin", address, env={"PORTUNUS_ADMIN_TOKEN": sent})
        assert result.returncode == expected, result.stderr
        assert "0123456789" not in result.stdout + result.stderr
    result = run_program("reload", "-c", str(door.path), env={"PORTUNUS_ADMIN_TOKEN": SECOND})
    assert result.returncode == 1, "the environment goes before the file"
    assert run_program("status", "--admin", address).returncode == 0
    check_silence(door)


def test_check_wants_a_file_that_it_can_read(start, token):
    door = start()
    token.unlink()
    result = run_program("check", "--json", str(door.path))
    assert result.returncode == 1
    assert "admin.token: cannot open the file" in json.dumps(json.loads(result.stdout))
