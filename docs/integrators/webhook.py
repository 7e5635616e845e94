"""Receives the webhooks of Fairline, and acts once on each confirmed order: pip install standardwebhooks"""

import os, sqlite3, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])  # whsec_…
store = sqlite3.connect("consumer.sqlite")
store.execute("create table if not exists done (id text primary key)")


def act(order, data):
    print("confirmed", order, data["total"], flush=True)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(min(length, 1_000_000))
        try:
            event = webhook.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError:
            return self.answer(401)
        with store:  # One transaction for what is done and for the id.
            done = store.execute("insert or ignore into done values (?)", [self.headers["webhook-id"]])
            if done.rowcount and event["type"] == "order.confirmed":
                act(event["data"]["order"], event["data"])
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
