"""Webhooks, verified by the official library in the consumer of docs/integrators/webhook.py as it stands there."""

import contextlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

from standardwebhooks.webhooks import Webhook

from common import DOCUMENT, KEY, Fairline, free_port, until
from consumers import answers, buy

CONSUMER = DOCUMENT.parent / "integrators/webhook.py"
WEBHOOKS = "/api/v1/organiser/webhooks"


class Webhooks(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.port = free_port()
        self.fairline = Fairline(FAIRLINE_WEBHOOK_NETWORKS="127.0.0.1")
        self.addCleanup(self.fairline.end)
        new = {"name": "Loyalty", "url": f"http://127.0.0.1:{self.port}/hooks", "is_ordered": True}
        made = self.fairline.ask("POST", WEBHOOKS, KEY, new)
        self.own, self.secret = f"{WEBHOOKS}/{made['webhook']['id']}", made["secret"]

    def consume(self, secret):
        process = subprocess.Popen(
            [sys.executable, CONSUMER, str(self.port)],
            cwd=self.folder,
            env={**os.environ, "WEBHOOK_SECRET": secret},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        until(lambda: answers(self.port))
        return process

    def delivered(self):
        """The deliveries, once all of them are done."""

        def look():
            deliveries = self.fairline.ask("GET", f"{self.own}/deliveries?limit=100", KEY)["deliveries"]
            return deliveries and all(one["state"] == "delivered" for one in deliveries) and deliveries

        return until(look, 2000)

    def hear(self, process, order):
        word, heard = process.stdout.readline().split()[:2]
        self.assertEqual((word, heard), ("confirmed", order))

    def test_each_confirmed_order_is_acted_on_once_also_while_secrets_change(self):
        process = self.consume(self.secret)
        self.hear(process, buy(self.fairline))
        again = next(one for one in self.delivered() if one["type"] == "order.confirmed")
        self.fairline.ask("POST", f"{self.own}/deliveries/{again['id']}/resend", KEY)
        self.delivered()
        secret = self.fairline.ask("POST", f"{self.own}/rotate", KEY, {})["secret"]
        # The old secret holds still, and so does the new one.
        self.hear(process, buy(self.fairline))
        self.delivered()
        process.kill()
        process.wait()
        process = self.consume(secret)
        self.hear(process, buy(self.fairline))
        self.delivered()
        self.fairline.ask("POST", f"{self.own}/rotate", KEY, {"old_seconds": 0})
        self.fairline.ask("POST", f"{self.own}/test", KEY)
        until(lambda: self.statuses() == [401])

    def statuses(self):
        newest = self.fairline.ask("GET", f"{self.own}/deliveries?limit=1", KEY)["deliveries"]
        return [one["status"] for one in newest if one["type"] == "webhook.test"]

    def test_a_request_that_is_not_signed_is_refused(self):
        self.consume(self.secret)
        headers = {"webhook-id": "evt_1", "webhook-timestamp": "1", "webhook-signature": "v1,eA=="}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}", b"{}", headers)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        self.assertEqual(refused.exception.code, 401)
        refused.exception.close()

    def test_what_a_killed_server_had_posted_but_not_recorded_comes_again(self):
        fairline, webhook = self.fairline, Webhook(self.secret)
        posted, killed = [], threading.Event()

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                webhook.verify(body, dict(self.headers.items()))
                posted.append((self.headers["webhook-id"], json.loads(body)["type"]))
                if not killed.is_set():
                    # It has it, and the server never learns that.
                    fairline.stop()
                    killed.set()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        receiver = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Receiver)
        self.addCleanup(receiver.server_close)
        self.addCleanup(receiver.shutdown)
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        # It may be killed before it has answered.
        with contextlib.suppress(OSError):
            fairline.ask("POST", f"{self.own}/test", KEY)
        self.assertTrue(killed.wait(60))
        fairline.start(**fairline.settings)
        self.delivered()
        self.assertEqual(len(posted), 2)
        self.assertEqual(posted[0], posted[1])


if __name__ == "__main__":
    unittest.main()
