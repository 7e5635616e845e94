"""Our sockets against the cases of Autobahn's test suite, driven by kosoku.

The cases are made for a server that echoes. Ours says something of its own accord and echoes nothing, so between it and the
suite stands a relay that adds the pass or the session and takes our texts away. The cases of which that leaves the outcome
open are left out; all others must pass.
"""

import asyncio
import contextlib
import unittest

from kosoku import FailureError, run_fuzzingclient

from common import EVENT, Fairline

# Pings, reserved bits, opcodes, fragments, UTF-8, closes.
CASES = ["2.*", "3.*", "4.*", "5.*", "6.*", "7.*"]
TEXT = 1


async def copy(reader, writer):
    """Passes on what comes, to the end."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def copy_without_texts(reader, writer):
    """Passes on the answer to the handshake and all frames but texts."""
    try:
        writer.write(await reader.readuntil(b"\r\n\r\n"))
        while True:
            head = await reader.readexactly(2)
            more = {126: 2, 127: 8}.get(head[1], 0)
            extended = await reader.readexactly(more)
            length = int.from_bytes(extended) if more else head[1]
            frame = head + extended + await reader.readexactly(length)
            if head[0] & 0xF != TEXT:
                writer.write(frame)
                await writer.drain()
    except (asyncio.IncompleteReadError, OSError):
        pass
    writer.close()


class WebSockets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Fairline()
        # Before others take all seats.
        sessions = f"/api/v1/events/{EVENT}/sessions"
        cls.session = cls.server.ask("POST", sessions, cls.server.admit())["session"]

    @classmethod
    def tearDownClass(cls):
        cls.server.end()

    async def run_cases(self, path, credential):
        """The results of all cases, by their ids."""
        port = int(self.server.url.rsplit(":", 1)[1])

        async def relay(reader, writer):
            bearer = await asyncio.to_thread(credential)
            request = await reader.readuntil(b"\r\n\r\n")
            _, _, headers = request.partition(b"\r\n")
            back, to = await asyncio.open_connection("127.0.0.1", port)
            to.write(f"GET {path} HTTP/1.1\r\nAuthorization: Bearer {bearer}\r\n".encode() + headers)
            # The last ones are cut off with the listener.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(copy(reader, to), copy_without_texts(back, writer))

        listener = await asyncio.start_server(relay, "127.0.0.1", 0)
        async with listener:
            address = "127.0.0.1:%d" % listener.sockets[0].getsockname()[1]
            try:
                results = await run_fuzzingclient(f"ws://{address}", CASES, None, concurrency=8)
            except FailureError as failure:
                results = failure.results
        return {result.case_id: result for result in results}

    def check(self, path, credential):
        """All cases pass but those in which only an echo would do; in these no text that is sound is refused."""
        results = asyncio.run(self.run_cases(path, credential))
        is_open = lambda result: any(
            all(event[0] != "message" for event in events) for events in result.expected.values()
        )
        decided = {case: result for case, result in results.items() if is_open(result)}
        wrong = {
            case: f"{result.behavior.value}, {result.behavior_close.value}: {result.result_close}"
            for case, result in decided.items()
            if not result.passed
        }
        self.assertEqual(wrong, {})
        self.assertGreaterEqual(len(decided), 150)
        for case, result in results.items():
            if case not in decided:
                self.assertIn(result.remote_close_code, (None, 1000), case)

    def test_the_socket_of_a_place_keeps_to_the_protocol(self):
        line = f"/api/v1/events/{EVENT}/line"
        self.check(f"{line}/ws", lambda: self.server.ask("POST", line)["pass"])

    def test_the_socket_of_the_seats_keeps_to_the_protocol(self):
        self.check(f"/api/v1/events/{EVENT}/seats/ws", lambda: self.session)


if __name__ == "__main__":
    unittest.main()
