"""The simulation of the autoscalers: its numbers are the manifests', its outcome the guide's."""

import datetime
import re
import sys
import unittest
import urllib.parse

from common import ROOT, of_kind
from processes import Processes, call, until
from test_monitoring import KEY, start_node, start_prometheus

sys.path.insert(0, str(ROOT / "k8s/autoscaling"))
import simulate  # noqa: E402


def the(overlay, kind, name):
    return next(d["spec"] for d in of_kind(overlay, kind) if d["metadata"]["name"] == name)


def named(scaled):
    """The triggers of a ScaledObject by their names, or kinds where they have none."""
    return {t.get("name", t["type"]): t["metadata"] for t in scaled["triggers"]}


def pre_scale(scaled):
    """The pods that a ScaledObject asks for ahead of a sale."""
    trigger = named(scaled)["pre-scale"]
    assert trigger["threshold"] == "1", trigger
    return int(re.match(r"\d+ \*", trigger["query"])[0].removesuffix("*"))


class Simulation(unittest.TestCase):
    def test_its_numbers_are_those_of_the_manifests(self):
        requests = the("large", "Deployment", "waiting-room")["template"]["spec"]["containers"][0][
            "resources"
        ]["requests"]
        self.assertEqual(
            requests,
            {
                "cpu": f"{simulate.CPU_REQUEST * 1000:.0f}m",
                "memory": f"{simulate.MEMORY_REQUEST // 1024 // 1024}Mi",
            },
        )
        scaled = the("large", "ScaledObject", "waiting-room")
        self.assertEqual(
            (scaled["minReplicaCount"], scaled["maxReplicaCount"]),
            (simulate.REPLICAS_MIN, simulate.REPLICAS_MAX),
        )
        triggers = named(scaled)
        for figure in ("queue-depth", "sockets"):
            self.assertEqual(int(triggers[figure]["threshold"]), simulate.FANS_TARGET)
        self.assertEqual(pre_scale(scaled), simulate.PRE_SCALE)
        for document in of_kind("large", "ScaledObject"):
            spec = document["spec"]
            self.assertEqual(spec["fallback"]["replicas"], pre_scale(spec))
        self.assertEqual(int(triggers["cpu"]["value"]), round(simulate.CPU_TARGET * 100))
        self.assertEqual(int(triggers["memory"]["value"]), round(simulate.MEMORY_TARGET * 100))
        behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        up = {p["type"]: (p["value"], p["periodSeconds"]) for p in behavior["scaleUp"]["policies"]}
        self.assertEqual(
            up,
            {
                "Percent": (simulate.UP_PERCENT, simulate.UP_SECONDS),
                "Pods": (simulate.UP_PODS, simulate.UP_SECONDS),
            },
        )
        down = behavior["scaleDown"]
        self.assertEqual(
            down["policies"],
            [{"type": "Pods", "value": simulate.DOWN_PODS, "periodSeconds": simulate.DOWN_SECONDS}],
        )
        self.assertEqual(down["stabilizationWindowSeconds"], simulate.DOWN_WINDOW)

    def test_the_front_has_pods_for_all_sockets_of_the_pre_scale(self):
        front = the("large", "ScaledObject", "front")
        pods, sockets = pre_scale(front), int(named(front)["sockets"]["threshold"])
        self.assertGreaterEqual((pods - 1) * sockets, simulate.FANS, "with a pod lost")

    def test_its_measured_figures_are_those_of_the_documents(self):
        performance = (ROOT / "docs/performance.md").read_text()
        self.assertIn(
            f"| server memory for each connected fan, line included, 18,000 fans | {simulate.BYTES_OF_A_FAN:,} bytes",
            performance,
        )
        self.assertIn(
            f"| processor time with 18,000 fans waiting | {simulate.CORES_OF_A_FAN * 18_000:.1%}".replace(
                "%", " %"
            ),
            performance,
        )
        self.assertIn(
            f"| joins, journaled and acknowledged | {round(2 / simulate.CORES_OF_A_JOIN):,} /s",
            performance,
        )

    def test_with_the_pre_scale_capacity_covers_demand_in_every_second_and_the_guide_shows_the_table(
        self,
    ):
        table = simulate.table()
        self.assertIn(
            table, (ROOT / "k8s/README.md").read_text(), f"put this into k8s/README.md:\n{table}"
        )
        rows = re.findall(r"^\| (.+?) \| (.+?) \| (\d+) \| ([\d,]+) \| (\d+) \|$", table, re.M)
        self.assertEqual(len(rows), 2 * len(simulate.CASES))
        for label, _, seconds, fans, _ in rows:
            if "pre-scale" in label:
                self.assertEqual((seconds, fans), ("0", "0"), label)
            else:
                self.assertGreater(int(seconds), 0, f"{label}: then no pre-scale is needed")

    def test_it_tells_a_pre_scale_that_is_too_small(self):
        simulate.PRE_SCALE, kept = 5, simulate.PRE_SCALE
        try:
            seconds, fans, _ = simulate.worst(
                dict(by_line=False, pre_scale=True), simulate.REPLICAS_MIN
            )
        finally:
            simulate.PRE_SCALE = kept
        self.assertGreater(seconds, 0)
        self.assertEqual(fans, simulate.FANS - 5 * simulate.SOCKETS_OF_A_NODE)


class PreScale(unittest.TestCase):
    def test_it_asks_for_its_pods_half_an_hour_before_a_sale_opens_and_for_none_earlier(self):
        with Processes() as processes:
            ops, url = start_node(processes)
            prometheus = start_prometheus(processes, ops)
            scaled = [document["spec"] for document in of_kind("large", "ScaledObject")]
            asked = {named(spec)["pre-scale"]["query"]: pre_scale(spec) for spec in scaled}
            next_sale = lambda: figure(prometheus, "fairline_next_sale_timestamp_seconds")
            until(lambda: next_sale() == 0)
            opens(url, "late", minutes=40)
            until(lambda: next_sale() > 0)
            for query in asked:
                self.assertEqual(figure(prometheus, query), 0)
            opens(url, "soon", minutes=20)
            for query, pods in asked.items():
                until(lambda: figure(prometheus, query) == pods, says=lambda: query)


def opens(url, event, minutes):
    """Creates a sale that opens in some minutes."""
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    settings = {"id": event, "name": event, "sale_opens_at": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    status, answer = call(f"{url}/api/v1/organiser/events", "POST", settings, KEY)
    assert status == 201, answer


def figure(prometheus, query):
    """The value of a query with one result; None if there is no result."""
    words = urllib.parse.urlencode({"query": query})
    result = call(f"{prometheus}/api/v1/query?{words}")[1]["data"]["result"]
    return float(result[0]["value"][1]) if result else None


if __name__ == "__main__":
    unittest.main()
