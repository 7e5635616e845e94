"""A night on the set-up of compose.scale.yaml, in a quarter of an hour: `loadtest night`, a Redis and a node that are lost, a
database that is away for a minute. Prometheus looks on, and its dashboards are drawn into target/night/."""

import sys
import time
import unittest

from common import BINARIES, ROOT, TARGET
from containers import Containers
from processes import Processes, call, until
from test_compose import ORGANISER_KEY, parse

sys.path.insert(0, str(ROOT / "docs"))
import dashboards  # noqa: E402

FANS, SEATS, ADMITTED_A_MINUTE = 1500, 1000, 150
EARLY_SECONDS = 90
LONGEST_SECONDS = 900
# Before the night, and after it.
QUIET_SECONDS = 20
# Panels of what does not happen in this night.
QUIET = {"Blocked", "Events left out", "Refused because of overload, a second"}
QUIET |= {"Connections refused a second", "Conflicts and repeats, a second"}


class Night(unittest.TestCase):
    def test_the_dashboards_show_a_night_with_its_faults(self):
        complaint, document = parse("compose.yaml", "compose.scale.yaml")
        self.assertEqual(complaint, "")
        with Processes() as processes:
            site = Containers(processes, document)
            self.addCleanup(site.close)
            site.up("grafana")
            url = f"http://{site.address('front')}:8080"
            until(lambda: call(f"{url}/api/v1/events")[0] == 200, says=lambda: site.log("front"))
            prometheus = f"http://{site.address('prometheus')}:9090"
            until(lambda: call(f"{prometheus}/-/ready")[0] == 200)
            time.sleep(QUIET_SECONDS)
            began = time.time()
            self.start_fans(processes, url)
            self.faults(site, began + EARLY_SECONDS)
            until(
                lambda: processes.running["loadtest"].poll() is not None,
                LONGEST_SECONDS,
                lambda: processes.log("loadtest"),
            )
            print(processes.log("loadtest"), flush=True)
            self.assertEqual(processes.end("loadtest"), 0, processes.log("loadtest"))
            time.sleep(QUIET_SECONDS)
            folder = TARGET / "night"
            folder.mkdir(exist_ok=True)
            source = dashboards.Source(prometheus, began - QUIET_SECONDS, time.time())
            self.assertEqual(dashboards.draw_all(source, folder, QUIET), [])

    def start_fans(self, processes, url):
        processes.start(
            "loadtest",
            BINARIES / "loadtest",
            *("night", "--url", url, "--addresses", "--fans", FANS, "--seats", SEATS),
            *("--early-seconds", EARLY_SECONDS, "--rate", ADMITTED_A_MINUTE),
            environment={"FAIRLINE_ORGANISER_KEY": ORGANISER_KEY},
        )

    def faults(self, site, opening):
        """What goes wrong, by seconds since the opening of the sale."""
        for seconds, happens in (
            (50, lambda: site.kill("redis")),
            (80, lambda: site.start("redis")),
            (110, lambda: site.kill("waiting-room", 2)),
            (130, lambda: site.start("waiting-room", 2)),
            (160, lambda: site.kill("pgbouncer")),
            (220, lambda: site.start("pgbouncer")),
        ):
            time.sleep(max(0, opening + seconds - time.time()))
            happens()


if __name__ == "__main__":
    unittest.main()
