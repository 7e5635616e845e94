"""docs/operations.md: every setting is described, and the pictures are those that their script draws."""

import re
import subprocess
import sys
import unittest

from common import BINARIES, ROOT

sys.path.insert(0, str(ROOT / "docs"))
import topologies  # noqa: E402

OPERATIONS = ROOT / "docs/operations.md"
PROGRAMS = ("fairline", "waiting-room", "checkout", "notifier")


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
                if re.search("(?<!TLS_)KEY|SECRET|_LINE$|INVENTORY|EVENTS$|TOKEN|AUTHORIZATION|_HEADERS?$", variable):
                    words = [BINARIES / program, "--help"]
                    shown = subprocess.run(words, capture_output=True, env={variable: secret})
                    self.assertNotIn(secret.encode(), shown.stdout + shown.stderr, variable)


class LogLines(unittest.TestCase):
    def test_the_tables_have_the_lines_that_the_source_writes_with_their_fields_and_no_others(self):
        written = set()
        for folder in ("shared", "waiting-room", "checkout", "standalone", "brokers", "notifier"):
            for source in (ROOT / folder / "src").rglob("*.rs"):
                written |= set(lines_of(source.read_text()))
        self.assertGreater(len(written), 50)
        rows = (ROOT / "docs/logs.md").read_text().partition("\n## Messages\n")[2]
        rows = re.findall(r"^\| `([A-Z]+)` \| (.*?) \| (.*?) \| .*\|$", rows, re.M)
        listed = {
            (level, message, frozenset(re.findall(r"`(\w+)`", fields)))
            for level, message, fields in rows
        }
        self.assertEqual(len(listed), len(rows), "a line is listed twice")
        self.assertEqual(written - listed, set(), "these are not in docs/logs.md")
        self.assertEqual(listed - written, set(), "nothing writes these")


def lines_of(source):
    """The log lines that a source writes: level, message, names of the fields."""
    for call in re.finditer(r"tracing::(error|warn|info|debug|trace)!\(", source):
        arguments = source[call.end() : closing(source, call.end())]
        fields, message = re.fullmatch(r'(.*?)"([^"{}]*)",?\s*', arguments, re.S).groups()
        # A value ends at a comma that is in no brackets; its field has a name of its own, or the value's.
        flat = re.sub(r"\([^()]*\)", "", fields)
        names = [re.sub(r"=.*|[%?\s]", "", part, flags=re.S) for part in flat.split(",")]
        yield call[1].upper(), message, frozenset(filter(None, names))


def closing(source, start):
    """Where the bracket that was opened just before `start` is closed."""
    depth = 1
    for at in range(start, len(source)):
        depth += {"(": 1, ")": -1}.get(source[at], 0)
        if depth == 0:
            return at
    raise AssertionError("a call does not end")


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
