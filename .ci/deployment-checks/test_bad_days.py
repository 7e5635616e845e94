"""Bad settings and bad machines: each program says in one sentence which setting is at fault, and ends with 2."""

import os
import subprocess
import unittest
from dataclasses import dataclass, field

from common import BINARIES, run
from processes import Processes, call, free_port, until

NOBODY = 65534
SECRETS = {
    "FAIRLINE_PASS_SECRET": "pass-0123456789abcdef0123456789abcdef",
    "FAIRLINE_SERVICE_KEY": "service-0123456789abcdef0123456789abcdef",
}
PASSWORD = "a-password-that-is-never-shown"
REDIS = {"FAIRLINE_LINE": f"redis://default:{PASSWORD}@127.0.0.1:1"}
WAITING_ROOM = {"FAIRLINE_WAITING_ROOM": "http://127.0.0.1:1"}


@dataclass
class Day:
    """A program with settings, and what it must say: one line for each mistake, beginning with the setting."""

    program: str
    settings: dict
    said: list
    prefix: list = field(default_factory=list)


class BadDays(unittest.TestCase):
    def setUp(self):
        self.processes = self.enterContext(Processes())
        self.folder = self.processes.folder

    def environment(self, settings):
        own = {
            "FAIRLINE_LISTEN": f"127.0.0.1:{free_port()}",
            "FAIRLINE_OPS_LISTEN": f"127.0.0.1:{free_port()}",
            "FAIRLINE_DATA": str(self.folder / "data"),
            "PATH": os.environ["PATH"],
        }
        return {**own, **settings}

    def ends_with_2(self, day):
        done = subprocess.run(
            [*day.prefix, BINARIES / day.program],
            env=self.environment(day.settings),
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 2, done.stderr)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), len(day.said), done.stderr)
        for line, said in zip(lines, day.said):
            self.assertTrue(line.startswith(f"{day.program}: {said}"), line)
        self.assertNotIn(PASSWORD, done.stderr)

    def test_a_missing_or_weak_secret_is_named(self):
        needed = [f"{name}: needed" for name in SECRETS]
        self.ends_with_2(Day("waiting-room", REDIS, needed))
        self.ends_with_2(Day("checkout", WAITING_ROOM, needed))
        weak = {**SECRETS, "FAIRLINE_PASS_SECRET": "short"}
        self.ends_with_2(Day("checkout", {**WAITING_ROOM, **weak}, ["FAIRLINE_PASS_SECRET: "]))
        same = dict.fromkeys(SECRETS, SECRETS["FAIRLINE_PASS_SECRET"])
        for program, more in (("waiting-room", REDIS), ("checkout", WAITING_ROOM)):
            self.ends_with_2(Day(program, {**more, **same}, ["FAIRLINE_"]))

    def test_a_volume_that_is_missing_or_read_only_is_named(self):
        as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        others = self.folder / "of-root"
        others.mkdir()
        settings = {"FAIRLINE_DATA": str(others)}
        self.ends_with_2(Day("fairline", settings, ["FAIRLINE_DATA: "], as_nobody))
        disk = self.folder / "disk"
        disk.mkdir()
        run("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", disk)
        self.addCleanup(run, "umount", disk)
        for folder in (disk, disk / "below"):
            settings = {"FAIRLINE_DATA": str(folder)}
            self.ends_with_2(Day("fairline", settings, ["FAIRLINE_DATA: "]))

    def test_an_authority_that_is_missing_or_an_address_that_is_taken_is_named(self):
        authority = "sslrootcert=/nowhere/ca.pem"
        line = REDIS["FAIRLINE_LINE"].replace("redis:", "rediss:")
        settings = {**SECRETS, "FAIRLINE_LINE": f"{line}?{authority}"}
        self.ends_with_2(Day("waiting-room", settings, ["FAIRLINE_LINE: sslrootcert"]))
        inventory = f"postgres://fairline:{PASSWORD}@127.0.0.1:1/x?sslmode=verify-full&{authority}"
        settings = {**SECRETS, **WAITING_ROOM, "FAIRLINE_INVENTORY": inventory}
        self.ends_with_2(Day("checkout", settings, ["FAIRLINE_INVENTORY: sslrootcert"]))
        address = f"127.0.0.1:{free_port()}"
        settings = {"FAIRLINE_LISTEN": address, "FAIRLINE_OPS_LISTEN": address}
        self.ends_with_2(Day("fairline", settings, ["FAIRLINE_OPS_LISTEN: cannot listen"]))

    def test_a_database_that_is_away_at_the_start_is_named_without_its_password(self):
        inventory = f"postgres://fairline:{PASSWORD}@127.0.0.1:1/x"
        settings = {**SECRETS, **WAITING_ROOM, "FAIRLINE_INVENTORY": inventory}
        self.ends_with_2(Day("checkout", settings, ["FAIRLINE_INVENTORY: 127.0.0.1:1/x"]))

    def test_a_waiting_room_without_its_redis_runs_and_says_that_it_is_not_ready(self):
        environment = self.environment({**SECRETS, **REDIS})
        self.processes.start("room", BINARIES / "waiting-room", environment=environment)
        ops = f"http://{environment['FAIRLINE_OPS_LISTEN']}"
        ready = lambda: call(f"{ops}/readyz")
        until(lambda: "127.0.0.1:1" in ready()[1], says=lambda: self.processes.log("room"))
        self.assertEqual(ready()[0], 503)
        self.assertEqual(call(f"{ops}/livez")[0], 200)
        self.assertNotIn(PASSWORD, ready()[1] + self.processes.log("room"))
        for question, status in (("livez", 0), ("readyz", 1)):
            words = [BINARIES / "waiting-room", "--probe", question]
            done = subprocess.run(words, env=environment, capture_output=True, text=True)
            self.assertEqual(done.returncode, status, done.stdout)
        self.assertIn("127.0.0.1:1", done.stdout)


if __name__ == "__main__":
    unittest.main()
