"""The Compose files, by Compose's own parser."""

import atexit
import functools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml

from common import BINARIES, ROOT, TARGET, VENV

ALL = (("compose.yaml",), ("compose.yaml", "compose.scale.yaml"))

ORGANISER_KEY = "compose-organiser-key-0123456789"
SECRETS = {
    "REDIS_PASSWORD": "redis-password-of-the-checks",
    "POSTGRES_PASSWORD": "postgres-password-of-the-checks",
}
# Needed only by the large set-up.
MORE = {
    "GRAFANA_PASSWORD": "grafana-password-of-the-checks",
    "PAGER_URL": "http://127.0.0.1:9/hook",
}


@functools.cache
def secret_files():
    """A folder of the files that compose/make-secrets makes, where an older .env has an organiser key."""
    folder = tempfile.mkdtemp(prefix="fairline-secrets-", dir=TARGET)
    atexit.register(shutil.rmtree, folder)
    given = {"FAIRLINE_SECRETS": folder, "FAIRLINE_ORGANISER_KEY": ORGANISER_KEY}
    environment = {"PATH": os.environ["PATH"], **SECRETS, **MORE, **given}
    for _ in range(2):
        subprocess.run([ROOT / "compose/make-secrets"], env=environment, check=True)
    return folder


def parse(*files, secrets=SECRETS | MORE):
    """Compose's complaints about the files, and the document. Its status is 0 either way."""
    options = [word for file in files for word in ("-f", str(file))]
    done = subprocess.run(
        [VENV / "bin/docker-compose", *options, "config"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "FAIRLINE_SECRETS": secret_files(), **secrets},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stderr, yaml.safe_load(done.stdout)


class Files(unittest.TestCase):
    def test_compose_understands_them_alone_and_together(self):
        for files in ALL:
            complaint, document = parse(*files)
            self.assertEqual(complaint, "")
            for service, settings in document["services"].items():
                for volume in settings.get("volumes", []):
                    if volume["type"] == "bind":
                        self.assertTrue(pathlib.Path(volume["source"]).exists(), volume["source"])
                        self.assertIs(volume["read_only"], True)
                for other in settings.get("depends_on", {}):
                    self.assertIn(other, document["services"])
        self.assertEqual(document["services"]["waiting-room"]["deploy"]["replicas"], 3)

    def test_a_key_that_does_not_exist_and_a_secret_that_is_not_set_are_refused(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=TARGET) as file:
            file.write((ROOT / "compose.yaml").read_text().replace("healthcheck:", "healthchek:"))
            file.flush()
            self.assertIn("healthchek", parse(file.name)[0])
        for files, secrets in ((ALL[0], SECRETS), (ALL[1], SECRETS | MORE)):
            for secret in secrets:
                rest = {name: value for name, value in secrets.items() if name != secret}
                self.assertIn(f"{secret} is missing a value", parse(*files, secrets=rest)[0])

    def test_each_secret_is_a_file_for_the_user_of_the_image_alone_and_is_named_by_its_setting(self):
        for files in ALL:
            document = parse(*files)[1]
            for service in ("waiting-room", "checkout"):
                settings = document["services"][service]
                for name, value in settings["environment"].items():
                    self.assertNotRegex(name, "(SECRET|KEY|LINE|INVENTORY)$")
                    if name.endswith("_FILE"):
                        self.assertIn(pathlib.Path(value).name, [s["source"] for s in settings["secrets"]])
            for secret in document["secrets"].values():
                file = pathlib.Path(secret["file"])
                self.assertGreaterEqual(len(file.read_text().strip()), 32, file)
                self.assertEqual((file.stat().st_mode & 0o777, file.stat().st_uid), (0o400, 65532))

    def test_only_nginx_is_published_and_its_own_machine_alone_reaches_the_rest(self):
        for files in ALL:
            for service, settings in parse(*files)[1]["services"].items():
                for port in settings.get("ports", []):
                    self.assertIn(service, ("front", "prometheus", "alertmanager", "grafana"))
                    self.assertEqual(port.get("host_ip"), "127.0.0.1", service)

    def test_our_services_have_settings_of_the_program_and_may_write_to_their_volume_alone(self):
        services = parse("compose.yaml")[1]["services"]
        for service, longest in (("waiting-room", 15), ("checkout", 25)):
            settings = services[service]
            known = set(
                re.findall(
                    r"env: (\w+)",
                    subprocess.run(
                        [BINARIES / service, "--help"], capture_output=True, text=True
                    ).stdout,
                )
            )
            used = {name.removesuffix("_FILE") for name in settings["environment"]}
            self.assertLessEqual(used, known)
            self.assertIs(settings["read_only"], True)
            self.assertEqual(settings["cap_drop"], ["ALL"])
            self.assertGreaterEqual(
                int(settings["stop_grace_period"].removesuffix("s")), longest + 5
            )
            self.assertEqual([volume["target"] for volume in settings["volumes"]], ["/data"])


if __name__ == "__main__":
    unittest.main()
