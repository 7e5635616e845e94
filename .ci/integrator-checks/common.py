"""A private Fairline, and what all checks ask of it."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
DOCUMENT = HERE.parents[1] / "docs/integrators.md"
BINARY = os.environ["FAIRLINE_BINARY"]
MODULES = pathlib.Path(os.environ["FAIRLINE_NODE_MODULES"])
SCRIPTS = pathlib.Path(sys.executable).parent
KEY = "integrator-organiser-key-0123456789"
EVENT = "arena-night"
PLAN = {
    "categories": [{"id": "c", "name": "C", "price": 100}],
    "sections": [{"id": "s", "category": "c", "rows": 5, "seats_per_row": 10}],
}


def run(*command, **options):
    """What a command printed; a command that fails, or prints for two minutes, is a failure of its check."""
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
        **options,
    )
    if done.returncode != 0:
        shown = " ".join(map(str, command))
        raise AssertionError(f"{shown}: exit {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


def node(program, *arguments, **options):
    return run("node", MODULES / ".bin" / program, *arguments, **options)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def until(act, tries=200):
    """The first true result of `act`."""
    for _ in range(tries):
        if found := act():
            return found
        time.sleep(0.05)
    raise AssertionError("it never happened")


class Fairline:
    """A server with one sale, which admits at once."""

    def __init__(self, **settings):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.url = f"http://127.0.0.1:{free_port()}"
        self.settings = settings
        self.start(**settings)
        admission = {"rate_per_minute": 600000, "batch_seconds": 1}
        sale = {"id": EVENT, "name": "Arena Night", "admission": admission}
        self.ask("POST", "/api/v1/organiser/events", KEY, sale)
        self.ask("PUT", f"/api/v1/organiser/events/{EVENT}/seating", KEY, PLAN)

    def start(self, **settings):
        own = {
            "FAIRLINE_LISTEN": self.url.removeprefix("http://"),
            "FAIRLINE_OPS_LISTEN": "127.0.0.1:0",
            "FAIRLINE_DATA": str(self.folder / "data"),
            "FAIRLINE_ORGANISER_KEY": KEY,
            "FAIRLINE_LOG": "warn",
            "FAIRLINE_JOINS_PER_MINUTE": "0",
            "FAIRLINE_REQUESTS_PER_SECOND": "0",
            "FAIRLINE_VISITOR_REQUESTS_PER_SECOND": "0",
        }
        self.process = subprocess.Popen(
            [BINARY], env={**os.environ, **own, **settings}, stdout=subprocess.DEVNULL
        )
        until(lambda: self.get("/api/v1/events") is not None)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.stop()
        shutil.rmtree(self.folder)

    def get(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=30) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def ask(self, method, path, bearer=None, body=None):
        request = urllib.request.Request(self.url + path, method=method)
        if bearer:
            request.add_header("Authorization", f"Bearer {bearer}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"{method} {path}: {refused.code} {refused.read()}") from None
        return json.loads(text) if text else None

    def admit(self):
        """The admission token of a new fan."""
        line = f"/api/v1/events/{EVENT}/line"
        own_pass = self.ask("POST", line)["pass"]
        return until(lambda: self.ask("GET", f"{line}/me", own_pass).get("token"))
