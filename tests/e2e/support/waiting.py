"""Deadlines. A test waits for an event, with a limit; sanitizer builds get more time."""

import os
import time

SANITIZER = os.environ.get("PORTUNUS_SANITIZE", "")
SCALE = {"": 1, "address": 3, "thread": 6}.get(SANITIZER, 3 if SANITIZER else 1)
PATIENCE = 8.0 * SCALE  # for what should take no time at all
POLL_S = 0.01


class NotInTime(AssertionError):
    """What was waited for did not happen."""


def wait_until(condition, what, seconds=PATIENCE * 2):
    """Polls until condition() is true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise NotInTime(f"not within {seconds:g} s: {what}")
        time.sleep(POLL_S)


def wait_until_still(measure, what, seconds=PATIENCE, still=0.4):
    """Polls until measure() keeps its value for `still` seconds, and returns it."""
    end = time.monotonic() + seconds
    value, since = measure(), time.monotonic()
    while time.monotonic() - since < still:
        if time.monotonic() >= end:
            raise NotInTime(f"never came to rest within {seconds:g} s: {what}")
        time.sleep(POLL_S)
        now = measure()
        if now != value:
            value, since = now, time.monotonic()
    return value
