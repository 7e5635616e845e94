"""Admission tokens, verified by the libraries that docs/integrators.md names, in the way it shows."""

import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import jwt

from common import DOCUMENT, EVENT, HERE, MODULES, Fairline, run

SAMPLES = DOCUMENT.parent / "samples"
JAVA = "javac -cp /usr/share/java/gson.jar *.java && java -cp /usr/share/java/gson.jar:. Verdicts"
# By the name in the document's table: the sample, the program that asks it, and how that is run.
PROGRAMS = {
    "sodium": ("admitted.php", "verdicts.php", "php verdicts.php"),
    "security": ("Admitted.java", "Verdicts.java", JAVA),
    "crypto": ("admitted.go", "verdicts.go", "go run admitted.go verdicts.go"),
}

KEY_FILES = {"EdDSA": "signing-key.pem", "ES256": "signing-key-es256.pem"}


def block(language):
    """The document's one code block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.S)
    return found


def table():
    """What the document says of each library that was tried: (EdDSA, ES256)."""
    rows = re.findall(r"^\| \w+: ([\w-]+) [^|]*\| (yes|no) \| (yes|no) \|", DOCUMENT.read_text(), re.M)
    return {name: {"EdDSA": ed == "yes", "ES256": es == "yes"} for name, ed, es in rows}


def verdicts(fairline, algorithms, tokens):
    """What each library says of each token."""
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        set_up = lambda text: (
            text.replace("http://127.0.0.1:8080", fairline.url)
            .replace("arena-night", EVENT)
            .replace('"EdDSA"', ", ".join(map(json.dumps, algorithms)))
        )
        (folder / "from-document.mjs").write_text(set_up(block("js")))
        (folder / "from_document.py").write_text(set_up(block("python")))
        os.symlink(MODULES, folder / "node_modules")
        asked = {"url": fairline.url, "event": EVENT, "algorithms": algorithms, "tokens": tokens}
        found = {}
        for program, name in [("node", "admitted.mjs"), (sys.executable, "admitted.py")]:
            shutil.copy(HERE / name, folder)
            told = subprocess.run(
                [program, name],
                cwd=folder,
                input=json.dumps(asked),
                stdout=subprocess.PIPE,
                text=True,
                timeout=120,
                check=True,
            )
            found |= json.loads(told.stdout)
        for name, (sample, program, command) in PROGRAMS.items():
            own = folder / name
            own.mkdir()
            (own / sample).write_text(set_up((SAMPLES / sample).read_text()))
            shutil.copy(HERE / program, own)
            lines = "".join(f"{token}\n" for token in tokens)
            # Go keeps compiled packages between runs.
            told = run("sh", "-c", command, cwd=own, input=lines, env={**os.environ, "GO111MODULE": "off"})
            found[name] = [line == "true" for line in told.splitlines()]
        return found
    finally:
        shutil.rmtree(folder)


class Forger:
    """Makes tokens with the key of a server, and without it."""

    def __init__(self, fairline, algorithm):
        self.algorithm = algorithm
        self.private = (fairline.folder / "data" / KEY_FILES[algorithm]).read_text()
        self.public = fairline.get("/.well-known/jwks.json")["keys"][0]
        good = fairline.admit()
        self.header = jwt.get_unverified_header(good)
        self.claims = jwt.decode(good, options={"verify_signature": False})
        assert self.header["alg"] == algorithm, self.header

    def sign(self, header=(), **claims):
        body = {name: claim for name, claim in {**self.claims, **claims}.items() if claim is not None}
        return jwt.encode(body, self.private, self.algorithm, headers={**self.header, **dict(header)})

    def confuse(self, secret):
        """A token whose HMAC has a public key as its secret."""
        encode = lambda part: base64.urlsafe_b64encode(part).rstrip(b"=")
        parts = [{**self.header, "alg": "HS256"}, self.claims]
        signed = b".".join(encode(json.dumps(part).encode()) for part in parts)
        mac = jwt.get_algorithm_by_name("HS256").sign(signed, secret)
        return (signed + b"." + encode(mac)).decode()

    def bad(self):
        now = int(time.time())
        x = base64.urlsafe_b64decode(self.public["x"] + "==")
        good = self.sign()
        head, body, signature = good.split(".")
        flipped = ("B" if signature[10] == "A" else "A") + signature[11:]
        return {
            "another type": self.sign({"typ": "JWT"}),
            "another event": self.sign(aud="other"),
            "another issuer": self.sign(iss="http://evil.example"),
            "too old": self.sign(exp=now - 60),
            "not begun": self.sign(nbf=now + 60, iat=now + 60),
            "a changed signature": f"{head}.{body}.{signature[:10]}{flipped}",
            "no signature": f"{head}.{body}.",
            "a public key as a secret": self.confuse(x),
            "a key set as a secret": self.confuse(json.dumps(self.public).encode()),
            "something to be understood": self.sign({"crit": ["b64"], "b64": True}),
        }


class Tokens(unittest.TestCase):
    def test_each_library_takes_what_the_document_says_and_no_forged_token(self):
        said = table()
        for algorithm in KEY_FILES:
            fairline = Fairline(FAIRLINE_SIGNING_ALGORITHM=algorithm)
            self.addCleanup(fairline.end)
            forger = Forger(fairline, algorithm)
            bad = forger.bad()
            tokens = [fairline.admit(), forger.sign(), *bad.values()]
            found = verdicts(fairline, [algorithm], tokens)
            self.assertEqual(found.keys(), said.keys())
            for library, (real, own, *refused) in found.items():
                good = said[library][algorithm]
                self.assertEqual((real, own), (good, good), f"{library}, {algorithm}")
                taken = [what for what, is_taken in zip(bad, refused) if is_taken]
                self.assertEqual(taken, [], f"{library}, {algorithm}")

    def test_tokens_are_good_for_a_verifier_whose_clock_is_five_seconds_late(self):
        fairline = Fairline()
        self.addCleanup(fairline.end)
        before = int(time.time())
        claims = jwt.decode(fairline.admit(), options={"verify_signature": False})
        self.assertEqual(claims["iat"], claims["nbf"])
        self.assertLessEqual(before - 5, claims["iat"])
        self.assertLessEqual(claims["iat"], int(time.time()) - 5)

    def test_while_the_algorithm_changes_tokens_of_both_kinds_are_good(self):
        fairline = Fairline()
        self.addCleanup(fairline.end)
        tokens = [fairline.admit()]
        for listed in ("EdDSA,ES256", "ES256,EdDSA"):
            fairline.stop()
            fairline.start(FAIRLINE_SIGNING_ALGORITHM=listed)
            tokens.append(fairline.admit())
        algorithms = [jwt.get_unverified_header(token)["alg"] for token in tokens]
        self.assertEqual(algorithms, ["EdDSA", "EdDSA", "ES256"])
        found = verdicts(fairline, ["EdDSA", "ES256"], tokens)
        for library in ("jose", "PyJWT", "joserfc", "Authlib", *PROGRAMS):
            self.assertEqual(found[library], [True, True, True], library)
        for token in tokens:
            opened = fairline.ask("POST", f"/api/v1/events/{EVENT}/sessions", token, {})
            self.assertEqual(opened["event"], EVENT)
        # Once only the new kind is listed, the old one is refused.
        fairline.stop()
        fairline.start(FAIRLINE_SIGNING_ALGORITHM="ES256")
        for library, taken in verdicts(fairline, ["ES256"], tokens).items():
            self.assertEqual(taken, [False, False, True], library)
