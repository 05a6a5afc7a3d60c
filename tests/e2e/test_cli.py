"""The command line, as a person meets it."""

import json
import os
import re
import subprocess

import pytest

from support.door import BINARY, ROOT, one_pool, run_program
from support.waiting import PATIENCE

GOOD = 'sites:\n  "http://127.0.0.1:8080": [127.0.0.1:9001, 127.0.0.1:9002]\n'
BAD = "sites:\n  x.test:\n    poool: web\n  y.test:\n    pool: nowhere\n"


def check(tmp_path, text, *options, env=None):
    file = tmp_path / "test.yaml"
    file.write_text(text)
    return run_program("check", *options, str(file), env=env)


def test_check_accepts_a_good_file(tmp_path):
    result = check(tmp_path, GOOD)
    assert (result.returncode, result.stderr) == (0, "")


def test_check_shows_every_error_with_its_place(tmp_path):
    result = check(tmp_path, BAD)
    assert result.returncode == 1
    text = result.stdout + result.stderr
    assert "test.yaml:3:5: error:" in text
    assert "test.yaml:5:11: error:" in text, "the second error is missing"
    lines = text.split("\n")
    at = next(i for i, line in enumerate(lines) if "poool: web" in line)
    assert lines[at + 1].index("^") == lines[at].index("poool"), "the caret is somewhere else"
    assert re.search(r"\bpool\b", text.replace("poool", "")), "the nearest key is not named"


def test_check_as_json(tmp_path):
    result = check(tmp_path, BAD, "--json")
    assert result.returncode == 1
    found = json.loads(result.stdout)
    errors = found if isinstance(found, list) else found["diagnostics"]
    assert {(error["line"], error["column"]) for error in errors} >= {(3, 5), (5, 11)}
    good = check(tmp_path, GOOD, "--json")
    assert good.returncode == 0
    json.loads(good.stdout)


def test_check_of_a_missing_file(tmp_path):
    result = run_program("check", str(tmp_path / "none.yaml"))
    assert result.returncode == 1
    assert "none.yaml" in result.stderr + result.stdout


def test_warning_is_no_error(tmp_path):
    result = check(tmp_path, GOOD + "pools:\n  unused: [127.0.0.1:1]\n")
    assert result.returncode == 0
    assert "unused" in result.stdout + result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_services_that_would_run_as_root_are_told(tmp_path):
    """To root, and to anybody when the file is for root: the user who checks need not be the one who starts."""
    words = "the service `web` has no `user`: it runs as root"
    service = "services:\n  web: { command: sleep 1000 }\n"
    assert words in check(tmp_path, GOOD + service).stderr
    assert words in check(tmp_path, "user: nobody\n" + GOOD + service).stderr
    assert check(tmp_path, GOOD + service.replace("1000", "1000, user: root")).stderr == ""
    path = tmp_path / "portunus.yaml"
    for text, warns in ((GOOD + service, False), ("user: nobody\n" + GOOD + service, True)):
        path.write_text(text)
        with open(path, "rb") as file:  # its folder is root's
            result = subprocess.run(
                [BINARY, "check", f"/proc/self/fd/{file.fileno()}"], pass_fds=[file.fileno()], user=65534, group=65534,
                extra_groups=[], text=True, capture_output=True, timeout=PATIENCE, check=False,
            )
        assert (result.returncode, words in result.stderr) == (0, warns), result

@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["check", "--nonsense"], ["run", "--nonsense"], ["config"],
                                       ["config", "x"]])
def test_usage_errors(arguments):
    result = run_program(*arguments)
    assert result.returncode == 2, result
    assert "portunus" in result.stderr + result.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["run", "--help"], ["check", "--help"], ["reload", "--help"],
                                       ["config", "--help"], ["config", "reference", "--help"],
                                       ["config", "schema", "--help"], ["version", "--help"]])
def test_help(arguments):
    result = run_program(*arguments)
    assert result.returncode == 0
    assert len(result.stdout) > 100
    assert max(len(line) for line in result.stdout.split("\n")) <= 120


def test_help_names_every_command():
    text = run_program("--help").stdout
    for command in ("run", "check", "reload", "config", "version"):
        assert re.search(rf"\b{command}\b", text), command


def test_version():
    result = run_program("version")
    assert result.returncode == 0
    assert re.search(r"\d+\.\d+", result.stdout)


def test_reference_names_every_root_key():
    result = run_program("config", "reference")
    assert result.returncode == 0
    for key in ("sites", "pools", "listeners", "threads", "include", "limits", "timeouts", "trusted_proxies",
                "admin", "log", "access_log", "shutdown"):
        assert f"`{key}`" in result.stdout, key


def test_schema_is_json_schema():
    result = run_program("config", "schema")
    assert result.returncode == 0
    schema = json.loads(result.stdout)
    assert "$schema" in schema
    assert {"sites", "pools", "listeners"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


def test_environment_and_files(tmp_path):
    text = 'sites:\n  "http://127.0.0.1:${PORT}": "127.0.0.1:${MEMBER:-9001}"\n'
    assert check(tmp_path, text, env={"PORT": "8080"}).returncode == 0
    missing = check(tmp_path, text)
    assert missing.returncode == 1
    assert "PORT" in missing.stdout + missing.stderr


def test_includes(tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "pool.yaml").write_text("pools:\n  web: [127.0.0.1:9001]\n")
    text = 'include: [conf.d/*.yaml]\nsites:\n  "http://127.0.0.1:8080": { pool: web }\n'
    assert check(tmp_path, text).returncode == 0
    (tmp_path / "conf.d" / "twin.yaml").write_text("pools:\n  web: [127.0.0.1:9002]\n")
    result = check(tmp_path, text)
    assert result.returncode == 1
    assert "pool.yaml:2" in result.stdout + result.stderr
    assert "twin.yaml:2" in result.stdout + result.stderr


def test_reload_without_a_running_program(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(GOOD + "admin: { listen: 127.0.0.1:1 }\n")
    result = run_program("reload", "-c", str(file))
    assert result.returncode == 3
    assert "127.0.0.1:1" in result.stderr


def test_reload_finds_the_program_by_its_bad_file_too(portunus):
    """The file that is refused is the one that names the admin address."""
    door = portunus(one_pool("127.0.0.1:1"))
    door.write(door.path.read_text() + "nonsense: 1\n")
    assert door.reload().returncode == 1


def test_output_is_clean_in_a_pipe(tmp_path):
    for result in (check(tmp_path, BAD), run_program("config", "reference"), run_program("--help")):
        assert "\x1b" not in result.stdout + result.stderr, "colours in a pipe"


def test_demo_file_is_valid():
    result = run_program("check", str(ROOT / "conf" / "portunus.yaml"))
    assert result.returncode == 0, result.stdout + result.stderr
