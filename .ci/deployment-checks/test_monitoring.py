"""Alerts and the dashboard: they parse, they fire when they should, and they name metrics that a node really has."""

import json
import re
import socket
import unittest

import yaml

from common import ROOT, of_kind, run
from processes import Processes, buy, call, free_port, organise, until

MONITORING = ROOT / "monitoring"
KEY = "monitoring-organiser-key-0123456789"


def dashboard_expressions():
    dashboard = json.loads((MONITORING / "grafana/night.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m").replace("$event", ".*")
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]["query"])[1]


def rules():
    document = yaml.safe_load((MONITORING / "rules.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


class Rules(unittest.TestCase):
    def test_every_alert_fires_when_it_should_and_not_before(self):
        run("promtool", "check", "rules", MONITORING / "rules.yml")
        run("promtool", "test", "rules", "rules_test.yml", cwd=MONITORING)
        tested = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts", (MONITORING / "rules_test.yml").read_text()))
        self.assertEqual({rule["alert"] for rule in rules() if "alert" in rule}, tested)

    def test_every_alert_leads_to_a_section_of_the_runbook(self):
        for rule in rules():
            if "alert" in rule:
                path, anchor = rule["annotations"]["runbook_url"].split("#")
                headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.M)
                self.assertIn(anchor, [re.sub(r"[^\w-]", "", h.lower().replace(" ", "-")) for h in headings])
                self.assertIn(rule["labels"]["severity"], ("page", "ticket"))

    def test_the_rules_of_the_operator_and_the_file_are_the_same(self):
        spec = of_kind("large", "PrometheusRule")[0]["spec"]
        self.assertEqual(spec, yaml.safe_load((MONITORING / "rules.yml").read_text()))

    def test_prometheus_takes_its_configuration(self):
        run("promtool", "check", "config", MONITORING / "prometheus.yml")


class Names(unittest.TestCase):
    def test_every_expression_parses_and_every_metric_and_label_is_one_of_a_running_node(self):
        queries = [
            trigger["metadata"]["query"] for d in of_kind("large", "ScaledObject") for trigger in d["spec"]["triggers"] if trigger["type"] == "prometheus"
        ]
        expressions = [*dashboard_expressions(), *(("ScaledObject", query) for query in queries)]
        with Processes() as processes:
            checked = {"groups": [{"name": "all", "rules": [{"record": f"x{at}", "expr": e} for at, (_, e) in enumerate(expressions)]}]}
            path = processes.folder / "expressions.yml"
            path.write_text(yaml.safe_dump(checked))
            run("promtool", "check", "rules", path)
            metrics = self.metrics_after_a_sale(processes)
        names = {re.match(r"\w+", line)[0] for line in metrics.splitlines() if line and not line.startswith("#")}
        expressions += [(rule.get("alert", rule.get("record")), rule["expr"]) for rule in rules()]
        routes = set(re.findall(r'route="([^"]*)"', metrics))
        for where, expression in expressions:
            with self.subTest(where=where):
                used = set(re.findall(r"\bfairline_\w+", expression))
                self.assertLessEqual(used, names)
                for operator, route in re.findall(r'route(=~?)"((?:[^"\\]|\\.)*)"', expression):
                    matching = {r for r in routes if (re.fullmatch(route.replace("\\\\", "\\"), r) if operator == "=~" else r == route)}
                    self.assertNotEqual(matching, set(), f"no route is {route}")

    def metrics_after_a_sale(self, processes):
        """What a node says after a sale in which connections over its limit came, too."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        settings = {"FAIRLINE_ORGANISER_KEY": KEY, "FAIRLINE_CONNECTIONS_PER_ADDRESS": "20"}
        ops = processes.node("fairline", f"127.0.0.1:{port}", settings)
        organise(url, KEY)
        buy(url)
        sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
        metrics = until(lambda: all(word in (text := call(f"{ops}/metrics")[1]) for word in ("fairline_waiting{", "connections_refused")) and text)
        for each in sockets:
            each.close()
        return metrics


if __name__ == "__main__":
    unittest.main()
