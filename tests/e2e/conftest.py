"""Fixtures and hooks live in support/fixtures.py, where tests/interop finds them too."""

from support.fixtures import *  # noqa: F401,F403
