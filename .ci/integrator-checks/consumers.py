"""The consumers of docs/events.md, and the brokers that they read from."""

import asyncio
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from common import DOCUMENT, EVENT, MODULES, free_port, until

TARGET = MODULES.parents[1]
BROKERS = TARGET / "brokers/bin"
TOPICS = [f"fairline.{name}" for name in ("order", "hold", "event", "admission", "draw")]


def block(language):
    """The document's one code block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", (DOCUMENT.parent / "events.md").read_text(), re.S)
    return found


def answers(port):
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


def buy(fairline):
    """Sells a seat to a new fan; returns the order."""
    events = f"/api/v1/events/{EVENT}"
    session = fairline.ask("POST", f"{events}/sessions", fairline.admit(), {})["session"]
    wish = {"best_available": {"quantity": 1}}
    hold = fairline.ask("POST", f"{events}/holds", session, wish)["id"]
    buyer = {"name": "Ada", "email": "ada@example.org"}
    order = fairline.ask("POST", "/api/v1/orders", session, {"hold": hold, "buyer": buyer})
    payment = f"/api/v1/payments/simulated/{order['payment']['id']}"
    fairline.ask("POST", payment, session, {"card": "4242424242424242"})
    return order["id"]


class Consumers(unittest.TestCase):
    """A test with a broker on a port of its own."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.port = free_port()

    def listen(self, *command):
        """Starts a consumer; it ends with the test."""
        listener = Listener(self, command)
        self.addCleanup(listener.end)
        return listener

    def serve(self, *command):
        """Starts a broker."""
        self.run_beside("broker", *command)
        until(lambda: answers(self.port))

    def run_beside(self, name, *command, end=signal.SIGKILL):
        """Starts a program whose output goes to a file; it ends with the test."""
        with open(self.folder / f"{name}.log", "a") as log:
            words = [str(word) for word in command]
            process = subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.send_signal, end)
        return process

    def serve_kafka(self):
        """Starts a server of Kafka's protocol with the topics; returns the consumer's command."""
        url = f"tcp://127.0.0.1:{self.port}"
        self.serve(
            *(BROKERS / "tansu", "broker", "--listener-url", url, "--advertised-listener-url", url),
            *("--storage-engine", "memory://tansu/"),
        )
        asyncio.run(self.make_topics())
        code = block("python").replace("127.0.0.1:9092", f"127.0.0.1:{self.port}")
        (self.folder / "consumer.py").write_text(code)
        return sys.executable, "consumer.py"

    async def make_topics(self):
        admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{self.port}")
        await admin.start()
        await admin.create_topics([NewTopic(name, 2, 1) for name in TOPICS])
        await admin.close()


class Listener:
    """A consumer that runs."""

    def __init__(self, test, command):
        words = [str(word) for word in command]
        self.process = subprocess.Popen(words, cwd=test.folder, stdout=subprocess.PIPE, text=True)
        self.test, self.heard = test, set()

    def hear(self, orders):
        """Waits until it has told of these confirmed orders, a minute at most, and of none twice."""
        limit = threading.Timer(60, self.process.kill)
        limit.start()
        while not self.heard.issuperset(orders):
            line = self.process.stdout.readline()
            self.test.assertTrue(line, "the consumer has ended, or told of nothing for a minute")
            word, order = line.split()[:2]
            self.test.assertEqual(word, "confirmed")
            self.test.assertNotIn(order, self.heard, "once")
            self.heard.add(order)
        limit.cancel()

    def end(self):
        """Kills it; returns what it had told beside that."""
        self.process.kill()
        rest = "" if self.process.stdout.closed else self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait()
        return rest
