"""Events of a sale, read by the consumers of docs/events.md as they stand there."""

import os
import unittest

from common import MODULES, Fairline
from consumers import BROKERS, Consumers, block, buy


class Events(Consumers):
    def sell(self, events, *consumer):
        fairline = Fairline(FAIRLINE_EVENTS=events)
        self.addCleanup(fairline.end)
        orders = [buy(fairline) for _ in range(3)]
        listener = self.listen(*consumer)
        listener.hear(orders)
        listener.end()
        # Started again it goes on where it was: at most the last one, in whose middle it was killed, comes again.
        again = self.listen(*consumer)
        again.hear([buy(fairline), buy(fairline)])
        self.assertLessEqual(len(again.heard & set(orders)), 1)

    def test_kafka_in_python(self):
        consumer = self.serve_kafka()
        self.sell(f"kafka://127.0.0.1:{self.port}", *consumer)

    def test_nats_in_javascript(self):
        command = (BROKERS / "nats-server", "-a", "127.0.0.1", "-p", self.port, "-js", "-sd", "data")
        self.serve(*command)
        code = block("js").replace("127.0.0.1:4222", f"127.0.0.1:{self.port}")
        (self.folder / "consumer.mjs").write_text(code)
        os.symlink(MODULES, self.folder / "node_modules")
        self.sell(f"nats://127.0.0.1:{self.port}", "node", "consumer.mjs")


if __name__ == "__main__":
    unittest.main()
