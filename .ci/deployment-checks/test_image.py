"""The image: its last stage is built of the debug programs and run as its user on a read-only root."""

import json
import os
import re
import signal
import subprocess
import tarfile
import unittest

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing

from common import BINARIES, ROOT, VENV, run
from processes import Names, Processes, buy, call, free_port, organise, until
from test_site import start_redis

KEY = "image-organiser-key-0123456789"
PROGRAMS = ("fairline", "waiting-room", "checkout", "notifier")
USER = 65532
# A namespace of mounts of its own: the root read-only, a folder at /data, the image's user.
RUN = """mount --bind $0 $0 && mount -o remount,bind,ro $0 && mount --bind $1 $0/data &&
root=$0 && shift && exec chroot --userspec=65532:65532 $root "$@"
"""


def last_stage():
    """The last stage of the Dockerfile, copying from folders, as no base image can be fetched."""
    text = (ROOT / "Dockerfile").read_text()
    stage = text[text.index("FROM scratch AS image") :]
    assert stage.count(" --from=files ") == 2
    stage = stage.replace(" --from=files ", " ")
    return stage.replace(" /image/ ", " image/ ").replace(" /data/ /data/", " data/ /data/")


class Dockerfile(unittest.TestCase):
    def test_hadolint_has_nothing_to_say(self):
        self.assertEqual(run(VENV / "bin/hadolint", ROOT / "Dockerfile"), "")

    def test_it_is_built_with_the_oldest_rust_that_is_promised(self):
        promised = re.search(r'^rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(), re.M)
        self.assertIn(f"FROM rust:{promised[1]}-", (ROOT / "Dockerfile").read_text())


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.processes = cls.enterClassContext(Processes())
        folder = cls.processes.folder
        (folder / "context/data").mkdir(parents=True)
        (folder / "programs").mkdir()
        for program in PROGRAMS:
            run("strip", "-o", folder / "programs" / program, BINARIES / program)
        root = folder / "context/image"
        run("sh", ROOT / "container/gather", folder / "programs", root)
        offline = {**os.environ, "CARGO_NET_OFFLINE": "true"}
        run("sh", ROOT / "container/crates", folder, cwd=ROOT, env=offline)
        bill = run("python3", ROOT / "container/sbom", folder, root)
        (root / "usr/share/sbom").mkdir()
        (root / "usr/share/sbom/fairline.cdx.json").write_text(bill)
        (folder / "context/Dockerfile").write_text(last_stage())
        cls.build(
            "bud",
            "--isolation",
            "chroot",
            "--network",
            "host",
            # The other format has no health check.
            "--format",
            "docker",
            "-q",
            "-t",
            "fl",
            folder / "context",
        )
        cls.addClassCleanup(cls.build, "rmi", "-a", "-f")
        cls.container = cls.build("from", "--pull-never", "localhost/fl").strip()
        cls.addClassCleanup(cls.build, "rm", cls.container)
        cls.root = cls.build("mount", cls.container).strip()
        cls.addClassCleanup(cls.build, "umount", cls.container)
        about = json.loads(cls.build("inspect", "--type", "image", "localhost/fl"))
        cls.config = about["Docker"]["config"]

    @classmethod
    def build(cls, *words):
        folder = cls.processes.folder
        stores = ["--root", folder / "store", "--runroot", folder / "run"]
        return run("buildah", *stores, "--storage-driver", "vfs", *words)

    def setUp(self):
        self.port, self.ops = free_port(), free_port()
        self.data = self.processes.folder / f"data-{self.port}"
        self.data.mkdir()
        os.chown(self.data, USER, USER)
        self.environment = dict(entry.split("=", 1) for entry in self.config["Env"]) | {
            # For the programs that prepare the namespace.
            "PATH": os.environ["PATH"],
            "FAIRLINE_LISTEN": f"0.0.0.0:{self.port}",
            "FAIRLINE_OPS_LISTEN": f"127.0.0.1:{self.ops}",
            "FAIRLINE_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "FAIRLINE_ORGANISER_KEY": KEY,
        }

    def inside(self, *words):
        """The command that runs a program of the image in it."""
        private = ["unshare", "--mount", "--propagation", "private"]
        return [str(word) for word in [*private, "sh", "-c", RUN, self.root, self.data, *words]]

    def ask(self, *words):
        """Status and output of a program that runs to its end."""
        done = subprocess.run(
            self.inside(*words), env=self.environment, capture_output=True, text=True, timeout=30
        )
        return done.returncode, done.stdout

    def start(self, *words):
        self.processes.start("image", *self.inside(*words), environment=self.environment)
        self.addCleanup(
            lambda: "image" in self.processes.running
            and self.processes.end("image", signal.SIGKILL)
        )
        until(
            lambda: call(f"http://127.0.0.1:{self.ops}/readyz")[0] == 200,
            says=lambda: self.processes.log("image"),
        )

    def test_it_has_the_programs_certificates_and_time_zones_and_no_shell(self):
        for program in PROGRAMS:
            words = (
                "run",
                "--isolation",
                "chroot",
                self.container,
                f"/usr/local/bin/{program}",
                "--version",
            )
            self.assertRegex(self.build(*words), rf"^{program} \d")
        for shell in ("bin/sh", "usr/bin/sh", "bin/busybox"):
            self.assertFalse(os.path.exists(f"{self.root}/{shell}"), shell)
        self.assertTrue(os.path.exists(f"{self.root}/etc/ssl/certs/ca-certificates.crt"))
        self.assertTrue(os.path.exists(f"{self.root}/usr/share/zoneinfo/Europe/London"))
        rest = sum(
            os.lstat(path).st_size for path in files(self.root) if "/usr/local/bin/" not in path
        )
        self.assertLess(rest, 12_000_000, "what the image has besides the programs")

    def test_its_user_owns_data_and_its_ports_are_those_of_its_settings(self):
        self.assertEqual(self.config["User"], f"{USER}:{USER}")
        self.assertEqual(os.stat(f"{self.root}/data").st_uid, USER)
        ports = {port.removesuffix("/tcp") for port in self.config["ExposedPorts"]}
        settings = dict(entry.split("=", 1) for entry in self.config["Env"])
        listeners = (settings["FAIRLINE_LISTEN"], settings["FAIRLINE_OPS_LISTEN"])
        self.assertEqual({f"0.0.0.0:{port}" for port in ports}, set(listeners))

    def test_its_labels_say_what_it_is(self):
        labels = self.config["Labels"]
        version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        prefix = "org.opencontainers.image."
        self.assertEqual(labels[f"{prefix}version"], version)
        self.assertEqual(labels[f"{prefix}licenses"], "Apache-2.0")
        self.assertEqual(labels[f"{prefix}title"], "Fairline")

    def test_its_bill_of_materials_is_valid_and_names_every_crate_and_package(self):
        with open(f"{self.root}/usr/share/sbom/fairline.cdx.json") as file:
            text = file.read()
        self.assertIsNone(JsonStrictValidator(SchemaVersion.V1_6).validate_str(text))
        bill = json.loads(text)
        parts = {part["name"]: part for part in bill["components"]}
        self.assertLessEqual({"fairline", "waiting-room", "checkout", "notifier", "tokio", "libc6"}, set(parts))
        # Only in tests, only while building, not ours.
        self.assertFalse({"proptest", "cc", "wasm-bindgen", "sqlx-mysql"} & set(parts))
        references = {part["bom-ref"] for part in bill["components"]}
        needed = {other for entry in bill["dependencies"] for other in entry["dependsOn"]}
        self.assertLessEqual(needed, references)
        licensing = get_spdx_licensing()
        for part in bill["components"]:
            with self.subTest(part=part["bom-ref"]):
                if part["purl"].startswith("pkg:cargo/") and part["type"] == "library":
                    is_ours = part["name"] in ("shared", "client", "brokers")
                    self.assertEqual("hashes" in part, not is_ours)
                    expression = part["licenses"][0]["expression"]
                    self.assertEqual(licensing.validate(expression).errors, [])

    def test_the_archive_of_a_release_has_the_programs_and_is_the_same_each_time(self):
        folder, archives = self.processes.folder, []
        for attempt in ("one", "two"):
            words = ("0.1.0", "x86_64", self.root, folder / attempt)
            run("sh", ROOT / "packaging/archive", *words)
            archives.append(folder / attempt / "fairline-0.1.0-linux-x86_64.tar.gz")
            self.assertTrue((folder / attempt / "fairline-linux-x86_64.cdx.json").exists())
        self.assertEqual(archives[0].read_bytes(), archives[1].read_bytes())
        with tarfile.open(archives[0]) as archive:
            top = "fairline-0.1.0-linux-x86_64"
            for program in PROGRAMS:
                self.assertEqual(archive.getmember(f"{top}/{program}").mode, 0o755)
            self.assertIn(f"{top}/systemd/fairline@.service", archive.getnames())
            self.assertIn(f"{top}/LICENSE", archive.getnames())

    def test_a_sale_goes_through_it_and_sigterm_ends_it_well(self):
        self.start(*self.config["Entrypoint"])
        kind, *check = self.config["Healthcheck"]["Test"]
        self.assertEqual(kind, "CMD")
        self.assertEqual(self.ask(*check), (0, "alive\n"))
        self.assertEqual(self.ask(*self.config["Entrypoint"], "--probe", "readyz"), (0, "ready\n"))
        url = f"http://127.0.0.1:{self.port}"
        organise(url, KEY)
        buy(url)
        self.assertTrue((self.data / "fairline/format").exists())
        self.assertEqual(self.processes.end("image"), 0)
        self.assertEqual(self.ask(*check)[0], 1)

    def test_nothing_but_data_can_be_written_and_it_says_so_and_ends_with_2(self):
        command = self.inside(*self.config["Entrypoint"], "--data", "/tmp/elsewhere")
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=30
        )
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("the data folder /tmp/elsewhere cannot be made", done.stderr)

    def test_it_finds_a_store_by_the_name_of_its_service(self):
        names = Names({"redis.fairline.svc.cluster.local": ["127.0.0.1"]}, ("127.0.5.1", 53))
        self.addCleanup(names.close)
        # Files that the kubelet puts into every container.
        resolver = "search fairline.svc.cluster.local svc.cluster.local\nnameserver 127.0.5.1\noptions ndots:5\n"
        with open(f"{self.root}/etc/resolv.conf", "w") as file:
            file.write(resolver)
        line = start_redis(self.processes, "redis-password-of-the-checks")
        self.environment["FAIRLINE_LINE"] = line.replace("127.0.0.1", "redis")
        self.environment["FAIRLINE_PASS_SECRET"] = "pass-0123456789abcdef0123456789abcdef"
        self.environment["FAIRLINE_SERVICE_KEY"] = "service-0123456789abcdef0123456789abcdef"
        self.start("/usr/local/bin/waiting-room")
        status, answer = call(
            f"http://127.0.0.1:{self.port}/api/v1/organiser/events",
            "POST",
            {"id": "night", "name": "The night"},
            KEY,
        )
        self.assertEqual(status, 201, answer)
        self.assertEqual(self.processes.end("image"), 0)


def files(root):
    for folder, _, names in os.walk(root):
        for name in names:
            yield os.path.join(folder, name)


if __name__ == "__main__":
    unittest.main()
