"""The live page in Firefox and WebKitGTK; writes results/other-browsers.json.

    apt-get install firefox-esr webkit2gtk-driver xvfb
    python tools/measure/other_browsers.py

Each estimates a rendered hand twice: the page of one file, from a disk, with SIMD; and a site's page, over http, in
plain JavaScript. Firefox speaks WebDriver BiDi itself, WebKit's driver is WebKitWebDriver.
"""

import base64
import functools
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from common import LIVE, differences, write
from PIL import Image

from handlib.evaluation.results import Metric
from handlib.photo.live_page import embedded, live_page, write_scripts
from handlib.photo.live_samples import samples
from handlib.photo.predict import Predictor

FIREFOX = next(filter(None, map(shutil.which, ["firefox-esr", "firefox"])), None)
WEBKIT = shutil.which("WebKitWebDriver")
PATIENCE = 600  # seconds: another program may have the machine
READY = """
    const words = () => document.querySelector(".words").textContent;
    while (!document.querySelector(".handlib-live.ready")) {
        if (words().includes("could not be loaded")) throw new Error(words());
        await new Promise(done => setTimeout(done, 100));
    }
    return navigator.userAgent;"""
# Without SIMD the engine is loaded a second time, in plain JavaScript.
ESTIMATE = """
    const live = %s, [simd, png] = %s;
    const loaded = await live.client.ask("load", { pack: window.handlibLivePack, simd });
    const bytes = Uint8Array.from(atob(png), c => c.charCodeAt(0));
    const before = live.estimate;
    await live.open(new File([bytes], "hand.png", { type: "image/png" }));
    const said = document.querySelector(".words").textContent;
    if (!live.estimate || live.estimate === before) return JSON.stringify({ said });
    const mesh = document.querySelector("canvas.mesh"), webgl = live.stage.view.works;
    const drawn = mesh.getContext("2d").getImageData(0, 0, mesh.width, mesh.height).data.some(value => value > 0);
    return JSON.stringify({ said, drawn, webgl, simd: loaded.simd, total: live.estimate.times.total,
        hands: live.estimate.hands.map(one => ({ h: Array.from(one.h), vertices: Array.from(one.vertices_cam) })) });
"""


