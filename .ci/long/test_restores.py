"""Backups of Postgres and Redis made during a sale, and the sale that goes on from them: as docs/postgres.md and docs/redis.md
say."""

import shutil
import signal
import time
import unittest

from crowd import Crowd, sold_twice
from night import KEY, PASSWORD, POSTGRES, PROGRAMS, SETTINGS
from processes import BINARIES, Processes, call, free_port, until
from common import run


class Sale(Processes):
    """Both services in one process, on one Redis and one Postgres."""

    def open(self):
        self.redis_port, self.postgres_port, self.port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (self.folder / "redis").mkdir()
        self.start_redis()
        for name in ("postgres", "archive"):
            (self.folder / name).mkdir(mode=0o700)
        self.own()
        self.initdb()
        self.start_postgres()
        self.tool("createdb", "fairline")
        self.start_node("fairline")
        self.organise("night", 600_000)
        self.organise("queue", 0)
        self.crowd = Crowd(self.url)
        self.crowd.start()
        self.crowd.goes_on(20)
        return self

    def own(self):
        for name in ("postgres", "archive"):
            run("chown", "-R", "postgres:", self.folder / name)

    def as_postgres(self, *command):
        return ["setpriv", f"--reuid={POSTGRES}", "--regid=postgres", "--clear-groups", *command]

    def tool(self, program, *arguments):
        """Runs one of Postgres' own programs against the server."""
        where = ["-h", "127.0.0.1", "-p", self.postgres_port, "-U", "postgres"]
        return run(*self.as_postgres(PROGRAMS / program), *where, *arguments, cwd="/")

    def psql(self, sql, database="fairline"):
        return self.tool("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql).strip()

    def initdb(self):
        data = self.folder / "postgres/data"
        run(*self.as_postgres(PROGRAMS / "initdb"), "-D", data, "-U", "postgres", cwd="/")
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(
                "listen_addresses = '127.0.0.1'\nunix_socket_directories = '.'\n"
                f"port = {self.postgres_port}\narchive_mode = on\narchive_timeout = 60\n"
                f"archive_command = 'test ! -f {self.folder}/archive/%f && cp %p {self.folder}/archive/%f'\n"
            )

    def start_postgres(self, data="data"):
        command = [PROGRAMS / "postgres", "-D", self.folder / "postgres" / data]
        self.start("postgres", *command, user=POSTGRES)
        until(lambda: self.is_open(), 60, lambda: self.log("postgres"))

    def is_open(self):
        try:
            return self.psql("select not pg_is_in_recovery()", "postgres") == "t"
        except AssertionError:
            return False

    def start_redis(self):
        self.start(
            "redis",
            "redis-server",
            *("--port", self.redis_port, "--bind", "127.0.0.1", "--dir", self.folder / "redis"),
            *("--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"),
        )
        until(lambda: "PONG" in self.redis("ping"))

    def redis(self, *command):
        try:
            return run("redis-cli", "-p", self.redis_port, *command)
        except AssertionError:
            return ""

    def start_node(self, folder, database="fairline"):
        ops = f"127.0.0.1:{free_port()}"
        environment = {
            "FAIRLINE_LISTEN": f"127.0.0.1:{self.port}",
            "FAIRLINE_OPS_LISTEN": ops,
            "FAIRLINE_DATA": str(self.folder / folder),
            "FAIRLINE_LINE": f"redis://127.0.0.1:{self.redis_port}",
            "FAIRLINE_INVENTORY": f"postgres://postgres@127.0.0.1:{self.postgres_port}/{database}",
            "FAIRLINE_CONNECTIONS_PER_ADDRESS": "0",
            **SETTINGS,
        }
        self.start("fairline", BINARIES / "fairline", environment=environment)
        until(lambda: call(f"http://{ops}/readyz")[0] == 200, 60, lambda: self.log("fairline"))

    def organise(self, event, rate):
        admission = {"rate_per_minute": rate, "batch_seconds": 1, "max_active": 100_000}
        admission |= {"claim_seconds": 600, "session_seconds": 600, "away_seconds": 86_400}
        plan = {
            "categories": [{"id": "c", "name": "C", "price": 4500}],
            "sections": [{"id": "s", "category": "c", "rows": 400, "seats_per_row": 50}],
        }
        path = f"{self.url}/api/v1/organiser/events"
        body = {"id": event, "name": "The night", "admission": admission}
        for method, path, body in (("POST", path, body), ("PUT", f"{path}/{event}/seating", plan)):
            status, answer = call(path, method, body, KEY)
            assert status in (200, 201), answer

    def sales(self):
        return call(f"{self.url}/api/v1/organiser/events/night/sales", bearer=KEY)[1]


class Restores(unittest.TestCase):
    def check(self, sale, before):
        """Every order confirmed before the backup is there, and the sale goes on."""
        crowd = Crowd(sale.url, waiting=0)
        crowd.orders = list(before)
        crowd.start()
        crowd.goes_on(20)
        crowd.stop()
        self.assertEqual(crowd.failures, [])
        for order, (status, answer) in crowd.found():
            self.assertEqual((status, answer["state"]), (200, "confirmed"), order)
        self.assertEqual(sold_twice(crowd.orders), [])

    def test_a_dump_made_during_the_sale(self):
        with Sale() as sale:
            sale.open()
            before = list(sale.crowd.orders)
            dump = sale.folder / "postgres/fairline.dump"
            sale.tool("pg_dump", "-d", "fairline", "-Fc", "-n", "fairline", "-f", dump)
            sale.crowd.goes_on(20)
            sale.crowd.stop()
            self.assertEqual(sale.crowd.failures, [])
            sale.end("fairline")
            sale.tool("createdb", "restored")
            sale.tool("pg_restore", "--exit-on-error", "--no-owner", "-d", "restored", dump)
            sale.start_node("fairline", "restored")
            self.assertLess(sale.sales()["booked"], 2 * len(sale.crowd.orders))
            self.check(sale, before)
            self.assertEqual(sale.crowd.lost_places(), [])

    def test_a_point_in_time_before_an_accident(self):
        with Sale() as sale:
            sale.open()
            base = sale.folder / "postgres/base"
            sale.tool("pg_basebackup", "-D", base, "-X", "none", "-c", "fast", "--no-manifest")
            sale.crowd.goes_on(20)
            sale.crowd.stop()
            self.assertEqual(sale.crowd.failures, [])
            before = list(sale.crowd.orders)
            moment = sale.psql("select clock_timestamp()")
            time.sleep(1)
            sale.psql("delete from fairline.ticket; delete from fairline.orders")
            last = sale.psql("select pg_walfile_name(pg_switch_wal())")
            until(lambda: (sale.folder / "archive" / last).exists())
            # The program runs on. It notices by itself that the database went back.
            sale.end("postgres", signal.SIGINT)
            with (base / "postgresql.conf").open("a") as settings:
                settings.write(
                    f"restore_command = 'cp {sale.folder}/archive/%f %p'\n"
                    f"recovery_target_time = '{moment}'\nrecovery_target_action = 'promote'\n"
                )
            (base / "recovery.signal").touch()
            sale.own()
            sale.start_postgres("base")
            until(
                lambda: "another server answers" in sale.log("fairline")
                or "lost commits" in sale.log("fairline"),
                says=lambda: sale.log("fairline"),
            )
            until(lambda: sale.sales().get("booked") == 2 * len(before))
            self.check(sale, before)

    def test_a_copy_of_the_append_only_files(self):
        with Sale() as sale:
            sale.open()
            sale.crowd.stop()
            self.assertEqual(sale.crowd.failures, [])
            sale.redis("config", "set", "auto-aof-rewrite-percentage", "0")
            until(lambda: "aof_rewrite_in_progress:0" in sale.redis("info", "persistence"))
            shutil.copytree(sale.folder / "redis", sale.folder / "copy")
            # All that knows the line is lost at once.
            sale.end("fairline", signal.SIGKILL)
            sale.end("redis", signal.SIGKILL)
            shutil.rmtree(sale.folder / "redis")
            shutil.rmtree(sale.folder / "fairline")
            (sale.folder / "copy").rename(sale.folder / "redis")
            sale.start_redis()
            sale.start_node("fairline")
            self.assertEqual(sale.crowd.lost_places(), [])
            self.check(sale, sale.crowd.orders)


if __name__ == "__main__":
    unittest.main()
