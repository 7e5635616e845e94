"""Traces, sent to a receiver of others' make: rotel, which speaks OTLP."""

import re
import unittest

from common import BINARIES, VENV
from processes import Processes, call, free_port, until

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Receiver(unittest.TestCase):
    def test_it_takes_the_spans_of_a_request_with_its_names_and_its_trace(self):
        with Processes() as processes:
            port = free_port()
            agent = next(VENV.glob("lib/python*/site-packages/rotel/rotel-agent"))
            words = ["--exporter", "blackhole", "--otlp-http-endpoint", f"127.0.0.1:{port}"]
            words += ["--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}"]
            words += ["--debug-log", "traces", "--debug-log-verbosity", "detailed"]
            processes.start("rotel", agent, "start", *words)
            listen, operations = (f"127.0.0.1:{free_port()}" for _ in range(2))
            settings = {
                "FAIRLINE_LISTEN": listen,
                "FAIRLINE_OPS_LISTEN": operations,
                "FAIRLINE_DATA": str(processes.folder / "data"),
                # By its standard name.
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
                "FAIRLINE_TRACE_RATIO": "0",
            }
            processes.start("fairline", BINARIES / "fairline", environment=settings)
            log = lambda: processes.log("rotel") + processes.log("fairline")
            traced = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
            until(lambda: call(f"http://{listen}/api/v1/events", **traced)[0] == 200, says=log)

            def exported():
                _, text = call(f"http://{operations}/metrics")
                counts = dict(re.findall(r'fairline_spans_total{outcome="(\w+)"} (\d+)', text))
                return int(counts["exported"]) > 0 and counts

            counts = until(exported, says=log)
            self.assertEqual((counts["failed"], counts["dropped"]), ("0", "0"), log())
            until(lambda: "Status message" in processes.log("rotel"), says=log)
            received = processes.log("rotel")
            for word in ("GET /api/v1/events", TRACE, "service.name", "fairline"):
                self.assertIn(word, received)


if __name__ == "__main__":
    unittest.main()
