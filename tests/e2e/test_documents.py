"""The documents are true where a program can tell: their configurations are valid, the tests they name exist."""

import json
import re

import pytest

from support.door import ROOT, run_program

pytestmark = pytest.mark.smoke

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def yaml_blocks():
    for document in DOCUMENTS:
        text = document.read_text()
        for match in re.finditer(r"^```yaml\n(.*?)^```", text, re.S | re.M):
            line = text.count("\n", 0, match.start()) + 1
            yield pytest.param(match[1], id=f"{document.name}:{line}")


def complaints(file):
    """What `check` says, but for services that run as root for whoever is root."""
    result = run_program("check", "--json", str(file))
    answer = json.loads(result.stdout)
    assert answer["valid"] == (result.returncode == 0)
    return [each for each in answer["diagnostics"] if " has no `user`: " not in each["message"]]


@pytest.mark.parametrize("text", yaml_blocks())
def test_configurations_are_valid(tmp_path, text):
    file = tmp_path / "portunus.yaml"
    file.write_text(text)
    assert complaints(file) == []


@pytest.mark.parametrize("file", sorted((ROOT / "conf").rglob("*.yaml")), ids=lambda path: path.name)
def test_examples_are_valid(file):
    assert complaints(file) == []


def test_named_tests_exist():
    text = (ROOT / "docs" / "security.md").read_text()
    python = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    cpp = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*_test.cc"))
    names = set(re.findall(r"`(test_\w+)`", text))
    cases = set(re.findall(r"`([A-Z]\w+)\.([A-Z]\w+)`", text))
    assert len(names) > 50 and len(cases) > 5
    missing = {name for name in names if not re.search(rf"def {name}\(", python)}
    missing |= {f"{suite}.{case}" for suite, case in cases if not re.search(rf"TEST(_F|_P)?\({suite}, {case}\)", cpp)}
    assert not missing


def test_named_metrics_exist():
    sources = "\n".join(path.read_text() for path in (ROOT / "proxy").glob("*.cc"))
    for document in DOCUMENTS:
        for name in set(re.findall(r"`?\b((?:portunus|process)_[a-z]+_[a-z_]+)\b", document.read_text())):
            assert f'"{re.sub("_bucket$", "", name)}"' in sources, f"{document.name}: {name}"