class Firefox:
    """Firefox on a display of its own; `evaluate` runs the body of an asynchronous function in its page."""

    def __init__(self, folder: Path):
        import websocket

        # WebAssembly and the camera as they are for everybody; only what a first start asks and fetches is left out.
        (folder / "user.js").write_text(
            'user_pref("browser.shell.checkDefaultBrowser", false);\nuser_pref("app.update.enabled", false);\n'
            'user_pref("datareporting.policy.dataSubmissionEnabled", false);\n'
        )
        command = ["xvfb-run", "-a", FIREFOX, "--no-remote", "--remote-debugging-port", "0", "--profile", str(folder)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        lines = iter(self.process.stdout.readline, "")
        address = next(line.split()[-1] for line in lines if "WebDriver BiDi listening on" in line)
        threading.Thread(target=self.process.stdout.read, daemon=True).start()  # a full pipe would stop it
        self.socket = websocket.create_connection(f"{address}/session", timeout=PATIENCE, suppress_origin=True)
        self.count = 0
        self._send("session.new", {"capabilities": {}})
        self.context = self._send("browsingContext.create", {"type": "tab"})["context"]

    def _send(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": params}))
        while (answer := json.loads(self.socket.recv())).get("id") != self.count:
            pass  # events
        if answer["type"] == "error":
            raise RuntimeError(f"{method}: {answer['message']}")
        return answer["result"]

    def open(self, url: str) -> None:
        self._send("browsingContext.navigate", {"context": self.context, "url": url, "wait": "complete"})

    def evaluate(self, body: str) -> str:
        expression = f"(async () => {{ {body} }})()"
        target = {"context": self.context}
        result = self._send("script.evaluate", {"expression": expression, "target": target, "awaitPromise": True})
        if result["type"] != "success":
            raise RuntimeError(result["exceptionDetails"]["text"])
        return result["result"]["value"]

    def close(self) -> None:
        self.socket.close()
        _end(self.process)


class WebKit:
    """WebKitGTK's MiniBrowser by WebKitWebDriver, on a display of its own."""

    def __init__(self, folder: Path):
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        command = ["xvfb-run", "-a", WEBKIT, f"--port={self.port}"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.session = ""
        for _ in range(100):
            try:
                wanted = {"capabilities": {"alwaysMatch": {"timeouts": {"script": 1000 * PATIENCE}}}}
                self.session = f"/{self._send('POST', '', wanted)['sessionId']}"
                return
            except (ConnectionError, urllib.error.URLError):
                time.sleep(0.2)
        raise RuntimeError("WebKitWebDriver does not answer")

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        url = f"http://127.0.0.1:{self.port}/session{self.session}{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {json.load(error)['value']['message']}") from error

    def open(self, url: str) -> None:
        self._send("POST", "/url", {"url": url})

    def evaluate(self, body: str) -> str:
        script = f"const done = arguments[0]; (async () => {{ {body} }})().then(done, error => done(`!${{error}}`));"
        answer = self._send("POST", "/execute/async", {"script": script, "args": []})
        if answer.startswith("!"):
            raise RuntimeError(answer[1:])
        return answer

    def close(self) -> None:
        self._send("DELETE", "")
        _end(self.process)


def _end(process: subprocess.Popen) -> None:
    """With its display and what it started."""
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(60)


BROWSERS = {name: made for name, made, found in (("firefox", Firefox, FIREFOX), ("webkit", WebKit, WEBKIT)) if found}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def site() -> Iterator[tuple[Path, str]]:
    """A folder with the page as one file and as a site's page, and its address over http."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        live_page().save(folder / "one.html")
        write_scripts(folder / "live")
        head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Your hand</title>'
        head += '<link rel="icon" href="data:,">'
        (folder / "site.html").write_text(f"{head}{embedded('live')}</html>", "utf-8")
        handler = functools.partial(Quiet, directory=name)
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield folder, f"http://127.0.0.1:{server.server_port}"
            server.shutdown()


def measure(name: str) -> tuple[list[Metric], str]:
    """How far a browser is from Python, with SIMD from a disk and in plain JavaScript from a server; and what it is."""
    picture, metrics, agent = samples()[0].picture, [], ""
    expected = Predictor()(picture)
    with site() as (folder, server), tempfile.TemporaryDirectory() as profile:
        with closing(BROWSERS[name](Path(profile))) as browser:
            for kind, url in (("simd", (folder / "one.html").as_uri()), ("plain", f"{server}/site.html")):
                browser.open(url)
                agent = browser.evaluate(READY)
                found = json.loads(browser.evaluate(ESTIMATE % (LIVE, json.dumps([kind == "simd", png(picture)]))))
                print(f"{name}, {kind}: {found['said']} WebGL: {found.get('webgl')}; {agent}", flush=True)
                assert found.get("drawn") == found.get("webgl"), f"{name}: no mesh is drawn: {found['said']}"
                assert found["simd"] == (kind == "simd"), f"{name} has no SIMD"
                h, millimeters = differences(found["hands"], expected)
                metrics += [
                    Metric(f"{name}_{kind}_difference_of_h", h, "", n=1),
                    Metric(f"{name}_{kind}_difference_of_a_vertex", millimeters, "mm", n=1),
                ]
    return metrics, f"{agent}, {'with' if found['webgl'] else 'without'} WebGL"


def png(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def main() -> None:
    if set(BROWSERS) != {"firefox", "webkit"}:
        sys.exit("install both: apt-get install firefox-esr webkit2gtk-driver xvfb")
    started, metrics, agents = time.perf_counter(), [], {}
    for name in BROWSERS:
        own, agents[name] = measure(name)
        metrics += own
    claim = "the live page does in Firefox and WebKit what predict does in Python"
    data = {"name": "the live page's first sample", "n": 1}
    write("other-browsers", claim, metrics, Predictor().model, data, started, "other_browsers.py", {"browsers": agents})


if __name__ == "__main__":
    main()
