"""Calendar files of events, read by a library that others use."""

import datetime
import unittest
import urllib.request

import icalendar

from common import KEY, Fairline

NAME = "Größe; Night, with a\\long name " + "x" * 100


class Calendar(unittest.TestCase):
    def test_a_calendar_is_read_as_it_was_meant(self):
        fairline = Fairline()
        self.addCleanup(fairline.end)
        details = {
            "starts_at": "2099-03-20T19:00:00Z",
            "time_zone": "Europe/Berlin",
            "venue": {"name": "Hall; large", "address": "1 Road, Berlin"},
        }
        event = {"id": "dated", "name": NAME, "sale_opens_at": "2099-01-15T08:00:00Z", "details": details}
        fairline.ask("POST", "/api/v1/organiser/events", KEY, event)
        with urllib.request.urlopen(f"{fairline.url}/e/dated/calendar.ics", timeout=30) as answer:
            self.assertEqual(answer.headers["content-type"], "text/calendar; charset=utf-8")
            text = answer.read()
        calendar = icalendar.Calendar.from_ical(text)
        self.assertEqual(calendar.errors, [])
        sale, start = calendar.walk("VEVENT")
        utc = datetime.timezone.utc
        self.assertEqual(sale.decoded("dtstart"), datetime.datetime(2099, 1, 15, 8, tzinfo=utc))
        self.assertEqual(start.decoded("dtstart"), datetime.datetime(2099, 3, 20, 19, tzinfo=utc))
        self.assertEqual(sale.decoded("duration"), datetime.timedelta(minutes=15))
        self.assertEqual(str(sale["summary"]), f"Sale opens: {NAME}")
        self.assertEqual(str(start["summary"]), NAME)
        self.assertEqual(str(start["location"]), "Hall; large, 1 Road, Berlin")
        self.assertEqual(str(start["url"]), f"{fairline.url}/e/dated")
        (alarm,) = sale.walk("VALARM")
        self.assertEqual(alarm.decoded("trigger"), datetime.timedelta(minutes=-15))
        self.assertNotEqual(sale["uid"], start["uid"])
        self.assertTrue(all(len(line) <= 75 for line in text.split(b"\r\n")))
