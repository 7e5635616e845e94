"""The checks themselves: each mistake below, made in a copy of the files, turns a check red."""

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from dataclasses import dataclass

from common import ROOT, TARGET

# Paths that the checks read.
FILES = (
    *(".ci", ".github", "Cargo.toml", "Cargo.lock", "Dockerfile", "compose", "compose.yaml"),
    *("compose.scale.yaml", "container", "docs", "k8s", "monitoring", "nginx", "packaging"),
    "shared/src/http/listener.rs",
)
MANIFESTS, COMPOSE, RULES = "test_manifests.", "test_compose.Files.", "test_monitoring.Rules."
DRAWN, POLICIES = "test_monitoring.Pictures.", "test_network.Policies."
SIMULATION, SITE = "test_autoscaling.Simulation.", "test_site.Paths."
CORE_SCHEMA = "Schemas.test_every_document_is_valid"
CUSTOM_SCHEMA = "Schemas.test_every_custom_resource"
RESTRICTED = "Pods.test_no_pod_runs_as_root"


@dataclass
class Mistake:
    """Text of a file, what to write instead (everywhere), and the check that must notice."""

    file: str
    text: str
    instead: str
    check: str


def mistakes():
    base, components, overlays = "k8s/base/", "k8s/components/", "k8s/overlays/"
    in_manifests = (
        (base + "namespace.yaml", "kind: Namespace", "kind: NameSpace", CORE_SCHEMA),
        (base + "waiting-room.yaml", "livenessProbe:", "livenesProbe:", CORE_SCHEMA),
        (base + "waiting-room.yaml", "topologyKey: kub", "topologykey: kub", CORE_SCHEMA),
        (base + "waiting-room.yaml", "readOnlyRootFilesystem: true", "privileged: false", RESTRICTED),
        (base + "waiting-room.yaml", "limits: {memory: 256Mi}", "limits: {}", RESTRICTED),
        (base + "waiting-room.yaml", "terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 20", "Pods.test_the_grace"),
        (base + "checkout.yaml", "sleep: {seconds: 10}", "sleep: {seconds: 1}", "Pods.test_the_grace"),
        (base + "checkout.yaml", "automountServiceAccountToken: false", "automountServiceAccountToken: true", RESTRICTED),
        (base + "checkout.yaml", "FAIRLINE_INVENTORY", "FAIRLINE_INVENTROY", "Pods.test_every_setting"),
        (base + "checkout.yaml", "key: service-key", "key: servicekey", "References.test_config_maps"),
        (base + "checkout.yaml", "value: /run/secrets/fairline/inventory", "value: /run/secrets/inventory", "References.test_config_maps"),
        (base + "waiting-room.yaml", "defaultMode: 0440", "defaultMode: 0444", "References.test_config_maps"),
        (base + "checkout.yaml", "targetPort: http", "targetPort: web", "References.test_services"),
        (base + "front.yaml", "configMap: {name: front}", "configMap: {name: back}", "References.test_config_maps"),
        (base + "front.yaml", "runAsNonRoot: true", "runAsNonRoot: false", RESTRICTED),
        (base + "front.yaml", "maxUnavailable: 1\n  unhealthy", "maxUnavailable: one\n  unhealthy:", CORE_SCHEMA),
        (base + "network.yaml", "port: 9464", "port: 8080", POLICIES + "test_traffic"),
        (base + "network.yaml", "policyTypes: [Ingress, Egress]\n---", "policyTypes: [Egress]\n---", POLICIES + "test_traffic"),
        (components + "stores/network.yaml", "name: waiting-room}", "name: checkout}", POLICIES + "test_traffic"),
        (components + "stores/redis.yaml", "operator: NotIn", "operator: In", "Pods.test_only_stateless"),
        (components + "stores/postgres.yaml", "storage: 20Gi", "storage: [20Gi]", CORE_SCHEMA),
        (components + "spot/spot.yaml", "value: spot,", "value: cheap,", "Pods.test_only_stateless"),
        (components + "ingress/ingress.yaml", "pathType: Prefix", "pathType: Exact", "References.test_the_entrance"),
        (components + "ingress/ingress.yaml", "hosts: [tickets.example]", "hosts: [tickets.test]", "References.test_the_entrance"),
        (components + "ingress/ingress.yaml", "privateKeySecretRef", "privateKeySecret", CUSTOM_SCHEMA),
        (components + "cdn/network.yaml", "except: [10.0.0.0/8, ", "except: [", POLICIES + "test_purges"),
        (components + "cdn/network.yaml", "ipBlock:", "ipblock:", CORE_SCHEMA),
        (components + "cdn/purge-header.yaml", "key: purge-header", "key: header", "References.test_config_maps"),
        (components + "cdn/cdn.env", "FAIRLINE_PURGE_URL", "FAIRLINE_PURGE_URI", "Pods.test_every_setting"),
        (components + "gateway/gateway.yaml", "timeouts: {request: 0s", "timeouts: {request: 30s", "References.test_the_entrance"),
        (components + "gateway/gateway.yaml", "app.kubernetes.io/name: front}", "app.kubernetes.io/name: checkout}", POLICIES + "test_traffic"),
        (components + "gateway/gateway.yaml", "certificateRefs", "certificates", CUSTOM_SCHEMA),
        (components + "keda/scaledobjects.yaml", "minReplicaCount: 3", "minReplicas: 3", CUSTOM_SCHEMA),
        (components + "keda/scaledobjects.yaml", "name: waiting-room}\n  poll", "name: waitingroom}\n  poll", "References.test_services"),
        (components + "hpa/hpa.yaml", "value: 100", "value: 10", "Pods.test_autoscalers"),
        (components + "external-secrets/external-secret.yaml", "secretKey: line,", "secretKey: lines,", "References.test_config_maps"),
        (components + "external-secrets/external-secret.yaml", "refreshInterval", "refresh", CUSTOM_SCHEMA),
        (components + "monitoring/podmonitor.yaml", "scrapeTimeout", "timeout", CUSTOM_SCHEMA),
        (components + "monitoring/rules.yaml", "for: 1m", "for: soon", CUSTOM_SCHEMA),
        (overlays + "small/kustomization.yaml", "newTag: 7.2-alpine", "newTag: latest", RESTRICTED),
        (overlays + "large/stores-network.yaml", "ipBlock: {cidr", "ipBlock: {cdir", CORE_SCHEMA),
    )
    for file, text, instead, check in in_manifests:
        module = "" if check.startswith(POLICIES) else MANIFESTS
        yield Mistake(file, text, instead, module + check)
    elsewhere = (
        (components + "keda/scaledobjects.yaml", '"12000"', '"20000"', SIMULATION + "test_its_numbers"),
        (components + "keda/scaledobjects.yaml", "          6 *", "          2 *", SIMULATION + "test_the_front"),
        ("k8s/autoscaling/simulate.py", "PRE_SCALE = 10", "PRE_SCALE = 5", SIMULATION + "test_with_the_pre_scale"),
        ("docs/performance.md", "3,947 bytes", "4,947 bytes", SIMULATION + "test_its_measured"),
        (base + "front/fairline.conf.template", "(orders|webhooks)", "(orders)", SITE + "test_the_front"),
        ("compose.yaml", "cap_drop: [ALL]", "cap_drops: [ALL]", COMPOSE + "test_compose_understands"),
        ("compose.yaml", "127.0.0.1:8080}:8080", "0.0.0.0:8080}:8080", COMPOSE + "test_only_nginx"),
        ("compose.yaml", "stop_grace_period: 30s", "stop_grace_period: 10s", COMPOSE + "test_our_services"),
        ("compose.yaml", "FAIRLINE_LINE_FILE", "FAIRLINE_LINES_FILE", COMPOSE + "test_our_services"),
        ("compose.yaml", "/run/secrets/line", "/run/secrets/queue", COMPOSE + "test_each_secret"),
        ("compose/make-secrets", "chmod 400", "chmod 444", COMPOSE + "test_each_secret"),
        ("compose.scale.yaml", "./monitoring/rules.yml", "./monitoring/rule.yml", COMPOSE + "test_compose_understands"),
        ("compose.scale.yaml", "depends_on: [sentinel-1,", "depends_on: [sentinel-0,", COMPOSE + "test_compose_understands"),
        ("monitoring/rules.yml", "/ sum(rate", "/ summ(rate", RULES + "test_every_alert_fires"),
        ("monitoring/rules.yml", "docs/operations.md#fairlinenodedown", "docs/operations.md#nodedown", RULES + "test_every_alert_leads"),
        ("monitoring/rules.yml", "{class!=\"browse\"}", "{class=\"browse\"}", RULES + "test_every_alert_fires"),
        ("monitoring/grafana/dashboards/nodes.json", "\"instant\": true", "\"instant\": false", DRAWN + "test_each_panel"),
        ("monitoring/grafana/dashboards/seats.json", "\"title\": \"Held\"", "\"title\": \"On hold\"", DRAWN + "test_those_of_the_documents"),
        ("Dockerfile", "USER 65532:65532\n", "RUN cd /\nUSER 65532:65532\n", "test_image.Dockerfile.test_hadolint"),
        ("Dockerfile", "FROM rust:1.94-", "FROM rust:1.80-", "test_image.Dockerfile.test_it_is_built"),
        (".github/workflows/release.yml", "needs: build\n", "needs: built\n", "test_workflows.Workflows.test_actionlint"),
        (".github/workflows/release.yml", "@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "test_workflows.Workflows.test_zizmor"),
        (".ci/test-long", "failover rolling versions restores", "failover rolling restores", "test_workflows.Workflows.test_the_long_tests"),
        (".ci/test-long", "restores overload night", "restores night", "test_workflows.Workflows.test_the_long_tests"),
        (".github/workflows/ci.yml", "timeout-minutes", "time-out", "test_workflows.Workflows.test_the_schemas"),
        (".github/workflows/ci.yml", "permissions: {}", "permissions: write-all", "test_workflows.Workflows.test_every_action"),
        ("packaging/systemd/fairline@.service", "NoNewPrivileges", "NoNewPriviliges", "test_systemd.Unit.test_systemd"),
        ("packaging/systemd/secrets.conf", "LoadCredential=pass", "LoadCredentials=pass", "test_systemd.Unit.test_systemd"),
        ("packaging/systemd/secrets.conf", "%d/pass-secret", "%d/pass", "test_systemd.Unit.test_secrets"),
        ("packaging/systemd/fairline@.service", "ProtectSystem=strict\n", "", "test_systemd.Unit.test_it_is_exposed"),
    )
    yield from (Mistake(*mistake) for mistake in elsewhere)


def copy_to(folder):
    """A copy of what the checks read."""
    for name in FILES:
        source, target = ROOT / name, f"{folder}/{name}"
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(source, target)


def run_checks(folder, checks):
    """Runs checks of a copy, each named by its module and the beginning of its name; what they print."""
    modules = {check.partition(".")[0] for check in checks}
    patterns = [word for check in checks for word in ("-k", check.partition(".")[2])]
    return subprocess.run(
        [sys.executable, "-B", "-m", "unittest", *sorted(modules), *patterns],
        cwd=f"{folder}/.ci/deployment-checks",
        env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)},
        capture_output=True,
        text=True,
        timeout=600,
    )


