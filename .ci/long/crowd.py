"""Fans who buy and fans who wait, at a site of which parts come and go. A request without an answer is sent again."""

import collections
import http.client
import random
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from processes import call

# A request that is not answered within this time, however often it was sent, has failed.
PATIENCE = 60
RETRIED = (0, 429, 502, 503, 504)


class Refused(Exception):
    """An answer that no retry mends."""


class Crowd:
    """Buyers in threads of their own, from `start` to `stop`, and fans in line whose places are asked for."""

    def __init__(self, url, buyers=6, waiting=20, may_lose_sessions=False):
        self.url, self.buyers, self.may_lose_sessions = url, buyers, may_lose_sessions
        self.orders, self.failures, self.retries = [], [], 0
        self.stopping = threading.Event()
        self.places = {}
        for _ in range(waiting):
            place = self.ask("POST", "/api/v1/events/queue/line", {})
            self.places[place["pass"]] = place["number"]

    def ask(self, method, path, body=None, bearer=None, key=None):
        key, end = key or str(uuid.uuid4()), time.monotonic() + PATIENCE
        while True:
            try:
                status, answer = call(self.url + path, method, body, bearer, Idempotency_Key=key)
            except (OSError, http.client.HTTPException) as error:
                status, answer = 0, str(error)
            if 200 <= status < 300:
                return answer
            is_running = "running" in (answer.get("type", "") if isinstance(answer, dict) else "")
            if status not in RETRIED and not is_running:
                raise Refused(f"{method} {path}: {status} {answer}", status)
            if time.monotonic() > end:
                raise Refused(f"{method} {path}: still {status} {answer}", status)
            self.retries += 1
            time.sleep(random.uniform(0.1, 0.3))

    def until(self, path, bearer, states):
        end = time.monotonic() + PATIENCE
        while True:
            answer = self.ask("GET", path, None, bearer)
            if answer["state"] in states:
                return answer
            if time.monotonic() > end:
                raise Refused(f"{path} is still {answer['state']}", 0)
            time.sleep(0.2)

    def buy(self):
        """From the line to a confirmed order for two seats."""
        line = "/api/v1/events/night/line"
        place = self.ask("POST", line, {})
        place = self.until(f"{line}/me", place["pass"], ("admitted",))
        while True:
            try:
                return self.shop(place["token"])
            except Refused as refused:
                # Without synchronous replication a failover may lose the session, the hold or the
                # order.
                if not self.may_lose_sessions or refused.args[1] not in (401, 404):
                    raise

    def shop(self, token):
        sessions = "/api/v1/events/night/sessions"
        session = self.ask("POST", sessions, {}, token, key="entry")["session"]
        wish = {"best_available": {"quantity": 2}}
        hold = self.ask("POST", "/api/v1/events/night/holds", wish, session)
        buyer = {"name": "Ada", "email": "ada@example.org"}
        order = self.ask("POST", "/api/v1/orders", {"hold": hold["id"], "buyer": buyer}, session)
        path = f"/api/v1/orders/{order['id']}"
        for _ in range(5):
            card = {"card": "4242424242424242"}
            payment = order["payment"]["id"]
            self.ask("POST", f"/api/v1/payments/simulated/{payment}", card, session)
            order = self.until(path, session, ("confirmed", "declined"))
            if order["state"] == "confirmed":
                seats = [ticket["seat"] for ticket in order["tickets"]]
                return {"path": path, "session": session, "seats": seats, "at": time.monotonic()}
        raise Refused(f"{path} was declined five times", 0)

    def start(self):
        def run():
            while not self.stopping.is_set():
                try:
                    self.orders.append(self.buy())
                except Refused as refused:
                    self.failures.append(refused.args[0])
                except Exception as error:
                    self.failures.append(repr(error))

        self.threads = [threading.Thread(target=run, daemon=True) for _ in range(self.buyers)]
        for thread in self.threads:
            thread.start()

    def goes_on(self, count=10):
        """Waits until that many more orders are confirmed."""
        known, end = len(self.orders), time.monotonic() + PATIENCE
        while len(self.orders) < known + count:
            assert time.monotonic() < end, f"the sale stands still: {self.failures[-3:]}"
            time.sleep(0.1)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE * 3)

    def longest_gap(self, since=0):
        """The longest time between two orders, of those after an instant."""
        times = sorted(order["at"] for order in self.orders if order["at"] >= since)
        return max(later - before for before, later in zip(times, times[1:]))

    def lost_places(self):
        """Fans whose place in line has changed."""
        me = "/api/v1/events/queue/line/me"
        found = {word: self.ask("GET", me, None, word) for word in self.places}
        return [
            (number, found[word])
            for word, number in self.places.items()
            if (found[word]["number"], found[word]["state"]) != (number, "waiting")
        ]

    def found(self, url=None):
        """Each order, and what the site says of it now: a status and a body."""

        def find(order):
            return order, call((url or self.url) + order["path"], bearer=order["session"])

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(find, list(self.orders)))


def sold_twice(orders):
    """Seats that are in two of these orders."""
    counts = collections.Counter(seat for order in orders for seat in order["seats"])
    return [seat for seat, count in counts.items() if count > 1]
