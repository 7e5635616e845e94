"""The manifests of k8s/: by schema, and by what they say of each other and of the program."""

import base64
import copy
import functools
import json
import re
import shutil
import subprocess
import tempfile
import unittest

import kubernetes_validate
import kubernetes_validate.utils
import yaml

from common import BINARIES, NPM, OVERLAYS, RENDERINGS, ROOT, VENV, name, of_kind, rendered, run

# The validator would read all definitions of a version again for each document.
kubernetes_validate.utils.schema_contents = functools.cache(
    kubernetes_validate.utils.schema_contents
)

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
PODS = ("Deployment", "StatefulSet")
SPOT = "karpenter.sh/capacity-type"
# Groups that the API server knows without a custom resource definition.
CORE = re.compile(r"^(v1|[a-z]+/v\d+|[a-z.]+\.k8s\.io/v\d+)$")


def is_core(document):
    return bool(CORE.match(document["apiVersion"])) and not document["apiVersion"].startswith(
        "gateway."
    )


def check_custom(documents):
    done = subprocess.run(
        ["node", ROOT / ".ci/deployment-checks/crds.mjs"],
        cwd=NPM,
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stderr if done.returncode else ""


def pods(overlay):
    for document in of_kind(overlay, *PODS):
        yield document, document["spec"]["template"]


def selects(selector, labels):
    wanted = selector.get("matchLabels", {}).items()
    if not all(labels.get(key) == value for key, value in wanted):
        return False
    return all(
        labels.get(e["key"]) in e["values"]
        for e in selector.get("matchExpressions", [])
        if e["operator"] == "In"
    )


def made_by_the_guide():
    """The Secrets that the commands of k8s/README.md make, each with what is in it. The other commands need a cluster."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", (ROOT / "k8s/README.md").read_text(), re.M | re.S)
    script = "".join(block for block in blocks if "create secret generic" in block)
    script = re.sub(r"^kubectl apply .*$", "", script, flags=re.M)
    kubectl = f'kubectl() {{ echo ---; {VENV}/bin/kubectl "$@" --dry-run=client -o json; }}\n'
    documents = yaml.safe_load_all(run("bash", "-euc", kubectl + script))
    decode = lambda data: {key: base64.b64decode(word).decode() for key, word in data.items()}
    return {document["metadata"]["name"]: decode(document["data"]) for document in documents}


def quantity(text):
    """Cores of a quantity of processors, GiB of one of memory."""
    for unit, factor in (("m", 0.001), ("Mi", 1 / 1024), ("Gi", 1)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)


class Schemas(unittest.TestCase):
    def test_every_document_is_valid_in_each_kubernetes_version_with_unknown_keys_refused(self):
        documents = [d for overlay in RENDERINGS for d in rendered(overlay) if is_core(d)]
        # Documents that both overlays share are checked once.
        for document in {json.dumps(d): d for d in documents}.values():
            for version in VERSIONS:
                with self.subTest(document=name(document), version=version):
                    kubernetes_validate.validate(document, version, strict=True)

    def test_every_custom_resource_is_valid_with_unknown_keys_refused(self):
        documents = [d for overlay in RENDERINGS for d in rendered(overlay) if not is_core(d)]
        kinds = {d["kind"] for d in documents}
        expected = {
            "ScaledObject",
            "PodMonitor",
            "PrometheusRule",
            "Gateway",
            "HTTPRoute",
            "Certificate",
            "Issuer",
            "ClusterIssuer",
            "ExternalSecret",
        }
        self.assertEqual(kinds, expected)
        self.assertEqual(check_custom(documents), "")

    def test_the_validators_refuse_a_key_that_does_not_exist_anywhere_in_a_document(self):
        deployment = copy.deepcopy(of_kind("small", "Deployment")[0])
        deployment["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFileSystem"] = True
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)
        scaled = copy.deepcopy(of_kind("large", "ScaledObject")[0])
        scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behaviour"] = {}
        self.assertIn("behaviour", check_custom([scaled]))
        wrong = copy.deepcopy(of_kind("large", "ScaledObject")[0])
        wrong["spec"]["maxReplicaCount"] = "twenty"
        self.assertIn("maxReplicaCount", check_custom([wrong]))


class References(unittest.TestCase):
    def test_config_maps_and_secrets_exist_or_are_made_by_the_commands_of_the_readme(self):
        made = made_by_the_guide()
        for overlay in RENDERINGS:
            maps = {d["metadata"]["name"]: d["data"] for d in of_kind(overlay, "ConfigMap")}
            external = {
                d["spec"]["target"]["name"]: {e["secretKey"] for e in d["spec"]["data"]}
                for d in of_kind(overlay, "ExternalSecret")
            }
            for document, template in pods(overlay):
                spec = template["spec"]
                for volume in spec.get("volumes", []):
                    if "configMap" in volume:
                        self.assertIn(volume["configMap"]["name"], maps, name(document))
                    if "secret" in volume:
                        self.check_files(document, spec, volume, made, external)
                for container in spec["containers"]:
                    for source in container.get("envFrom", []):
                        self.assertIn(source["configMapRef"]["name"], maps, name(document))
                    for entry in container.get("env", []):
                        secret = entry.get("valueFrom", {}).get("secretKeyRef")
                        if secret and secret["name"] in external:
                            self.assertIn(secret["key"], external[secret["name"]], name(document))
                        if secret:
                            self.assertIn(secret["key"], made[secret["name"]], name(document))
        # The stores ask for the passwords that are in the services' addresses.
        self.assertIn(made["fairline-stores"]["redis-password"], made["fairline"]["line"])
        self.assertIn(made["fairline-stores"]["postgres-password"], made["fairline"]["inventory"])

    def check_files(self, document, spec, volume, made, external):
        """Each file of a Secret is one that the guide or the vault makes, is named by a setting, and is read by the pod's
        group alone."""
        secret, container = volume["secret"], spec["containers"][0]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        settings = {entry.get("value"): entry["name"] for entry in container["env"]}
        known = set(made[secret["secretName"]])
        known &= external.get(secret["secretName"], known)
        for item in secret["items"]:
            self.assertIn(item["key"], known, name(document))
            setting = settings.get(f"{mounts[volume['name']]}/{item['path']}", "")
            self.assertRegex(setting, "^FAIRLINE_[A-Z_]+_FILE$", name(document))
        self.assertEqual(secret["defaultMode"], 0o440)
        self.assertEqual(spec["securityContext"]["fsGroup"], spec["securityContext"]["runAsUser"])

    def test_no_secret_of_the_program_stands_in_the_environment(self):
        for overlay in RENDERINGS:
            for document, template in pods(overlay):
                for container in template["spec"]["containers"]:
                    for entry in container.get("env", []):
                        if entry["name"].startswith("FAIRLINE_"):
                            self.assertNotIn("valueFrom", entry, name(document))

    def test_the_commands_of_the_guide_name_the_site_and_the_image_everywhere(self):
        commands = re.findall(r"^sed -i .*$", (ROOT / "k8s/README.md").read_text(), re.M)
        self.assertEqual(len(commands), 2)
        with tempfile.TemporaryDirectory() as copy:
            shutil.copytree(ROOT / "k8s", f"{copy}/k8s")
            for command in commands:
                command = command.replace("YOUR.HOST.NAME", "shop.test").replace("REGISTRY", "r.test")
                run("bash", "-ec", command, cwd=copy)
            for overlay in OVERLAYS:
                text = run(VENV / "bin/kubectl", "kustomize", f"{copy}/k8s/overlays/{overlay}")
                self.assertNotIn("tickets.example", text)
                self.assertNotIn("registry.example", text)
                self.assertIn("https://shop.test", text)
                self.assertIn("image: r.test/fairline:0.1.0", text)

    def test_services_budgets_policies_and_autoscalers_find_their_pods(self):
        for overlay in RENDERINGS:
            labels = {name(d): t["metadata"]["labels"] for d, t in pods(overlay)}
            ports = {
                name(d): {p["name"] for c in t["spec"]["containers"] for p in c["ports"]}
                for d, t in pods(overlay)
            }
            for document in rendered(overlay):
                spec = document.get("spec", {})
                if document["kind"] == "Service":
                    found = [
                        n
                        for n, l in labels.items()
                        if selects({"matchLabels": spec["selector"]}, l)
                    ]
                    self.assertEqual(len(found), 1, name(document))
                    self.assertLessEqual(
                        {p["targetPort"] for p in spec["ports"]}, ports[found[0]], name(document)
                    )
                if document["kind"] == "PodDisruptionBudget":
                    self.assertEqual(
                        sum(selects(spec["selector"], l) for l in labels.values()),
                        1,
                        name(document),
                    )
                if document["kind"] in ("NetworkPolicy", "PodMonitor"):
                    selector = spec.get("podSelector", spec.get("selector"))
                    # Pods that cert-manager and a gateway's controller start.
                    is_others = re.search("acme|gateway-name", json.dumps(selector))
                    self.assertTrue(
                        is_others or any(selects(selector, l) for l in labels.values()),
                        name(document),
                    )
                if document["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
                    target = spec["scaleTargetRef"]
                    self.assertIn(f"{target['kind']}/{target['name']}", labels, name(document))
                    deployment = next(
                        d for d, _ in pods(overlay) if d["metadata"]["name"] == target["name"]
                    )
                    self.assertNotIn(
                        "replicas",
                        deployment["spec"],
                        f"{name(document)} would be overruled by each apply",
                    )

    def test_the_entrance_passes_every_path_of_the_public_host_to_the_front(self):
        for overlay in OVERLAYS:
            settings = next(
                d["data"]
                for d in of_kind(overlay, "ConfigMap")
                if "FAIRLINE_PUBLIC_URL" in d["data"]
            )
            host = settings["FAIRLINE_PUBLIC_URL"].removeprefix("https://")
            for ingress in of_kind(overlay, "Ingress"):
                rules = [
                    (r["host"], p["path"], p["pathType"], p["backend"]["service"]["name"])
                    for r in ingress["spec"]["rules"]
                    for p in r["http"]["paths"]
                ]
                self.assertEqual(rules, [(host, "/", "Prefix", "front")])
                self.assertEqual([tls["hosts"] for tls in ingress["spec"]["tls"]], [[host]])
            for gateway in of_kind(overlay, "Gateway"):
                self.assertEqual(
                    {listener["hostname"] for listener in gateway["spec"]["listeners"]}, {host}
                )
            routes = [d["spec"] for d in of_kind(overlay, "HTTPRoute")]
            for route in routes:
                self.assertEqual(route["hostnames"], [host])
            passed = [rule for route in routes for rule in route["rules"] if "backendRefs" in rule]
            for rule in passed:
                self.assertEqual(
                    [match["path"] for match in rule["matches"]],
                    [{"type": "PathPrefix", "value": "/"}],
                )
                self.assertEqual(rule["backendRefs"], [{"name": "front", "port": 80}])
                self.assertEqual(rule["timeouts"], {"request": "0s", "backendRequest": "0s"})
            self.assertEqual(len(passed) + len(of_kind(overlay, "Ingress")), 1, "one way in")


class Pods(unittest.TestCase):
    def test_no_pod_runs_as_root_writes_to_its_image_or_has_a_token(self):
        for overlay in RENDERINGS:
            for document, template in pods(overlay):
                spec = template["spec"]
                with self.subTest(overlay=overlay, pod=name(document)):
                    self.assertIs(spec["automountServiceAccountToken"], False)
                    self.assertIs(spec["securityContext"]["runAsNonRoot"], True)
                    self.assertEqual(
                        spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"}
                    )
                    for container in spec["containers"]:
                        context = container["securityContext"]
                        self.assertIs(context["readOnlyRootFilesystem"], True)
                        self.assertIs(context["allowPrivilegeEscalation"], False)
                        self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                        self.assertIn("memory", container["resources"]["limits"])
                        self.assertLessEqual(
                            {"cpu", "memory"}, set(container["resources"]["requests"])
                        )
                        self.assertIn("livenessProbe", container)
                        self.assertIn("readinessProbe", container)
                        self.assertRegex(
                            container["image"],
                            r":[0-9][\w.-]*$",
                            "an image without a version of its own",
                        )

    def test_the_grace_period_is_longer_than_the_drain_of_the_program(self):
        listener = (ROOT / "shared/src/http/listener.rs").read_text()
        drain = int(
            re.search(r"const DRAIN: Duration = Duration::from_secs\((\d+)\);", listener)[1]
        )
        operations = (ROOT / "docs/operations.md").read_text()
        stopping = re.search(
            r"A waiting room takes (\d+) seconds\s+at\s+the\s+latest\.\s+A\s+checkout,\s+or\s+both\s+in\s+one\s+process,\s+takes (\d+)",
            operations,
        )
        self.assertEqual(int(stopping[1]), drain, "docs/operations.md and listener.rs")
        longest = {"waiting-room": int(stopping[1]), "checkout": int(stopping[2])}
        front = (ROOT / "k8s/base/front/nginx.conf").read_text()
        longest["front"] = int(re.search(r"worker_shutdown_timeout (\d+)s;", front)[1])
        for overlay in OVERLAYS:
            for document in of_kind(overlay, "Deployment"):
                spec = document["spec"]["template"]["spec"]
                wait = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
                self.assertGreaterEqual(wait, 5, "until it is taken out of its Service")
                drain = longest[document["metadata"]["name"]]
                self.assertGreaterEqual(
                    spec["terminationGracePeriodSeconds"], wait + drain + 5, name(document)
                )

    def test_only_stateless_parts_may_run_on_spot_machines(self):
        for overlay in OVERLAYS:
            for document, template in pods(overlay):
                spec = template["spec"]
                nodes = spec.get("affinity", {}).get("nodeAffinity", {})
                tolerated = {
                    (t["key"], t.get("value", t["operator"])) for t in spec.get("tolerations", [])
                }
                with self.subTest(overlay=overlay, pod=name(document)):
                    if document["kind"] == "StatefulSet":
                        never = nodes["requiredDuringSchedulingIgnoredDuringExecution"]
                        (term,) = never["nodeSelectorTerms"]
                        spot = {"key": SPOT, "operator": "NotIn", "values": ["spot"]}
                        self.assertEqual(term["matchExpressions"], [spot])
                        self.assertEqual(tolerated, {("fairline.example/stores", "Exists")})
                    elif overlay == "large":
                        (rather,) = nodes["preferredDuringSchedulingIgnoredDuringExecution"]
                        spot = {"key": SPOT, "operator": "In", "values": ["spot"]}
                        self.assertEqual(rather["preference"]["matchExpressions"], [spot])
                        self.assertEqual(tolerated, {(SPOT, "spot")})
                    else:
                        self.assertEqual((nodes, tolerated), ({}, set()))

    def test_every_setting_of_the_manifests_is_one_of_the_program(self):
        for program in ("waiting-room", "checkout"):
            known = set(
                re.findall(
                    r"env: (\w+)",
                    subprocess.run(
                        [BINARIES / program, "--help"], capture_output=True, text=True
                    ).stdout,
                )
            )
            for overlay in RENDERINGS:
                maps = {d["metadata"]["name"]: d["data"] for d in of_kind(overlay, "ConfigMap")}
                document = next(
                    d for d in of_kind(overlay, "Deployment") if d["metadata"]["name"] == program
                )
                container = document["spec"]["template"]["spec"]["containers"][0]
                used = {e["name"].removesuffix("_FILE") for e in container["env"]} | {
                    key for s in container["envFrom"] for key in maps[s["configMapRef"]["name"]]
                }
                self.assertLessEqual({u for u in used if u.startswith("FAIRLINE_")}, known)

    def test_the_guide_names_the_room_that_the_pods_ask_for(self):
        guide = (ROOT / "k8s/README.md").read_text()
        room = re.search(
            r"`small` asks for (\d+) cores and (\d+) GiB, `large` .*? for (\d+) cores and (\d+) GiB",
            guide,
        )
        counts = {part: int(n) for n, part in re.findall(r"(\d+) (waiting rooms|`front`|checkouts)", guide)}
        large = {"waiting-room": counts["waiting rooms"], "front": counts["`front`"], "checkout": counts["checkouts"]}
        asked = []
        for overlay in OVERLAYS:
            cores = gibibytes = 0
            for document, template in pods(overlay):
                part, kind = document["metadata"]["name"], document["kind"]
                count = 1 if kind == "StatefulSet" else 3 if overlay == "small" else large[part]
                requests = template["spec"]["containers"][0]["resources"]["requests"]
                cores += count * quantity(requests["cpu"])
                gibibytes += count * quantity(requests["memory"])
            asked += [round(cores), round(gibibytes)]
        self.assertEqual([int(figure) for figure in room.groups()], asked)

    def test_autoscalers_grow_fast_and_shrink_slowly_as_both_kinds_agree(self):
        by_memory = {
            d["metadata"]["name"]: d["spec"] for d in of_kind("small", "HorizontalPodAutoscaler")
        }
        by_line = {d["metadata"]["name"]: d["spec"] for d in of_kind("large", "ScaledObject")}
        self.assertEqual(set(by_memory), set(by_line))
        for part, spec in by_memory.items():
            other = by_line[part]
            self.assertEqual(
                spec["behavior"], other["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
            )
            self.assertEqual(
                (spec["minReplicas"], spec["maxReplicas"]),
                (other["minReplicaCount"], other["maxReplicaCount"]),
            )
            self.assertEqual((spec["minReplicas"], spec["maxReplicas"]), (3, 20))
            targets = {
                m["resource"]["name"]: m["resource"]["target"]["averageUtilization"]
                for m in spec["metrics"]
            }
            self.assertEqual(targets, {"cpu": 70, "memory": 80})
            same = {
                t["type"]: int(t["metadata"]["value"])
                for t in other["triggers"]
                if t["type"] in ("cpu", "memory")
            }
            self.assertEqual(same, targets)
            fast = {
                (p["type"], p["value"], p["periodSeconds"])
                for p in spec["behavior"]["scaleUp"]["policies"]
            }
            self.assertEqual(fast, {("Percent", 100, 15), ("Pods", 4, 15)})


if __name__ == "__main__":
    unittest.main()
