"""Alerts and the dashboard: they parse, they fire when they should, and they name metrics that a node really has."""

import json
import re
import socket
import unittest
import urllib.parse

import yaml

from common import ROOT, of_kind, run
from processes import Processes, buy, call, free_port, organise, until

MONITORING = ROOT / "monitoring"
KEY = "monitoring-organiser-key-0123456789"


def dashboard_expressions():
    dashboard = json.loads((MONITORING / "grafana/night.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m").replace(
                "$event", ".*"
            )
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], re.fullmatch(
                r"label_values\((.*), \w+\)", variable["query"]["query"]
            )[1]


def rules():
    document = yaml.safe_load((MONITORING / "rules.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


class Rules(unittest.TestCase):
    def test_every_alert_fires_when_it_should_and_not_before(self):
        run("promtool", "check", "rules", MONITORING / "rules.yml")
        run("promtool", "test", "rules", "rules_test.yml", cwd=MONITORING)
        tested = set(
            re.findall(
                r"alertname: (\w+)\n\s+exp_alerts", (MONITORING / "rules_test.yml").read_text()
            )
        )
        self.assertEqual({rule["alert"] for rule in rules() if "alert" in rule}, tested)

    def test_every_alert_leads_to_a_section_of_the_runbook(self):
        for rule in rules():
            if "alert" in rule:
                path, anchor = rule["annotations"]["runbook_url"].split("#")
                headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.M)
                self.assertIn(
                    anchor, [re.sub(r"[^\w-]", "", h.lower().replace(" ", "-")) for h in headings]
                )
                self.assertIn(rule["labels"]["severity"], ("page", "ticket"))

    def test_the_rules_of_the_operator_and_the_file_are_the_same(self):
        spec = of_kind("large", "PrometheusRule")[0]["spec"]
        self.assertEqual(spec, yaml.safe_load((MONITORING / "rules.yml").read_text()))

    def test_prometheus_takes_its_configuration(self):
        run("promtool", "check", "config", MONITORING / "prometheus.yml")


class Queries(unittest.TestCase):
    def test_every_query_of_the_dashboard_and_the_autoscaler_has_a_result_and_every_metric_exists(
        self,
    ):
        expressions = [*dashboard_expressions(), *autoscaler_expressions()]
        with Processes() as processes:
            ops, url = start_node(processes)
            prometheus = start_prometheus(processes, ops)
            organise(url, KEY)
            buy(url)
            # Connections over the limit of an address, for the metric that counts them.
            host = url.removeprefix("http://").split(":")
            sockets = [socket.create_connection((host[0], int(host[1]))) for _ in range(30)]
            until(lambda: "connections_refused" in call(f"{ops}/metrics")[1])
            for each in sockets:
                each.close()
            for where, expression in expressions:
                with self.subTest(where=where, expression=expression):
                    query = urllib.parse.urlencode({"query": expression})
                    ask = lambda: call(f"{prometheus}/api/v1/query?{query}")[1]
                    self.assertEqual(ask()["status"], "success", ask())
                    until(lambda: ask()["data"]["result"], says=lambda: expression)
            metrics = call(f"{ops}/metrics")[1]
        names = {re.match(r"\w+", line)[0] for line in metrics.splitlines() if line[:1].isalpha()}
        routes = set(re.findall(r'route="([^"]*)"', metrics))
        for rule in rules():
            with self.subTest(rule=rule.get("alert", rule.get("record"))):
                self.assertLessEqual(set(re.findall(r"\bfairline_\w+", rule["expr"])), names)
                for operator, route in re.findall(r'route(=~?)"((?:[^"\\]|\\.)*)"', rule["expr"]):
                    pattern = route.replace("\\\\", "\\") if operator == "=~" else re.escape(route)
                    matching = [known for known in routes if re.fullmatch(pattern, known)]
                    self.assertNotEqual(matching, [], f"no route is {route}")


def autoscaler_expressions():
    for document in of_kind("large", "ScaledObject"):
        for trigger in document["spec"]["triggers"]:
            if trigger["type"] == "prometheus":
                yield document["metadata"]["name"], trigger["metadata"]["query"]


def start_node(processes):
    """The operations and the public URL of a node that allows an address 20 connections."""
    port = free_port()
    settings = {"FAIRLINE_ORGANISER_KEY": KEY, "FAIRLINE_CONNECTIONS_PER_ADDRESS": "20"}
    return processes.node("fairline", f"127.0.0.1:{port}", settings), f"http://127.0.0.1:{port}"


def start_prometheus(processes, ops):
    """Prometheus with our configuration and rules, looking at one node once a second."""
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config["rule_files"] = [str(MONITORING / "rules.yml")]
    job = config["scrape_configs"][0]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [ops.removeprefix("http://")]}]
    path, port = processes.folder / "prometheus.yml", free_port()
    path.write_text(yaml.safe_dump(config))
    options = [f"--config.file={path}", f"--web.listen-address=127.0.0.1:{port}"]
    processes.start("prometheus", "prometheus", *options, "--storage.tsdb.path=prometheus")
    url = f"http://127.0.0.1:{port}"
    until(lambda: call(f"{url}/-/ready")[0] == 200, says=lambda: processes.log("prometheus"))
    return url


if __name__ == "__main__":
    unittest.main()
