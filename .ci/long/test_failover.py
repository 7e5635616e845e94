"""The leader of a Postgres cluster under Patroni is lost in the middle of a sale."""

import socket
import threading
import time
import unittest

from crowd import Crowd, sold_twice
from night import NODES, Night
from processes import call, until

# Sales stand still for no longer than this after the loss of a leader.
GAP_MAX = 30


class Failover(unittest.TestCase):
    def begin(self, night, **crowd):
        night.sale("night", 400, rate_per_minute=600_000, claim_seconds=600, session_seconds=600)
        night.sale("queue", 1, rate_per_minute=0)
        crowd = Crowd(night.url, **crowd)
        crowd.start()
        crowd.goes_on(20)
        return crowd

    def lose_the_leader(self, night, crowd):
        """Kills the leader's machine and waits until the other sells; how long it took."""
        lost, at = night.leader(), time.monotonic()
        night.kill_machine(lost)
        until(lambda: night.leader() not in (None, lost), 60, lambda: night.log("patroni-1"))
        crowd.goes_on(20)
        gap = crowd.longest_gap(at - 5)
        print(f"no order for {gap:.1f} s, {crowd.retries} requests were sent again", flush=True)
        self.assertLessEqual(gap, GAP_MAX)
        return lost

    def test_a_synchronous_cluster_loses_no_order(self):
        with Night() as night:
            night.open()
            crowd = self.begin(night)
            lost = self.lose_the_leader(night, crowd)
            # It comes back as a replica, rewound, while the sale goes on.
            night.start_patroni(lost)
            until(lambda: night.replicas() == 1, 120, lambda: night.log(f"patroni-{lost}"))
            crowd.goes_on(20)
            crowd.stop()
            self.assertEqual(crowd.failures, [])
            for number in range(NODES):
                port = night.ports["checkout", number]
                for order, (status, answer) in crowd.found(f"http://127.0.0.1:{port}"):
                    self.assertEqual((status, answer["state"]), (200, "confirmed"), order)
                self.assertNotIn("lost commits", night.log(f"checkout-{number}"))
            self.assertEqual(sold_twice(crowd.orders), [])
            sales = night.organise("GET", "/events/night/sales")
            self.assertEqual(sales["booked"], 2 * len(crowd.orders))
            self.assertEqual(crowd.lost_places(), [])
            print(f"{len(crowd.orders)} orders were confirmed, and all of them are there")

    def test_nodes_notice_a_failover_that_lost_orders(self):
        switches = []

        def by_switch(port):
            switches.append(Switch(port))
            return switches[-1].port

        with Asynchronous() as night:
            night.open(addresses=by_switch)
            crowd = self.begin(night, may_lose_sessions=True)
            # From here on the leader's commits do not reach the replica.
            switches[night.leader()].cut()
            crowd.goes_on(20)
            known = len(crowd.orders)
            self.lose_the_leader(night, crowd)
            logs = lambda: [night.log(f"checkout-{number}") for number in range(NODES)]
            until(lambda: all("read anew" in log for log in logs()), says=lambda: "".join(logs()))
            # The first that notices says so, and moves the versions of the maps on for all.
            self.assertIn("the database has lost commits", "".join(logs()))
            crowd.stop()
            self.assertEqual(crowd.failures, [])
            urls = [f"http://127.0.0.1:{night.ports['checkout', n]}" for n in range(NODES)]
            views = [crowd.found(url) for url in urls]
            states = [[(status, answer.get("state")) for _, (status, answer) in v] for v in views]
            self.assertEqual(states[0], states[1])
            kept = [order for order, (status, _) in views[0] if status == 200]
            print(f"of {known} orders {len(crowd.orders) - len(kept)} were lost with the leader")
            self.assertLess(len(kept), len(crowd.orders))
            self.assertEqual(sold_twice(kept), [])
            self.assertEqual(set(states[0]) - {(401, None), (404, None)}, {(200, "confirmed")})

            def shown(url):
                seats = call(f"{url}/api/v1/events/night/seats")[1]
                return seats["version"], seats["counts"], seats["seats"]

            until(lambda: shown(urls[0]) == shown(urls[1]))
            booked = 2 * len(kept)
            self.assertEqual(shown(urls[0])[1]["booked"], booked)
            self.assertEqual(night.organise("GET", "/events/night/sales")["booked"], booked)


class Asynchronous(Night):
    """A cluster that answers before a replica has a commit, and promotes one that lacks some."""

    sync_state = "async"

    def patroni_settings(self):
        text = super().patroni_settings()
        text = text.replace("synchronous_mode: true", "synchronous_mode: false")
        return text.replace("failover: 1048576", "failover: 1073741824")


class Switch:
    """A TCP proxy that can be cut."""

    def __init__(self, target):
        self.target, self.sockets = target, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                if self.listener.fileno() == -1:
                    return
                continue
            self.sockets += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self.passes, args=pair, daemon=True).start()

    def passes(self, source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
        except OSError:
            pass
        for end in (source, to):
            end.close()

    def cut(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in self.sockets:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


if __name__ == "__main__":
    unittest.main()
