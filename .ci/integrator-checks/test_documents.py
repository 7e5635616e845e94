"""The OpenAPI and the AsyncAPI document, read by validators and generators that were not written for them."""

import json
import shutil
import sys
import tempfile
import pathlib
import unittest

from common import EVENT, HERE, MODULES, SCRIPTS, Fairline, node, run

METHODS = ("get", "put", "post", "patch", "delete")
OURS = "https://tickets.fairline.test"


class Documents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fairline = Fairline(FAIRLINE_PUBLIC_URL=OURS)
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.paths = {}
        for name in ("openapi", "asyncapi"):
            cls.paths[name] = cls.folder / f"{name}.json"
            document = cls.fairline.get(f"/api/{name}.json")
            cls.paths[name].write_text(json.dumps(document, indent=1))
        cls.openapi = json.loads(cls.paths["openapi"].read_text())
        cls.operations = [
            (f"{method} {path}", item[method])
            for path, item in cls.openapi["paths"].items()
            for method in METHODS
            if method in item
        ]

    @classmethod
    def tearDownClass(cls):
        cls.fairline.end()
        shutil.rmtree(cls.folder)

    def test_openapi_spec_validator_accepts_the_document(self):
        run(SCRIPTS / "openapi-spec-validator", self.paths["openapi"])

    def test_redocly_finds_nothing(self):
        config = ["--config", HERE / "redocly.yaml", "--format", "github-actions"]
        found = node("redocly", "lint", *config, self.paths["openapi"])
        self.assertNotIn("::error", found)

    def test_the_python_client_that_is_generated_joins_and_buys(self):
        package = self.folder / "fairline_client"
        told = run(
            SCRIPTS / "openapi-python-client",
            *("generate", "--meta", "none", "--path", self.paths["openapi"], "--fail-on-warning"),
            *("--output-path", package, "--config", HERE / "python-client.yaml"),
        )
        self.assertNotIn("WARNING", told)
        made = {path.stem for path in package.glob("api/*/*.py")}
        for name, operation in self.operations:
            self.assertIn(operation["operationId"], made, name)
        bought = run(
            sys.executable,
            HERE / "buy.py",
            self.fairline.url,
            EVENT,
            env={"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self.assertEqual(bought, "bought\n")

    def test_the_types_that_are_generated_compile(self):
        shutil.copy(HERE / "shop.ts", self.folder)
        node("openapi-typescript", self.paths["openapi"], "-o", self.folder / "api.ts")
        options = ["--noEmit", "--strict", "--noUncheckedIndexedAccess"]
        node("tsc", *options, self.folder / "api.ts", self.folder / "shop.ts")

    def test_the_asyncapi_parser_finds_nothing(self):
        found = run("node", HERE / "sockets.mjs", MODULES, self.paths["asyncapi"])
        self.assertEqual(json.loads(found), [])

    def test_the_parser_of_asyncapi_finds_nothing_in_the_document_of_the_events(self):
        path = HERE.parent.parent / "docs/events/asyncapi.json"
        found = run("node", HERE / "sockets.mjs", MODULES, path)
        self.assertEqual(json.loads(found), [])

    def test_both_documents_name_the_address_of_the_site(self):
        sockets = json.loads(self.paths["asyncapi"].read_text())
        host = {"host": OURS.removeprefix("https://"), "protocol": "wss"}
        self.assertEqual(sockets["servers"], {"site": host})
        self.assertEqual([server["url"] for server in self.openapi["servers"]], [OURS])

    def test_operations_have_an_id_of_their_own_and_say_who_may_call_them(self):
        ids = [operation["operationId"] for _, operation in self.operations]
        self.assertEqual(len(ids), len(set(ids)), sorted(ids))
        self.assertGreater(len(ids), 45)
        schemes = self.openapi["components"]["securitySchemes"]
        for name, operation in self.operations:
            self.assertTrue(operation["security"], name)
            for way in operation["security"]:
                self.assertLessEqual(way.keys(), schemes.keys(), name)

    def test_every_body_answer_and_parameter_has_an_example_and_every_answer_a_description(self):
        shared = self.openapi["components"]["responses"]
        for name, operation in self.operations:
            contents = [operation.get("requestBody", {}).get("content", {})]
            for status, answer in operation["responses"].items():
                if reference := answer.get("$ref"):
                    answer = shared[reference.rsplit("/", 1)[1]]
                self.assertTrue(answer.get("description"), f"{name} {status}")
                contents.append(answer.get("content", {}))
            for kind, content in (pair for by_kind in contents for pair in by_kind.items()):
                self.assertTrue("example" in content or "examples" in content, f"{name} {kind}")
            for parameter in operation.get("parameters", []):
                self.assertIn("example", parameter, f"{name} {parameter['name']}")

    def test_bodies_that_are_taken_allow_no_further_members(self):
        schemas = self.openapi["components"]["schemas"]
        for name, operation in self.operations:
            for content in operation.get("requestBody", {}).get("content", {}).values():
                if reference := content["schema"].get("$ref"):
                    schema = schemas[reference.rsplit("/", 1)[1]]
                    self.assertIs(schema.get("additionalProperties"), False, name)
