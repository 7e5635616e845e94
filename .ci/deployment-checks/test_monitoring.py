"""Alerts and dashboards: they parse, they fire when they should, and they name metrics that a node really has."""

import http.server
import json
import re
import signal
import socket
import sys
import threading
import unittest
import urllib.parse
import xml.etree.ElementTree

import yaml

from common import ROOT, of_kind, run
from processes import Processes, buy, call, free_port, organise, until
from test_site import start_postgres, start_redis

sys.path.insert(0, str(ROOT / "docs"))
import dashboards  # noqa: E402

MONITORING = ROOT / "monitoring"
DASHBOARDS = sorted((MONITORING / "grafana/dashboards").glob("*.json"))
KEY = "monitoring-organiser-key-0123456789"
# Metrics of cert-manager, of the blackbox exporter and of Prometheus itself.
OF_OTHERS = {
    "ALERTS",
    "certmanager_certificate_expiration_timestamp_seconds",
    "probe_ssl_earliest_cert_expiry",
    "up",
}


def dashboard_expressions():
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", "1m")
                yield f"{path.stem}: {panel['title']}", re.sub(r"\$\w+", ".*", expression)
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                yield (
                    f"{path.stem}: {variable['name']}",
                    re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]["query"])[1],
                )


def documented_metrics():
    """Names of series that docs/metrics.md promises, by the labels that they have."""
    table = re.findall(
        r"^\| `(\w+)` \| (\w+) \|.*?\| ([^|]*) \|", (ROOT / "docs/metrics.md").read_text(), re.M
    )
    names = {}
    for name, kind, labels in table:
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        for suffix in suffixes:
            names[name + suffix] = {*re.findall(r"`(\w+)`", labels)}
            if suffix == "_bucket":
                names[name + suffix].add("le")
    return names


def selectors(expression):
    """Metrics that an expression names, each with the labels that it selects by."""
    without_text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    without_groups = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", "", without_text)
    # Names of records have colons, functions are followed by a bracket, operators have no
    # underscore.
    pattern = r"([a-zA-Z_][\w:]*)(?![\w:(])\s*(?:\{([^}]*)\})?"
    for name, inside in re.findall(pattern, without_groups):
        if ":" not in name and ("_" in name or name in OF_OTHERS):
            yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside))