def is_missed(mistake):
    """Makes a mistake in a copy and runs its check there. Why it was not noticed, or nothing."""
    with tempfile.TemporaryDirectory(prefix="fairline-mutation-") as copy:
        copy_to(copy)
        with open(f"{copy}/{mistake.file}", "r+") as file:
            text = file.read()
            if mistake.text not in text:
                return "the text is not there any more"
            file.seek(0)
            file.truncate()
            file.write(text.replace(mistake.text, mistake.instead))
        done = run_checks(copy, [mistake.check])
    if done.returncode == 0 or "Ran 0 tests" in done.stderr:
        return f"{mistake.check} has not noticed: {done.stderr[-300:]}"
    return None


class Mutations(unittest.TestCase):
    def test_without_a_mistake_the_checks_of_a_copy_are_green(self):
        checks = sorted({mistake.check for mistake in mistakes()})
        with tempfile.TemporaryDirectory(prefix="fairline-mutation-") as copy:
            copy_to(copy)
            done = run_checks(copy, checks)
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        self.assertIn(f"Ran {len(checks)} tests", done.stderr)

    def test_each_mistake_turns_its_check_red(self):
        every = list(mistakes())
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for mistake, why in zip(every, pool.map(is_missed, every)):
                with self.subTest(file=mistake.file, instead=mistake.instead):
                    self.assertIsNone(why)


if __name__ == "__main__":
    unittest.main()
