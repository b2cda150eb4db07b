"""A real browser for tests: headless Chromium, spoken to through a pipe, on a profile of its own."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PATIENCE = 60.0  # seconds; a busy machine starts a browser slowly


class Browser:
    """One page of a browser."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._rest = b""
        self._number = 0
        self.said: list[str] = []
        """What the page wrote to the console, errors among it."""
        target = self._send("Target.createTarget", {"url": "about:blank"})["targetId"]
        attach = {"targetId": target, "flatten": True}
        self._session = self._send("Target.attachToTarget", attach)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def _send(self, method: str, params: dict[str, Any], session: str = "") -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = os.read(self._back, 1 << 16)
            assert data, "the browser has ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.said.append(json.dumps(params))
            case "Log.entryAdded":
                self.said.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        return message

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the DevTools protocol, to the page."""
        return self._send(method, params, self._session)

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def see(self, expression: str) -> Any:
        """The value of an expression on the page."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str, patience: float = _PATIENCE) -> None:
        """Wait until an expression is true on the page."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            with contextlib.suppress(AssertionError):  # the page is being left
                if self.see(expression):
                    return
            time.sleep(0.05)
        raise AssertionError(
            f"{expression} did not come true: {self.see('document.body.innerText')}"
        )

    def resize(self, width: int, height: int = 1000) -> None:
        """Make the window so large, in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def dark(self, dark: bool) -> None:
        """Prefer dark colours, or light ones."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def shot(self, path: Path) -> None:
        """A picture of the whole page."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))


def found() -> str | None:
    """The program, if a browser is installed."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


needs_browser = pytest.mark.skipif(
    found() is None, reason=f"no browser is installed (one of {', '.join(_NAMES)})"
)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser of one's own, which is gone at the end."""
    program = found()
    assert program is not None
    from_us, to = os.pipe()
    back, from_it = os.pipe()

    def pipes() -> None:  # the numbers on which it listens and speaks
        one, two = os.dup(from_us), os.dup(from_it)
        os.dup2(one, 3)
        os.dup2(two, 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        options += ["--no-first-run", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [program, *options, "about:blank"],
            preexec_fn=pipes,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(from_us)
        os.close(from_it)
        try:
            made = Browser(to, back)
            yield made
            with contextlib.suppress(AssertionError, OSError):
                made._send("Browser.close", {})
            process.wait(20)
        finally:
            os.close(to)
            os.close(back)
            if process.poll() is None:
                process.kill()
                process.wait()
