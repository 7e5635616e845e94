"""docs/operations.md: every setting is described, and the pictures are those that their script draws."""

import re
import subprocess
import sys
import unittest

from common import BINARIES, ROOT

sys.path.insert(0, str(ROOT / "docs"))
import topologies  # noqa: E402

OPERATIONS = ROOT / "docs/operations.md"
PROGRAMS = ("fairline", "waiting-room", "checkout")


def settings(program, environment=None):
    """The settings of a program by their variables: what `--help` says of each."""
    words = [BINARIES / program, "--help"]
    text = subprocess.run(words, capture_output=True, text=True, env=environment or {}).stdout
    found = {}
    for paragraph in re.split(r"\n {6}--|\n  -", text):
        if variable := re.search(r"\[env: (\w+)", paragraph):
            found[variable[1]] = " ".join(paragraph.split())
    return found


def described():
    """The table of settings: default and meaning by variable."""
    table = OPERATIONS.read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = {}
    for row in re.findall(r"^\| (`FAIRLINE_.*?) \| (.*?) \| (.*) \|$", table, re.M):
        for variable in re.findall(r"FAIRLINE_\w+", row[0]):
            rows[variable] = row
    return rows


class Settings(unittest.TestCase):
    def test_every_setting_of_the_programs_is_in_the_table_and_no_other_is(self):
        known = set().union(*(settings(program) for program in PROGRAMS))
        self.assertGreater(len(known), 15)
        self.assertEqual(set(described()), known)

    def test_the_table_has_the_defaults_that_the_programs_name(self):
        for program in PROGRAMS:
            for variable, said in settings(program).items():
                default = re.search(r"\[default: (\d+)\]", said)
                if default:
                    with self.subTest(variable=variable):
                        self.assertIn(f"`{default[1]}`", described()[variable][1])

    def test_help_shows_no_secret_that_is_in_the_environment(self):
        secret = "a-secret-that-is-never-shown"
        for program in PROGRAMS:
            for variable in settings(program):
                # The name of a file is no secret.
                if re.search("(?<!TLS_)KEY|SECRET|_LINE$|INVENTORY|EVENTS|PURGE_HEADER", variable):
                    words = [BINARIES / program, "--help"]
                    shown = subprocess.run(words, capture_output=True, env={variable: secret})
                    self.assertNotIn(secret.encode(), shown.stdout + shown.stderr, variable)


class Pictures(unittest.TestCase):
    def test_they_are_those_that_the_script_draws_and_each_is_shown(self):
        for name, picture in topologies.pictures():
            file = f"pictures/topology-{name}.svg"
            self.assertEqual((ROOT / "docs" / file).read_text(), picture, "run docs/topologies.py")
            self.assertIn(f"]({file})", OPERATIONS.read_text())


class Links(unittest.TestCase):
    def test_every_link_between_documents_leads_to_a_file_and_a_heading(self):
        documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "k8s/README.md"]
        for document in documents:
            text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.M | re.S)
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, anchor = target.partition("#")
                file = (document.parent / path).resolve() if path else document
                with self.subTest(document=document.name, link=target):
                    self.assertTrue(file.exists())
                    if anchor:
                        self.assertIn(anchor, headings(file))


def headings(file):
    """The anchors of a document's headings."""
    found = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
    return {re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in found}


if __name__ == "__main__":
    unittest.main()
