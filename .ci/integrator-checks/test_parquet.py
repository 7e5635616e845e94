"""Parquet files of analytics, read by DuckDB and compared with the CSV."""

import csv
import datetime
import decimal
import io
import pathlib
import tempfile
import unittest
import urllib.request

import duckdb

from common import EVENT, KEY, Fairline, until
from consumers import buy

SALES = f"/api/v1/organiser/events/{EVENT}/sales"


class Parquet(unittest.TestCase):
    def setUp(self):
        self.fairline = Fairline()
        self.addCleanup(self.fairline.end)
        kept = tempfile.TemporaryDirectory()
        self.addCleanup(kept.cleanup)
        self.folder = pathlib.Path(kept.name)

    def download(self, table):
        request = urllib.request.Request(self.fairline.url + SALES + "/" + table)
        request.add_header("Authorization", f"Bearer {KEY}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.headers["content-type"], answer.read()

    def read(self, table):
        """Returns the types of the columns and the rows of a Parquet file, and the rows of the CSV."""
        kind, content = self.download(table + ".parquet")
        self.assertEqual(kind, "application/vnd.apache.parquet")
        path = self.folder / (table + ".parquet")
        path.write_bytes(content)
        database = duckdb.connect()
        types = {name: kind for name, kind, *_ in database.execute(f"describe from '{path}'").fetchall()}
        # Times as numbers: Python has no time zones of its own.
        found = database.execute(f"select * replace (epoch_ms(hour) as hour) from '{path}'")
        rows = [dict(zip(types, row)) for row in found.fetchall()]
        text = self.download(table + ".csv")[1].decode("utf-8-sig")
        return types, rows, list(csv.DictReader(io.StringIO(text)))

    def assert_same(self, rows, lines):
        self.assertEqual(len(rows), len(lines))
        for row, line in zip(rows, lines):
            self.assertEqual(list(row), list(line))
            for name, value in row.items():
                text = line[name]
                if name == "hour":
                    hour = datetime.datetime.fromisoformat(text)
                    self.assertEqual(value, hour.timestamp() * 1000)
                elif isinstance(value, (int, decimal.Decimal)):
                    self.assertEqual(value, decimal.Decimal(text), name)
                else:
                    self.assertEqual(value or "", text, name)

    def test_the_sales_are_those_of_the_csv_with_types(self):
        for _ in range(2):
            buy(self.fairline)

        def are_counted():
            hours = self.fairline.ask("GET", SALES + "/hourly", KEY)["hours"]
            return sum(hour["orders_confirmed"] for hour in hours) == 2

        until(are_counted)
        types, rows, lines = self.read("hourly")
        self.assertEqual(types["hour"], "TIMESTAMP WITH TIME ZONE")
        self.assertEqual(types["tickets sold"], "BIGINT")
        self.assertEqual(types["gross"], "DECIMAL(18,4)")
        self.assertEqual(types["currency"], "VARCHAR")
        self.assertGreater(sum(row["gross"] for row in rows), 0)
        self.assert_same(rows, lines)

    def test_the_funnel_is_that_of_the_csv(self):
        self.fairline.admit()
        until(lambda: self.fairline.ask("GET", SALES + "/funnel", KEY)["total"]["admitted"] == 1)
        _, rows, lines = self.read("funnel")
        self.assertEqual(sum(row["admitted"] for row in rows), 1)
        self.assert_same(rows, lines)
