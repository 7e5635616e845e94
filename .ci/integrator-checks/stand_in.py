"""The stand-ins of payment providers, and an endpoint for their webhooks."""

import contextlib
import http.server
import json
import pathlib
import subprocess
import threading
import unittest
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Takes webhooks. The first delivery of each is answered with 500, which asks for it again."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        name, event = self.server.read(body, self.headers)
        with self.server.changed:
            is_new = name not in self.server.seen
            self.server.seen.add(name)
            if not is_new:
                self.server.taken.append(event)
            self.server.changed.notify_all()
        self.send_response(500 if is_new else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


class StandIn(unittest.TestCase):
    """A test against the stand-in of `provider`."""

    provider: str

    @classmethod
    def setUpClass(cls):
        command = ["cargo", "run", "-q", "-p", "testkit", "--bin", f"{cls.provider}-stand-in"]
        pipe = subprocess.PIPE
        cls.process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        cls.url = cls.process.stdout.readline().strip()

    @classmethod
    def tearDownClass(cls):
        cls.process.stdin.close()
        cls.process.wait(10)
        cls.process.stdout.close()

    def tell(self, path, **fields):
        data = urllib.parse.urlencode(fields).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/_test/{path}", data) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            return json.load(error)

    @contextlib.contextmanager
    def webhooks(self, read):
        """Have webhooks sent to an endpoint. `read` takes a body and headers, and returns the
        event's id and the event. Yields a function that waits for events of these types and
        returns all that were taken."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        server.read, server.seen, server.taken, server.changed = read, set(), [], threading.Condition()

        def wait_for(field, kinds):
            with server.changed:
                enough = lambda: {event[field] for event in server.taken} == kinds
                self.assertTrue(server.changed.wait_for(enough, 30), server.taken)
                return list(server.taken)

        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            self.tell("endpoint", url=f"http://127.0.0.1:{server.server_port}/webhooks/{self.provider}", copies=2)
            yield wait_for
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            self.tell("endpoint", url="http://127.0.0.1:1/nowhere")
