"""A headless Chromium at the end of a pipe, which needs nothing but the standard library."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--remote-debugging-pipe",
)  # fmt: skip


def find():
    """Return the path of a Chromium; skip the test where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser; install one of {', '.join(NAMES)}")
    return found


class Browser:
    """One tab, driven by the DevTools protocol; remembers every address that the page asks for."""

    def __init__(self, profile: Path):
        theirs, self._to = os.pipe()
        self._from, theirs_out = os.pipe()

        def place():
            # The protocol's pipes are 3 and 4; moved up first, since either may be one of those.
            low, high = os.dup(theirs), os.dup(theirs_out)
            while min(low, high) < 5:
                low, high = os.dup(low), os.dup(high)
            os.dup2(low, 3), os.dup2(high, 4)

        self._process = subprocess.Popen(
            [find(), *OPTIONS, f"--user-data-dir={profile}", "about:blank"], pass_fds=(3, 4), preexec_fn=place,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs), os.close(theirs_out)
        self._number, self._buffer, self._session = 0, b"", None
        self.requests, self.problems = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method, seconds=60, **parameters):
        self._number += 1
        text = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            text["sessionId"] = self._session
        os.write(self._to, json.dumps(text).encode() + b"\0")
        end = time.monotonic() + seconds
        while True:
            answer = self._read(end)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _read(self, end):
        while b"\0" not in self._buffer:
            assert select.select([self._from], [], [], max(0, end - time.monotonic()))[0], "the browser says nothing"
            part = os.read(self._from, 1 << 20)
            assert part, "the browser has ended"
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(line)
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        elif message.get("method") == "Network.responseReceived" and message["params"]["response"]["status"] >= 400:
            self.problems.append(message["params"]["response"]["url"])
        elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.problems.append(message["params"]["entry"]["text"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(message["params"]["exceptionDetails"])[:500])
        return message

    def size(self, width, height, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def open(self, address):
        self.call("Page.navigate", url=address)

    def value(self, script):
        """Return what JavaScript gives, promises resolved."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script, seconds=90):
        """Wait until JavaScript gives something true, and return it."""
        end = time.monotonic() + seconds
        while not (found := self.value(script)):
            assert time.monotonic() < end, f"never true: {script}\n{self.value('document.body.innerText')[:2000]}"
            time.sleep(0.2)
        return found

    def choose(self, selector, *paths):
        """Give files to an input, as its dialogue would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        assert node, f"no {selector}"
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(p) for p in paths])

    def press(self, key, code=0, text=""):
        parameters = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **parameters)
        self.call("Input.dispatchKeyEvent", type="keyUp", **parameters)

    def screenshot(self, path, whole=True):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def elsewhere(self, address):
        """Return the addresses that the page asked for at other hosts."""
        own = urlsplit(address).netloc
        return [
            u
            for u in self.requests
            if urlsplit(u).scheme not in ("data", "blob", "about") and urlsplit(u).netloc != own
        ]

    def close(self):
        self._session = None
        with contextlib.suppress(Exception):
            self.call("Browser.close", seconds=10)
        for end in (self._to, self._from):
            os.close(end)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
