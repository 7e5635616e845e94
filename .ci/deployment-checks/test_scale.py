"""The Compose files as they are: every service in a container of this machine's programs, through a sale."""

import subprocess
import unittest
import urllib.parse

from containers import Containers
from processes import Processes, buy, call, organise, until
from test_compose import ORGANISER_KEY, SECRETS, parse

KEY = ORGANISER_KEY
LINE = "/api/v1/events/night/line"


def redis(site, service, *words):
    """The answer of a Redis server."""
    command = ["redis-cli", "-h", site.address(service), *words]
    password = {"REDISCLI_AUTH": SECRETS["REDIS_PASSWORD"], "PATH": "/usr/bin"}
    return subprocess.run(command, env=password, capture_output=True, text=True, timeout=30).stdout


def sql(site, service, statement, port=5432):
    """The answer of a Postgres server or of the pooler."""
    password = SECRETS["POSTGRES_PASSWORD"]
    url = f"postgres://fairline:{password}@{site.address(service)}:{port}/fairline"
    done = subprocess.run(["psql", "-At", url, "-c", statement], capture_output=True, text=True)
    return done.stdout.strip()


class Compose(unittest.TestCase):
    def up(self, *files, without=()):
        complaint, document = parse(*files)
        self.assertEqual(complaint, "")
        processes = self.enterContext(Processes())
        site = Containers(processes, document)
        self.addCleanup(site.close)
        site.up(*without)
        url = f"http://{site.address('front')}:8080"
        until(lambda: call(f"{url}/api/v1/events")[0] == 200, says=lambda: site.log("front"))
        organise(url, KEY)
        return site, url

    def test_the_smallest_set_up_sells_seats(self):
        _, url = self.up("compose.yaml")
        buy(url, X_Forwarded_For="203.0.113.7")

    def test_the_large_one_sells_on_while_redis_fails_over_and_the_pooler_restarts(self):
        site, url = self.up("compose.yaml", "compose.scale.yaml", without=("grafana",))
        buy(url, X_Forwarded_For="203.0.113.7")

        # Everything is there: copies of both stores, and every node for Prometheus.
        until(lambda: "connected_slaves:2" in redis(site, "redis", "info", "replication"))
        self.assertEqual(sql(site, "postgres", "select count(*) from pg_stat_replication"), "1")
        orders = "select count(*) from fairline.orders"
        until(lambda: sql(site, "postgres-replica", orders) == "1")
        self.assertEqual(sql(site, "pgbouncer", orders, 6432), "1")
        prometheus = f"http://{site.address('prometheus')}:9090/api/v1"
        query = urllib.parse.urlencode({"query": 'sum(up{job="fairline"})'})
        result = lambda: call(f"{prometheus}/query?{query}")[1]["data"]["result"]
        until(lambda: result() and result()[0]["value"][1] == "6", says=lambda: str(result()))
        until(lambda: call(f"{prometheus}/alertmanagers")[1]["data"]["activeAlertmanagers"])

        # The Redis that has the line is lost: a copy takes its place, and places stay.
        place = call(f"{url}{LINE}", "POST", {}, X_Forwarded_For="203.0.113.8")[1]
        site.kill("redis")
        join = lambda: call(f"{url}{LINE}", "POST", {}, X_Forwarded_For="203.0.113.9")
        later = until(lambda: (answer := join())[0] == 201 and answer[1], 60)
        self.assertGreater(later["number"], place["number"])
        kept = call(f"{url}{LINE}/me", bearer=place["pass"])[1]
        self.assertEqual(kept["number"], place["number"])
        buy(url, X_Forwarded_For="203.0.113.10")
        site.start("redis")
        until(lambda: "role:slave" in redis(site, "redis", "info", "replication"), 60)

        site.kill("pgbouncer")
        site.start("pgbouncer")
        until(lambda: sql(site, "pgbouncer", orders, 6432) == "2")
        hall = lambda: call(f"{url}/api/v1/events/night/seats")
        until(lambda: not hall()[1].get("stale"), says=lambda: site.log("checkout"))
        buy(url, X_Forwarded_For="203.0.113.11")


if __name__ == "__main__":
    unittest.main()
