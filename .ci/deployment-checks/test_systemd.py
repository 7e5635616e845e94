"""The systemd unit: valid, hardened, and not stricter than what a sale needs."""

import os
import pathlib
import re
import shutil
import subprocess
import unittest

from common import BINARIES, ROOT, run
from processes import Processes, buy, call, free_port, organise, until

UNIT = ROOT / "packaging/systemd/fairline@.service"
KEY = "systemd-organiser-key-0123456789"
NOBODY = 65534
PROGRAMS = ("fairline", "waiting-room", "checkout")


def system_calls(group):
    """The names of the system calls in one of systemd's groups."""
    for line in run("systemd-analyze", "--no-pager", "syscall-filter", group).splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            yield from system_calls(word)
        elif word and not word.startswith("#"):
            yield word


def setting(name):
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.M)


class Unit(unittest.TestCase):
    def instance(self, processes, program):
        """The unit of a program, as systemd reads it once it is installed."""
        path = processes.folder / f"fairline@{program}.service"
        more = processes.folder / f"{path.name}.d"
        more.mkdir()
        shutil.copy(UNIT.with_name("secrets.conf"), more)
        path.write_text(UNIT.read_text().replace("/usr/local/bin/%i", str(BINARIES / program)))
        return path

    def test_systemd_understands_it(self):
        with Processes() as processes:
            for program in PROGRAMS:
                path = self.instance(processes, program)
                run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path)
        user = ROOT / "packaging/systemd/fairline.sysusers"
        run("systemd-sysusers", "--dry-run", user)
        self.assertEqual(setting("User"), [re.search(r"^u (\S+)", user.read_text(), re.M)[1]])

    def test_secrets_are_settings_of_the_programs_and_name_the_files_that_systemd_brings(self):
        more = UNIT.with_name("secrets.conf").read_text()
        brought = set(re.findall(r"^LoadCredential=([a-z-]+):/etc/fairline/secrets/\1$", more, re.M))
        named = dict(re.findall(r"^Environment=(FAIRLINE_\w+)_FILE=%d/([a-z-]+)$", more, re.M))
        self.assertEqual(brought, set(named.values()))
        for program in PROGRAMS:
            said = subprocess.run([BINARIES / program, "--help"], capture_output=True, text=True)
            self.assertLessEqual(set(named), set(re.findall(r"env: (\w+)", said.stdout)))

    def test_it_is_exposed_to_little(self):
        with Processes() as processes:
            path = self.instance(processes, "fairline")
            command = ["systemd-analyze", "--no-pager", "security", "--offline=true"]
            said = run(*command, "--threshold=13", path)
            self.assertIn("OK", said.splitlines()[-1])

    def test_it_leaves_time_for_a_drain(self):
        operations = (ROOT / "docs/operations.md").read_text()
        longest = re.search(r"process,\s+takes (\d+):", operations)[1]
        self.assertGreaterEqual(int(setting("TimeoutStopSec")[0]), int(longest) + 5)

    def test_a_sale_makes_no_system_call_that_it_forbids(self):
        allowed = set(system_calls("@system-service"))
        allowed -= {*system_calls("@privileged"), *system_calls("@resources")}
        self.assertEqual(setting("SystemCallFilter"), ["@system-service", "~@privileged @resources"])
        with Processes() as processes:
            port, ops, folder = free_port(), free_port(), processes.folder / "service"
            folder.mkdir()
            os.chown(folder, NOBODY, NOBODY)
            trace = folder / "trace"
            command = ["strace", "-f", "-qq", "-e", "signal=none", "-o", trace]
            environment = {
                "FAIRLINE_LISTEN": f"127.0.0.1:{port}",
                "FAIRLINE_OPS_LISTEN": f"127.0.0.1:{ops}",
                "FAIRLINE_DATA": str(folder / "data"),
                "FAIRLINE_ORGANISER_KEY": KEY,
            }
            program = [*command, BINARIES / "fairline"]
            # Not as root, for whom SQLite makes further calls.
            processes.start("sale", *program, user=NOBODY, environment=environment)
            ready = lambda: call(f"http://127.0.0.1:{ops}/readyz")[0] == 200
            until(ready, says=lambda: processes.log("sale"))
            organise(f"http://127.0.0.1:{port}", KEY)
            buy(f"http://127.0.0.1:{port}")
            children = pathlib.Path(f"/proc/{processes.running['sale'].pid}/task").glob("*/children")
            for child in " ".join(path.read_text() for path in children).split():
                run("kill", child)
            self.assertEqual(processes.running.pop("sale").wait(timeout=60), 0)
            lines = trace.read_text().splitlines()
        used = {made[1] for line in lines if (made := re.match(r"\d+ +(\w+)\(", line))}
        self.assertIn("fdatasync", used)
        self.assertEqual(used - allowed, set())
        # MemoryDenyWriteExecute.
        self.assertEqual([line for line in lines if "PROT_WRITE|PROT_EXEC" in line], [])


if __name__ == "__main__":
    unittest.main()
