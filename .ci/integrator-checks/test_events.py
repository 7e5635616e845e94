"""Events of a sale, read by the consumers of docs/events.md as they stand there."""

import asyncio
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from common import DOCUMENT, EVENT, MODULES, Fairline, free_port, until

BROKERS = MODULES.parents[1] / "brokers/bin"


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


class Events(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.port = free_port()

    def start(self, *command):
        """Starts a program; it ends with the test."""
        words = [str(word) for word in command]
        process = subprocess.Popen(words, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process

    def serve(self, *command):
        log = open(self.folder / "log", "w")
        self.addCleanup(log.close)
        process = subprocess.Popen([str(word) for word in command], cwd=self.folder, stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        until(lambda: answers(self.port))

    def sell(self, events, *consumer):
        fairline = Fairline(FAIRLINE_EVENTS=events)
        self.addCleanup(fairline.end)
        orders = [buy(fairline) for _ in range(3)]
        self.hear(self.start(*consumer), orders)
        # Started again it goes on where it was: at most the last one, in whose middle it was killed, comes again.
        again = self.hear(self.start(*consumer), [buy(fairline), buy(fairline)])
        self.assertLessEqual(len(again & set(orders)), 1)

    def hear(self, process, orders):
        """Waits for these confirmed orders, ends the consumer, and returns all that it told of."""
        heard = set()
        while not heard.issuperset(orders):
            line = process.stdout.readline()
            self.assertTrue(line, "the consumer has ended")
            word, order = line.split()[:2]
            self.assertEqual(word, "confirmed")
            self.assertNotIn(order, heard, "once")
            heard.add(order)
        process.kill()
        return heard

    def test_kafka_in_python(self):
        url = f"tcp://127.0.0.1:{self.port}"
        self.serve(
            BROKERS / "tansu", "broker", "--listener-url", url, "--advertised-listener-url", url,
            "--storage-engine", "memory://tansu/",
        )
        asyncio.run(self.make_topics())
        code = block("python").replace("127.0.0.1:9092", f"127.0.0.1:{self.port}")
        (self.folder / "consumer.py").write_text(code)
        self.sell(f"kafka://127.0.0.1:{self.port}", sys.executable, "consumer.py")

    async def make_topics(self):
        admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{self.port}")
        await admin.start()
        names = ["fairline.order", "fairline.hold", "fairline.event"]
        await admin.create_topics([NewTopic(name, 2, 1) for name in names])
        await admin.close()

    def test_nats_in_javascript(self):
        self.serve(BROKERS / "nats-server", "-a", "127.0.0.1", "-p", self.port, "-js", "-sd", "data")
        code = block("js").replace("127.0.0.1:4222", f"127.0.0.1:{self.port}")
        (self.folder / "consumer.mjs").write_text(code)
        os.symlink(MODULES, self.folder / "node_modules")
        self.sell(f"nats://127.0.0.1:{self.port}", "node", "consumer.mjs")


if __name__ == "__main__":
    unittest.main()
