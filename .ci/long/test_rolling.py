"""Every part of a site is restarted, or replaced by another version, while fans buy and wait."""

import os
import pathlib
import signal
import unittest

from crowd import Crowd, sold_twice
from night import BINARIES, FORMAT, NODES, Night
from processes import call, until


class Rolling(unittest.TestCase):
    def begin(self, night):
        night.sale("night", 800, rate_per_minute=600_000, claim_seconds=600, session_seconds=600)
        night.sale("queue", 1, rate_per_minute=0)
        crowd = Crowd(night.url)
        crowd.start()
        crowd.goes_on()
        return crowd

    def step(self, night, crowd, name):
        """Checks that hold after each restart."""
        crowd.goes_on()
        self.assertEqual(crowd.lost_places(), [], name)
        self.assertEqual(crowd.failures, [], name)
        print(f"{name}: {len(crowd.orders)} orders, {crowd.retries} requests sent again", flush=True)

    def finish(self, night, crowd):
        crowd.stop()
        self.assertEqual(crowd.failures, [])
        for order, (status, answer) in crowd.found():
            self.assertEqual((status, answer["state"]), (200, "confirmed"), order)
        self.assertEqual(sold_twice(crowd.orders), [])
        sales = night.organise("GET", "/events/night/sales")
        self.assertEqual(sales["booked"], 2 * len(crowd.orders))

    def replace_nodes(self, night, crowd, binaries, programs=("waiting-room", "checkout")):
        for program, number in night.ports:
            if program not in programs:
                continue
            name = f"{program}-{number}"
            self.assertEqual(night.end(name), 0, name)
            night.binaries[program] = binaries
            night.start_node(program, number)
            self.step(night, crowd, name)

    def test_no_restart_loses_a_place_or_an_order(self):
        with Night() as night:
            night.open()
            crowd = self.begin(night)
            self.replace_nodes(night, crowd, BINARIES)
            night.start("nginx-reload", *night.nginx("-s", "reload"))
            self.step(night, crowd, "nginx, configured anew")
            night.end("nginx", signal.SIGQUIT)
            night.start("nginx", *night.nginx("-g", "daemon off;"))
            self.step(night, crowd, "nginx")
            for _ in range(NODES):
                self.restart_redis(night, crowd)
            night.end("haproxy")
            night.start_haproxy()
            self.step(night, crowd, "haproxy")
            for _ in range(NODES):
                self.restart_postgres(night, crowd)
            self.finish(night, crowd)

    def restart_redis(self, night, crowd):
        """Has the replica take over, and restarts the server that was the master."""
        old = night.redis_master()
        self.assertEqual(night.redis(night.sentinels[0], "sentinel", "failover", "line"), "OK")
        until(lambda: night.redis_master() != old, 60)
        night.end(f"redis-{old}")
        self.step(night, crowd, "redis, failed over")
        new = night.redis_master()
        night.start_redis_server(old, of=new)
        until(
            lambda: "master_link_status:up"
            in night.redis(night.redis_ports[old], "info", "replication")
        )
        is_known = "slaves=1"
        until(lambda: is_known in night.redis(night.sentinels[0], "info", "sentinel"))
        self.step(night, crowd, "redis, restarted")

    def restart_postgres(self, night, crowd):
        """Switches the leader over, and restarts the server that was the leader."""
        old = night.leader()
        names = {"leader": f"patroni-{old}", "candidate": f"patroni-{1 - old}"}
        status, answer = call(f"http://127.0.0.1:{night.apis[old]}/switchover", "POST", names)
        self.assertEqual(status, 200, answer)
        until(lambda: night.leader() == 1 - old, 60, lambda: night.log(f"patroni-{old}"))
        self.step(night, crowd, "postgres, switched over")
        night.end(f"patroni-{old}")
        night.start_patroni(old)
        until(lambda: night.replicas() == 1, 120, lambda: night.log(f"patroni-{old}"))
        self.step(night, crowd, "postgres, restarted")

    def test_nodes_of_two_versions_sell_side_by_side(self):
        before = pathlib.Path(os.environ["FAIRLINE_BEFORE"])
        with Night() as night:
            night.open(binaries=before)
            crowd = self.begin(night)
            if night.line_format() == FORMAT:
                self.replace_nodes(night, crowd, BINARIES)
            else:
                # Nodes of both versions must not share a line.
                refusal = night.refusal_of_a_waiting_room(BINARIES)
                self.assertIn(f"this program knows {FORMAT}", refusal)
                self.step(night, crowd, "a waiting room of the other version is refused")
                self.replace_nodes(night, crowd, BINARIES, ["checkout"])
            self.finish(night, crowd)


if __name__ == "__main__":
    unittest.main()
