"""Private processes for the checks: servers on free loopback ports, ended with the check."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid

from common import BINARIES


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(what, seconds=30, says=lambda: ""):
    """Asks until the answer is true; what it was is returned."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if answer := what():
                return answer
        if time.monotonic() > end:
            raise AssertionError(f"it never became so: {says()[-3000:]}")
        time.sleep(0.05)


def call(url, method="GET", body=None, bearer=None, **headers):
    """Status and JSON of a request; headers with _ for -."""
    request = urllib.request.Request(
        url, method=method, data=None if body is None else json.dumps(body).encode()
    )
    request.add_header("Content-Type", "application/json")
    if bearer:
        request.add_header("Authorization", f"Bearer {bearer}")
    for key, value in headers.items():
        request.add_header(key.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode(errors="replace")


def insist(url, method="GET", body=None, bearer=None, **headers):
    """As `call`, and asks again while the answer is 503, as a page would. One key for all attempts makes them one."""
    headers = {"Idempotency_Key": uuid.uuid4().hex, **headers}
    answer = lambda: call(url, method, body, bearer, **headers)
    return until(lambda: (a := answer())[0] != 503 and a, says=lambda: f"{method} {url}: 503")


class Processes:
    """Processes with a folder of their own; all of them end with the block."""

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="fairline-deployment-"))
        self.folder.chmod(0o755)
        self.running = {}
        return self

    def __exit__(self, *_):
        for name in list(self.running):
            self.end(name, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def start(self, name, *command, user=None, environment=None):
        path = self.folder / f"{name}.log"
        path.touch()
        if user is not None:
            os.chown(path, user, user)
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
        variables = {"PATH": os.environ["PATH"], **(environment or {})}
        command = [str(word) for word in command]
        with path.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=variables,
                start_new_session=True,
                cwd=self.folder,
            )
        self.running[name] = process
        return process

    def end(self, name, how=signal.SIGTERM):
        process = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how) if how == signal.SIGKILL else process.send_signal(how)
        return process.wait(timeout=60)

    def node(self, program, address, environment):
        """A node of ours with the variables of a pod; only addresses and the folder are others. Its operations URL."""
        name = f"{program}-{address}"
        ops = f"{address.rsplit(':', 1)[0]}:{free_port()}"
        own = {
            "FAIRLINE_LISTEN": address,
            "FAIRLINE_OPS_LISTEN": ops,
            "FAIRLINE_DATA": str(self.folder / name.replace(":", "-")),
        }
        self.start(name, BINARIES / program, environment={**environment, **own})
        until(lambda: call(f"http://{ops}/readyz")[0] == 200, says=lambda: self.log(name))
        return f"http://{ops}"


class Names(socketserver.UDPServer):
    """A DNS server that knows some names, each with addresses that may change, like a headless Service."""

    def __init__(self, names, address=("127.0.0.1", 0)):
        self.names = names
        super().__init__(address, self.Handler)
        self.port = self.server_address[1]
        threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            question, answer_to = self.request
            labels, at = [], 12
            while question[at]:
                labels.append(question[at + 1 : at + 1 + question[at]].decode())
                at += question[at] + 1
            kind = struct.unpack(">H", question[at + 1 : at + 3])[0]
            known = self.server.names.get(".".join(labels).lower())
            addresses = known if known and kind == 1 else []
            flags = 0x8180 if known is not None else 0x8183
            head = question[:2] + struct.pack(">HHHHH", flags, 1, len(addresses), 0, 0)
            answers = b"".join(
                b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 5, 4) + socket.inet_aton(a)
                for a in addresses
            )
            answer_to.sendto(head + question[12 : at + 5] + answers, self.client_address)

    def close(self):
        self.shutdown()
        self.server_close()


def watch(url, path, bearer):
    """An open WebSocket: the connection, with whatever it has received so far still to be read."""
    host = url.removeprefix("http://")
    connection = socket.create_connection((host.split(":")[0], int(host.split(":")[1])), timeout=30)
    head = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {bearer}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    connection.sendall(head.encode())
    status = connection.recv(len("HTTP/1.1 101 "))
    assert status == b"HTTP/1.1 101 ", status
    return connection


def organise(url, key, event="night", seats=(20, 20)):
    """An event on sale, with a hall."""
    admission = {"rate_per_minute": 600_000, "batch_seconds": 1}
    status, body = insist(
        f"{url}/api/v1/organiser/events",
        "POST",
        {"id": event, "name": "The night", "admission": admission},
        key,
    )
    assert status == 201, body
    plan = {
        "categories": [{"id": "c", "name": "C", "price": 4500}],
        "sections": [{"id": "s", "category": "c", "rows": seats[0], "seats_per_row": seats[1]}],
    }
    status, body = insist(f"{url}/api/v1/organiser/events/{event}/seating", "PUT", plan, key)
    assert status in (200, 201, 204), body


def buy(url, event="night", **headers):
    """The journey of a fan: joins, waits for the turn, enters, holds two seats, orders, pays. The confirmed order."""

    def ask(method, path, bearer, body=None):
        status, answer = insist(f"{url}{path}", method, body, bearer, **headers)
        assert status in (200, 201), f"{method} {path}: {status} {answer}"
        return answer

    line = f"/api/v1/events/{event}/line"
    place = ask("POST", line, None, {})
    bearer = place["pass"]
    place = until(lambda: (p := ask("GET", f"{line}/me", bearer))["state"] == "admitted" and p)
    session = ask("POST", f"/api/v1/events/{event}/sessions", place["token"], {})["session"]
    hold = ask(
        "POST", f"/api/v1/events/{event}/holds", session, {"best_available": {"quantity": 2}}
    )["id"]
    order = ask(
        "POST",
        "/api/v1/orders",
        session,
        {"hold": hold, "buyer": {"name": "Ada", "email": "ada@example.org"}},
    )
    ask(
        "POST",
        f"/api/v1/payments/simulated/{order['payment']['id']}",
        session,
        {"card": "4242424242424242"},
    )
    order = until(
        lambda: (o := ask("GET", f"/api/v1/orders/{order['id']}", session))["state"] == "confirmed"
        and o
    )
    assert len(order["tickets"]) == 2, order
    return order
