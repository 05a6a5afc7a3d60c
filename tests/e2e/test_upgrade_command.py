"""`portunus upgrade`: asks the supervisor for what SIGUSR2 does, waits for the outcome and tells it."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from support.door import BINARY, arguments_of, children_of, run_program
from support.hard_workers import is_alive
from support.waiting import PATIENCE, SCALE, wait_until

pytestmark = pytest.mark.smoke

RESPOND = {"sites": {"*": {"respond": {"status": 200, "body": "here"}}}}


def command(door, *arguments):
    return [BINARY, "upgrade", "-c", str(door.path), *arguments]


def upgrade(door, *arguments):
    return run_program(*command(door, *arguments)[1:], folder=door.folder, seconds=60 * SCALE)


@pytest.fixture
def replaceable(portunus, tmp_path):
    """A door whose program can be replaced on disk."""
    program = tmp_path / "portunus"
    shutil.copy(BINARY, program)
    return portunus(RESPOND, binary=str(program)), program


def replace(program, text):
    program.unlink()
    program.write_text(text)
    program.chmod(0o755)


def files_at_rest(door):
    """How many the supervisor has open when the former proxies have gone."""
    wait_until(lambda: children_of(door.supervisor_pid) == [door.pid], "the former ones have gone")
    return door.supervisor_files()


def test_upgrade_waits_until_all_is_new(portunus):
    door = portunus(RESPOND)
    before = door.pid
    result = upgrade(door)
    assert (result.returncode, result.stderr) == (0, ""), result
    lines = result.stdout.splitlines()
    assert lines[-1] == "upgrade: done"
    assert re.fullmatch(r"upgrade: the supervisor goes on as \S+", lines[-2])
    serves = re.search(rf"process (\d+) serves, {before} drains", result.stdout)[1]
    wait_until(lambda: children_of(door.supervisor_pid) == [int(serves)], "the former proxy has gone")
    wait_until(lambda: door.log().count("goes on as") == 1, "the log, which is written a moment later")
    assert door.get().body == b"here"
    assert upgrade(door).returncode == 0, "and again"
    before = files_at_rest(door)
    assert upgrade(door).returncode == 0
    wait_until(lambda: files_at_rest(door) <= before, "the connection is closed")


def test_a_program_that_does_not_run_is_refused(replaceable):
    door, program = replaceable
    before = door.pid
    for text, reason in (("#!/bin/sh\nexit 7\n", "status 7"), ("#!/bin/sh\nkill -9 $$\n", "signal 9"),
                         ("no program", "does not run"), ("#!/bin/sh\necho nonsense >&3\n", "does not run")):
        replace(program, text)
        result = upgrade(door)
        assert result.returncode == 1, result
        assert "given up, nothing has changed" in result.stderr
        assert reason in result.stderr
        assert result.stdout == ""
    assert door.pid == before
    assert door.get().status == 200
    program.unlink()
    shutil.copy(BINARY, program)
    assert upgrade(door).returncode == 0
    wait_until(lambda: before not in children_of(door.supervisor_pid), "the former proxy has gone")


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_crash_does_not_bring_another_program_in(replaceable, is_gone):
    door, program = replaceable
    if is_gone:
        program.unlink()
    else:
        replace(program, "#!/bin/sh\nexit 7\n")
    before = door.pid
    os.kill(before, signal.SIGKILL)
    assert door.get().body == b"here"
    assert door.pid != before
    wait_until(lambda: "is not the program that runs" in door.log(), "the log, written a moment later")
    if not is_gone:
        program.unlink()
    shutil.copy(BINARY, program)
    assert upgrade(door).returncode == 0
    lines = door.log().count("is not the program that runs")
    os.kill(door.pid, signal.SIGKILL)
    assert door.get().body == b"here"
    assert door.log().count("is not the program that runs") == lines, "it is the same now"


def test_a_proxy_that_ends_at_once_is_refused(replaceable):
    """The new program can read the configuration, and no more."""
    door, program = replaceable
    before = door.pid
    replace(program, f'#!/bin/sh\n[ "$1" = plan ] || exit 9\nexec {BINARY} "$@"\n')
    result = upgrade(door)
    assert result.returncode == 1, result
    assert "the new proxy ended (status 9)" in result.stderr
    assert "is started" in result.stdout
    assert door.pid == before
    assert door.get().status == 200


def test_a_supervisor_that_cannot_be_executed_is_told(replaceable):
    """The new program vanishes once its proxy runs: the proxy is new, the supervisor stays."""
    door, program = replaceable
    before = door.pid
    replace(program, f'#!/bin/sh\n[ "$1" = proxy ] && rm {program}\nexec {BINARY} "$@"\n')
    result = upgrade(door)
    assert result.returncode == 1, result
    assert "the new proxy serves, but the supervisor stays what it is" in result.stderr
    wait_until(lambda: before not in children_of(door.supervisor_pid), "the former proxy has gone")
    assert door.get().status == 200
    shutil.copy(BINARY, program)
    assert upgrade(door).returncode == 0, "it still works"


def test_of_two_at_once_one_is_refused(replaceable):
    door, program = replaceable
    go = program.parent / "go"
    os.mkfifo(go)
    replace(program, f'#!/bin/sh\n[ "$1" = plan ] && read -r line < {go}\nexec {BINARY} "$@"\n')
    with subprocess.Popen(command(door), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        wait_until(lambda: "is started" in door.log(), "the first has begun")
        second = upgrade(door)
        assert second.returncode == 1
        assert "not now: another upgrade is under way" in second.stderr
        go.write_text("on\n")
        assert first.wait(60 * SCALE) == 0, first.stderr.read()
    assert door.get().status == 200


def test_a_time_out_does_not_end_the_upgrade(replaceable):
    door, program = replaceable
    go = program.parent / "go"
    os.mkfifo(go)
    replace(program, f'#!/bin/sh\n[ "$1" = plan ] && read -r line < {go}\nexec {BINARY} "$@"\n')
    result = upgrade(door, "--timeout", "200ms")
    assert result.returncode == 4, result
    assert "goes on" in result.stderr
    go.write_text("on\n")
    wait_until(lambda: "goes on as" in door.log(), "the upgrade has been done", 30 * SCALE)
    assert door.get().status == 200


HANGS = f'#!/bin/sh\n[ "$1" = plan ] && exec {BINARY} "$@"\nexec sleep 600\n'


def test_a_crash_while_the_new_proxy_hangs_is_a_crash_like_others(replaceable):
    door, program = replaceable
    replace(program, HANGS)
    before = door.pid
    with subprocess.Popen(command(door), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asker:
        assert "of the new program is started" in asker.stdout.readline()
        os.kill(before, signal.SIGKILL)
        assert door.get().body == b"here", "the program that ran before serves; the upgrade goes on for a minute"
        assert asker.poll() is None
        door.signal(signal.SIGTERM)
        assert asker.wait(PATIENCE * 2) == 1
    assert door.wait() == 0


def test_a_new_proxy_that_hangs_ends_with_its_supervisor(replaceable):
    door, program = replaceable
    replace(program, HANGS)
    with subprocess.Popen(command(door), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asker:
        assert "of the new program is started" in asker.stdout.readline()
        children = children_of(door.supervisor_pid)
        assert len(children) == 2
        os.kill(door.supervisor_pid, signal.SIGKILL)
        asker.wait(PATIENCE * 2)
    door.process.wait()
    wait_until(lambda: not any(is_alive(each) for each in children), "nobody is left")
    replace(program, "")
    shutil.copy(BINARY, program)
    door.start()
    assert door.get().body == b"here"


def test_a_stop_ends_the_upgrade(replaceable):
    door, program = replaceable
    replace(program, f'#!/bin/sh\n[ "$1" = plan ] && sleep 600\nexec {BINARY} "$@"\n')
    with subprocess.Popen(command(door), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asker:
        wait_until(lambda: "is started" in door.log(), "it has begun")
        door.signal(signal.SIGTERM)
        assert asker.wait(PATIENCE * 2) == 1
        assert "is stopping" in asker.stderr.read()
    assert door.wait() == 0


def test_exit_statuses(portunus, tmp_path):
    assert run_program("upgrade", "--socket", str(tmp_path / "none")).returncode == 3
    assert run_program("upgrade", "--timeout", "soon").returncode == 2
    assert run_program("upgrade", "web").returncode == 2
    door = portunus(RESPOND)
    door.write("sites:\n  x.test:\n    poool: web\n")
    result = upgrade(door)
    assert result.returncode == 1
    assert "portunus.yaml:3:5" in result.stderr
    wait_until(lambda: "nothing has changed" in door.log(), "the reload is refused")
    result = upgrade(door, "--socket", str(door.folder / "state" / "control.sock"))
    assert result.returncode == 1
    assert "refuses the configuration" in result.stderr


GREEDY = Path(__file__).parent / "support" / "greedy_proxy.py"


def test_a_proxy_that_asks_for_a_reload_again_and_again_does_not_keep_the_upgrade_off(replaceable):
    """Neither the one that is to go, nor the one that has come."""
    door, program = replaceable
    replace(program, f'#!/bin/sh\n[ "$1" = proxy ] && exec /usr/bin/python3 {GREEDY} "$@"\nexec {BINARY} "$@"\n')
    result = upgrade(door)
    assert result.returncode == 0, result
    wait_until(lambda: [arguments_of(child)[1:2] for child in children_of(door.supervisor_pid)] == [[str(GREEDY)]], "the greedy one is alone")
    program.unlink()
    shutil.copy(BINARY, program)
    result = upgrade(door)
    assert result.returncode == 0, result
    wait_until(door.is_ready, "the new one serves")
    assert door.get().body == b"here"
