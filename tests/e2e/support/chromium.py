"""Chromium without a window, told what to do over the pipe of its debugging protocol: JSON, a NUL byte behind each message."""

import base64
import hashlib
import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path

from .certificates import openssl
from .waiting import PATIENCE, NotInTime

PROGRAM = "/usr/bin/chromium-headless-shell"
START = 'exec "$0" "$@" 3<&{commands} 4>&{answers}'  # the pipe's ends have these numbers


def key_hash(certificate):
    """Of the certificate's key, as the browser wants to be told whom to trust."""
    lines = openssl("x509", "-in", certificate, "-noout", "-pubkey").split("\n")
    key = base64.b64decode("".join(line for line in lines if not line.startswith("-----")))
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


class Browser:
    """With one page, a profile of its own in `folder`, and trust in the server that has this certificate."""

    def __init__(self, folder, certificate):
        self.log = Path(folder) / "chromium.log"
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", START.format(commands=commands, answers=answers), PROGRAM, "--no-sandbox", "--disable-gpu",
                 "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--no-proxy-server",
                 f"--user-data-dir={folder}/profile", f"--ignore-certificate-errors-spki-list={key_hash(certificate)}",
                 "--remote-debugging-pipe", "about:blank"],
                pass_fds=(commands, answers), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "HOME": str(folder)},
            )
        os.close(commands)
        os.close(answers)
        self.buffer = b""
        self.events = []
        self.count = 0
        self.session = self.loader = None
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    def _attach(self):
        """From now on, commands are for the page."""
        target = next(each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def _next(self, end):
        """The next message, an answer or an event."""
        while b"\0" not in self.buffer:
            if not select.select([self.answers], [], [], max(0, end - time.monotonic()))[0]:
                raise NotInTime("the browser says nothing")
            data = os.read(self.answers, 1 << 20)
            assert data, f"the browser has gone:\n{self.log.read_text(errors='replace')[-3000:]}"
            self.buffer += data
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method, **parameters):
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 2 * PATIENCE
        while True:
            answer = self._next(end)
            if answer.get("id") == self.count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def _wait_for_load(self, is_it):
        """Of the page with such a loader, and of all that it names."""
        end = time.monotonic() + 2 * PATIENCE
        while True:
            if not self.events:
                self.events.append(self._next(end))
            event = self.events.pop(0)
            about = event.get("params", {})
            if event.get("method") == "Page.lifecycleEvent" and about["name"] == "load" and is_it(about["loaderId"]):
                self.loader = about["loaderId"]
                return

    def open(self, url):
        self.events.clear()
        result = self.call("Page.navigate", url=url)
        assert "errorText" not in result, result
        self._wait_for_load(lambda loader: loader == result["loaderId"])

    def reload(self):
        """Without anything out of the cache."""
        self.events.clear()
        before = self.loader
        self.call("Page.reload", ignoreCache=True)
        self._wait_for_load(lambda loader: loader != before)

    def evaluate(self, script):
        """The value of an expression in the page; what a promise is kept with."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # its helpers as well
        except ProcessLookupError:
            pass
        self.process.wait()
        os.close(self.commands)
        os.close(self.answers)