def rules():
    document = yaml.safe_load((MONITORING / "rules.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


class Rules(unittest.TestCase):
    def test_every_alert_fires_when_it_should_and_not_before(self):
        run("promtool", "check", "rules", MONITORING / "rules.yml")
        tests = ("rules_test.yml", "objectives_test.yml")
        run("promtool", "test", "rules", *tests, cwd=MONITORING)
        text = "".join((MONITORING / name).read_text() for name in tests)
        tested = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts", text))
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


class Names(unittest.TestCase):
    def test_every_metric_and_label_that_is_asked_for_is_documented(self):
        known = documented_metrics()
        expressions = [*dashboard_expressions(), *autoscaler_expressions()]
        expressions += [(rule.get("alert", rule.get("record")), rule["expr"]) for rule in rules()]
        for where, expression in expressions:
            found = list(selectors(expression))
            self.assertTrue(found or "fairline:" in expression, expression)
            for name, labels in found:
                with self.subTest(where=where, name=name):
                    if name not in OF_OTHERS:
                        self.assertIn(name, known)
                        # Prometheus adds the node.
                        self.assertLessEqual(labels - {"instance", "job"}, known[name])

    def test_every_dashboard_has_a_uid_and_a_title_of_its_own_and_panels_that_do_not_overlap(self):
        dashboards = [json.loads(path.read_text()) for path in DASHBOARDS]
        self.assertEqual(len(dashboards), 4)
        for key in ("uid", "title"):
            self.assertEqual(len({dashboard[key] for dashboard in dashboards}), 4)
        for dashboard in dashboards:
            taken = set()
            for panel in dashboard["panels"]:
                at = panel["gridPos"]
                self.assertLessEqual(at["x"] + at["w"], 24)
                cells = {
                    (x, y)
                    for x in range(at["x"], at["x"] + at["w"])
                    for y in range(at["y"], at["y"] + at["h"])
                }
                self.assertFalse(cells & taken, panel["title"])
                taken |= cells


class Invented(dashboards.Source):
    """A Prometheus that has the same few samples for every query."""

    samples = ("0", "2", "1")

    def get(self, path, **parameters):
        if path.startswith("label/"):
            return ["one"]
        names = ("instance", "event", "class", "method", "route", "script", "version")
        values = [[self.start + at * self.step, value] for at, value in enumerate(self.samples)]
        result = {"metric": dict.fromkeys(names, "some"), "value": values[-1], "values": values}
        return {"result": [result]}


class Pictures(unittest.TestCase):
    def test_each_panel_of_each_dashboard_is_drawn(self):
        for path in DASHBOARDS:
            dashboard = json.loads(path.read_text())
            picture, faults = dashboards.draw(dashboard, Invented("", 0, 600))
            self.assertEqual(faults, [])
            self.assertEqual(self.titles(picture), [dashboard["title"], *panels(dashboard)])

    def test_a_panel_without_data_and_one_with_nothing_but_zero_are_faults(self):
        dashboard = json.loads(DASHBOARDS[0].read_text())
        source = Invented("", 0, 600)
        for samples, fault in ((("NaN",), "no data"), (("0", "0"), "nothing but zero")):
            source.samples = samples
            faults = dashboards.draw(dashboard, source)[1]
            self.assertEqual(faults, [f"{title}: {fault}" for title in panels(dashboard)])
        quiet = set(panels(dashboard)[1:])
        self.assertEqual(len(dashboards.draw(dashboard, source, quiet)[1]), 1)

    def test_those_of_the_documents_have_the_panels_that_the_dashboards_have(self):
        text = (ROOT / "docs/dashboards.md").read_text()
        for path in DASHBOARDS:
            dashboard = json.loads(path.read_text())
            file = f"pictures/night-{path.stem}.svg"
            picture = (ROOT / "docs" / file).read_text()
            self.assertEqual(self.titles(picture), [dashboard["title"], *panels(dashboard)], "run docs/night.sh")
            self.assertIn(f"]({file})", text)

    def titles(self, picture):
        """The texts of a picture that name it and its panels."""
        of_titles = ("18", "13")
        texts = [t for t in xml.etree.ElementTree.fromstring(picture).iter() if t.tag.endswith("}text")]
        return [t.text for t in texts if t.get("font-size") in of_titles and t.get("text-anchor") == "start"]


def panels(dashboard):
    """The titles of a dashboard's panels."""
    return [panel["title"] for panel in dashboard["panels"]]


class Queries(unittest.TestCase):
    def test_every_query_of_the_dashboards_and_the_autoscaler_has_a_result(self):
        with Processes() as processes:
            stores = {
                "FAIRLINE_LINE": start_redis(processes, "redis-password-of-the-checks"),
                "FAIRLINE_INVENTORY": start_postgres(processes, "postgres-password-of-the-checks"),
            }
            ops, url = start_node(processes, stores)
            prometheus = start_prometheus(processes, ops)
            organise(url, KEY)
            buy(url)
            # Connections over the limit of an address, for the metric that counts them.
            host = url.removeprefix("http://").split(":")
            sockets = [socket.create_connection((host[0], int(host[1]))) for _ in range(30)]
            refused = re.compile(r"^fairline_connections_refused_total [1-9]", re.M)
            until(lambda: refused.search(call(f"{ops}/metrics")[1]))
            for each in sockets:
                each.close()
            for where, expression in [*dashboard_expressions(), *autoscaler_expressions()]:
                with self.subTest(where=where, expression=expression):
                    query = urllib.parse.urlencode({"query": expression})
                    ask = lambda: call(f"{prometheus}/api/v1/query?{query}")[1]
                    self.assertEqual(ask()["status"], "success", ask())
                    until(lambda: ask()["data"]["result"], says=lambda: expression)
            metrics = call(f"{ops}/metrics")[1]
        routes = set(re.findall(r'route="([^"]*)"', metrics))
        for rule in rules():
            with self.subTest(rule=rule.get("alert", rule.get("record"))):
                for operator, route in re.findall(r'route(=~?)"((?:[^"\\]|\\.)*)"', rule["expr"]):
                    pattern = route.replace("\\\\", "\\") if operator == "=~" else re.escape(route)
                    matching = [known for known in routes if re.fullmatch(pattern, known)]
                    self.assertNotEqual(matching, [], f"no route is {route}")


class Faults(unittest.TestCase):
    def test_when_redis_stops_alertmanager_sends_the_page_with_its_runbook(self):
        received = []

        class Pager(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        pager = http.server.HTTPServer(("127.0.0.1", 0), Pager)
        threading.Thread(target=pager.serve_forever, daemon=True).start()
        self.addCleanup(pager.server_close)
        self.addCleanup(pager.shutdown)
        with Processes() as processes:
            line = start_redis(processes, "redis-password-of-the-checks")
            ops, _ = start_node(processes, {"FAIRLINE_LINE": line})
            alertmanager = start_alertmanager(processes, pager.server_port)
            prometheus = start_prometheus(processes, ops, alertmanager)
            up = urllib.parse.urlencode({"query": 'fairline_store_up{store="line"} == 1'})
            until(lambda: call(f"{prometheus}/api/v1/query?{up}")[1]["data"]["result"])
            processes.end("redis", signal.SIGKILL)
            until(lambda: received, seconds=55, says=lambda: processes.log("prometheus"))
        self.assertEqual([alert["status"] for alert in received[0]["alerts"]], ["firing"])
        alert = received[0]["alerts"][0]
        self.assertEqual(alert["labels"]["alertname"], "FairlineStoreAway")
        self.assertEqual(
            (alert["labels"]["store"], alert["labels"]["severity"]), ("line", "page")
        )
        self.assertEqual(
            alert["annotations"]["runbook_url"], "docs/operations.md#fairlinestoreaway"
        )


def autoscaler_expressions():
    for document in of_kind("large", "ScaledObject"):
        for trigger in document["spec"]["triggers"]:
            if trigger["type"] == "prometheus":
                yield document["metadata"]["name"], trigger["metadata"]["query"]


def start_node(processes, stores=()):
    """The operations and the public URL of a node that allows an address 20 connections."""
    port = free_port()
    settings = {
        "FAIRLINE_ORGANISER_KEY": KEY,
        "FAIRLINE_CONNECTIONS_PER_ADDRESS": "20",
        "FAIRLINE_PASS_SECRET": "pass-secret-of-the-checks-0123456789abcdef",
        "FAIRLINE_SERVICE_KEY": "service-key-of-the-checks-0123456789abcdef",
        **dict(stores),
    }
    return processes.node("fairline", f"127.0.0.1:{port}", settings), f"http://127.0.0.1:{port}"


def start_alertmanager(processes, pager):
    """Alertmanager with our configuration, whose pager is a local port."""
    path, port = processes.folder / "alertmanager.yml", free_port()
    text = (MONITORING / "alertmanager.yml").read_text()
    path.write_text(text.replace("PAGER_URL", f"http://127.0.0.1:{pager}/"))
    processes.start(
        "alertmanager",
        "prometheus-alertmanager",
        f"--config.file={path}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--storage.path=alertmanager",
        "--cluster.listen-address=",
    )
    address = f"127.0.0.1:{port}"
    ready = lambda: call(f"http://{address}/-/ready")[0] == 200
    until(ready, says=lambda: processes.log("alertmanager"))
    return address


def start_prometheus(processes, ops, alertmanager=None):
    """Prometheus with our configuration and rules, looking at one node once a second."""
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    times = ("scrape_interval", "scrape_timeout", "evaluation_interval")
    config["global"] |= dict.fromkeys(times, "1s")
    targets = [alertmanager] if alertmanager else []
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": targets}]}]
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
