"""The image: its last stage is built from the debug programs, and a sale goes through the program in it, as its user, on a read-only root."""

import json
import os
import re
from pathlib import Path
import subprocess
import unittest

from common import BINARIES, ROOT, VENV, run
from processes import Processes, buy, call, free_port, organise, until

KEY = "image-organiser-key-0123456789"


def last_stage():
    """The last stage of the Dockerfile, which copies from a folder instead of a stage that needs a registry."""
    text = (ROOT / "Dockerfile").read_text()
    stage = text[text.index("FROM scratch AS image") :]
    assert stage.count(" --from=files ") == 2
    return (
        stage.replace(" --from=files ", " ")
        .replace(" /image/ ", " image/ ")
        .replace(" /data/ /data/", " data/ /data/")
    )


class Image(unittest.TestCase):
    def test_hadolint_has_nothing_to_say(self):
        self.assertEqual(run(VENV / "bin/hadolint", ROOT / "Dockerfile"), "")

    def test_it_is_built_with_the_oldest_rust_that_is_promised(self):
        promised = re.search(r'^rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(), re.M)
        self.assertIn(f"FROM rust:{promised[1]}-", (ROOT / "Dockerfile").read_text())

    def test_the_last_stage_serves_a_sale_as_its_user_on_a_read_only_root(self):
        with Processes() as processes:
            context, programs = processes.folder / "context", processes.folder / "programs"
            (context / "data").mkdir(parents=True)
            programs.mkdir()
            for program in ("fairline", "waiting-room", "checkout"):
                run("strip", "-o", programs / program, BINARIES / program)
            run("sh", ROOT / "container/gather", programs, context / "image")
            (context / "Dockerfile").write_text(last_stage())
            store = [
                "--root",
                processes.folder / "store",
                "--runroot",
                processes.folder / "run",
                "--storage-driver",
                "vfs",
            ]
            buildah = lambda *words: run("buildah", *store, *words)
            buildah(
                "bud",
                "--isolation",
                "chroot",
                "--network",
                "host",
                "-q",
                "-t",
                "localhost/fairline:test",
                context,
            )
            try:
                self.check(processes, buildah)
            finally:
                for container in buildah("containers", "-q").split():
                    buildah("rm", container)
                buildah("rmi", "-a", "-f")

    def check(self, processes, buildah):
        container = buildah("from", "--pull-never", "localhost/fairline:test").strip()
        config = json.loads(buildah("inspect", "--type", "image", "localhost/fairline:test"))[
            "OCIv1"
        ]["config"]
        self.assertEqual(config["User"], "65532:65532")
        self.assertEqual(
            {port.removesuffix("/tcp") for port in config["ExposedPorts"]}, {"8080", "9464"}
        )
        # As the image's user, by the builder itself: each program starts.
        for program in ("fairline", "waiting-room", "checkout"):
            version = buildah(
                "run", "--isolation", "chroot", container, f"/usr/local/bin/{program}", "--version"
            )
            self.assertRegex(version, rf"^{program} \d")
        root = buildah("mount", container).strip()
        for shell in ("bin/sh", "usr/bin/sh", "bin/busybox"):
            self.assertFalse(os.path.exists(f"{root}/{shell}"), shell)
        self.assertTrue(os.path.exists(f"{root}/etc/ssl/certs/ca-certificates.crt"))
        self.assertTrue(os.path.exists(f"{root}/usr/share/zoneinfo/Europe/London"))
        self.assertEqual(os.stat(f"{root}/data").st_uid, 65532)
        rest = sum(f.stat().st_size for f in files(root) if "/usr/local/bin/" not in str(f))
        self.assertLess(rest, 12_000_000, "what the image has besides the programs")

        # A namespace of mounts of its own: the root read-only, /data and nothing else writable, and
        # another user than root.
        data = processes.folder / "data"
        data.mkdir()
        os.chown(data, 65532, 65532)
        port, ops = free_port(), free_port()
        variables = dict(entry.split("=", 1) for entry in config["Env"])
        self.assertEqual(variables["FAIRLINE_LISTEN"], "0.0.0.0:8080")
        variables |= {
            "FAIRLINE_LISTEN": f"0.0.0.0:{port}",
            "FAIRLINE_OPS_LISTEN": f"127.0.0.1:{ops}",
        }
        variables |= {
            "FAIRLINE_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "FAIRLINE_ORGANISER_KEY": KEY,
        }
        script = f'mount --bind {root} {root} && mount -o remount,bind,ro {root} && mount --bind {data} {root}/data && exec chroot --userspec=65532:65532 {root} "$@"'
        in_it = lambda *words: [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
            *words,
        ]
        processes.start(
            "image",
            *in_it(*config["Entrypoint"]),
            environment=variables | {"PATH": os.environ["PATH"]},
        )
        until(
            lambda: call(f"http://127.0.0.1:{ops}/readyz")[0] == 200,
            says=lambda: processes.log("image"),
        )
        url = f"http://127.0.0.1:{port}"
        organise(url, KEY)
        buy(url)
        self.assertTrue((data / "fairline/format").exists())
        # SIGTERM ends it well, as process 1 of a container must.
        self.assertEqual(processes.end("image"), 0)
        # Without a volume there is nothing to write to: one sentence, and status 2.
        elsewhere = subprocess.run(
            [str(w) for w in in_it(*config["Entrypoint"], "--data", "/elsewhere")],
            env=variables | {"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(elsewhere.returncode, 2, elsewhere.stderr)
        self.assertIn("the data folder /elsewhere cannot be made", elsewhere.stderr)
        buildah("umount", container)


def files(root):
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                yield Path(path)


if __name__ == "__main__":
    unittest.main()
