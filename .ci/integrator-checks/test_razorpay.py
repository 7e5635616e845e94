"""The stand-in of Razorpay, by which payments are tested, driven and checked by Razorpay's own package."""

import json

import razorpay
import requests
import stand_in

KEY = ("rzp_test_standin0000", "key_secret_stand_in")
SECRET = "webhook_secret_stand_in"
REFUSED = razorpay.errors.BadRequestError


def read(body, headers):
    """Return the id of a webhook's event and the event, or the error of its signature."""
    name = headers["X-Razorpay-Event-Id"]
    try:
        utility = razorpay.Client(auth=KEY).utility
        utility.verify_webhook_signature(body, headers["X-Razorpay-Signature"], SECRET)
        return name, json.loads(body)
    except razorpay.errors.SignatureVerificationError as error:
        return name, {"event": repr(error)}


class RazorpayStandIn(stand_in.StandIn):
    provider = "razorpay"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = razorpay.Client(auth=KEY, base_url=cls.url)

    def make(self, **more):
        fields = {"amount": 4500, "currency": "INR", "receipt": "receipt_1", "notes": {"payment": "pay_1"}}
        return self.client.order.create({**fields, "payment": {"capture": "manual"}, **more})

    def pay(self, order, card="card"):
        return self.tell(f"pay/{order['id']}", card=card)

    def capture(self, payment, amount=4500):
        return self.client.payment.capture(payment, amount, {"currency": "INR"})

    def test_an_order_is_authenticated_captured_and_refunded_in_parts(self):
        order = self.make()
        self.assertEqual((order["status"], order["amount_due"]), ("created", 4500))
        waits = self.pay(order, "3ds")
        self.assertEqual(waits["status"], "created")
        returned = self.tell(f"authenticate/{waits['id']}")
        self.assertTrue(self.client.utility.verify_payment_signature(returned))
        with self.assertRaises(razorpay.errors.SignatureVerificationError):
            self.client.utility.verify_payment_signature({**returned, "razorpay_order_id": "order_2"})
        payment = returned["razorpay_payment_id"]
        self.assertEqual(self.client.payment.fetch(payment)["status"], "authorized")
        self.assertFalse(self.client.payment.fetch(payment)["captured"])
        with self.assertRaises(REFUSED):
            self.capture(payment, 1)
        with self.assertRaises(REFUSED):
            self.client.payment.refund(payment, {"amount": 1})
        self.assertTrue(self.capture(payment)["captured"])
        with self.assertRaisesRegex(REFUSED, "already been captured"):
            self.capture(payment)
        self.assertEqual(self.client.order.fetch(order["id"])["status"], "paid")
        attempts = self.client.order.payments(order["id"])
        self.assertEqual([attempt["id"] for attempt in attempts["items"]], [payment])
        refund = self.client.payment.refund(payment, {"amount": 1500, "notes": {"refund": "ref_1"}})
        self.assertEqual((refund["status"], refund["notes"]["refund"]), ("processed", "ref_1"))
        with self.assertRaises(REFUSED):
            self.client.payment.refund(payment, {"amount": 3001})
        self.assertEqual(self.client.payment.fetch(payment)["refund_status"], "partial")
        self.client.payment.refund(payment)
        self.assertEqual(self.client.payment.fetch(payment)["status"], "refunded")
        amounts = [refund["amount"] for refund in self.client.payment.fetch_multiple_refund(payment)["items"]]
        self.assertEqual(amounts, [3000, 1500])

    def test_attempts_fail_and_another_pays_and_money_that_is_not_captured_goes_back(self):
        order = self.make()
        for card, reason in [("declined", "payment_declined"), ("insufficient_funds", "insufficient_funds")]:
            self.assertEqual(self.pay(order, card)["error"]["reason"], reason)
        latest = self.client.order.payments(order["id"])["items"][0]
        self.assertEqual((latest["status"], latest["error_reason"]), ("failed", "insufficient_funds"))
        first, second = [self.pay(order)["razorpay_payment_id"] for _ in range(2)]
        self.capture(first)
        with self.assertRaises(REFUSED):
            self.capture(second)
        self.assertIn("error", self.pay(order))
        self.tell(f"lapse/{second}")
        gone = self.client.payment.fetch(second)
        self.assertEqual((gone["status"], gone["captured"], gone["amount_refunded"]), ("refunded", False, 4500))
        with self.assertRaises(REFUSED):
            self.capture(second)

    def test_a_refund_with_a_key_is_made_once_also_where_the_answer_was_lost_or_a_failure(self):
        payment = self.pay(self.make())["razorpay_payment_id"]
        self.capture(payment)

        def refund(key, amount=500):
            headers = {"X-Refund-Idempotency": key}
            return self.client.payment.refund(payment, {"amount": amount}, headers=headers)

        self.assertEqual(refund("once-and-again")["id"], refund("once-and-again")["id"])
        for key, amount in [("once-and-again", 600), ("short", 500), ("no blanks here", 500)]:
            with self.assertRaises(REFUSED):
                refund(key, amount)
        self.tell("faults", operation="refund", fault="answer_lost")
        with self.assertRaises(requests.exceptions.RequestException):
            refund("answer-is-lost")
        refund("answer-is-lost")
        self.tell("faults", operation="refund", fault="failed_after")
        with self.assertRaises(razorpay.errors.ServerError):
            refund("done-and-failed")
        refund("done-and-failed")
        self.tell("faults", operation="refund", fault="too_many")
        with self.assertRaises(REFUSED):
            refund("asked-too-often")
        refunded = self.client.payment.fetch(payment)["amount_refunded"]
        self.assertEqual(refunded, 1500)

    def test_wrong_requests_are_refused_as_by_razorpay(self):
        wrong = [{"amount": 99}, {"amount": "a"}, {"currency": "rupee"}, {"receipt": "x" * 41}]
        for fields in [*wrong, {"currency": "KWD", "amount": 99991}]:
            with self.assertRaises(REFUSED):
                self.make(**fields)
        self.make(currency="KWD", amount=99990)
        self.make(currency="JPY", amount=1)
        for fetch in [self.client.order.fetch, self.client.payment.fetch, self.client.order.payments]:
            with self.assertRaisesRegex(REFUSED, "does not exist"):
                fetch("order_none")
        stranger = razorpay.Client(auth=("rzp_test_other", "secret"), base_url=self.url)
        with self.assertRaisesRegex(REFUSED, "Authentication failed"):
            stranger.order.all()

    def test_lists_come_in_pages_by_time_and_by_receipt(self):
        orders = [self.make(receipt=f"list_{number}") for number in range(12)]
        paid = [self.pay(order)["razorpay_payment_id"] for order in orders]
        found = []
        while len(found) < 12:
            page = self.client.payment.all({"count": 5, "skip": len(found)})
            found += [payment["id"] for payment in page["items"]]
        self.assertEqual(found[:12], paid[::-1])
        at = self.client.payment.fetch(paid[0])["created_at"]
        self.assertEqual(self.client.payment.all({"from": at + 1000})["items"], [])
        within = self.client.payment.all({"from": at, "to": at + 1000, "count": 100})
        self.assertLessEqual(set(paid), {payment["id"] for payment in within["items"]})
        named = self.client.order.all({"receipt": "list_7"})
        self.assertEqual([order["id"] for order in named["items"]], [orders[7]["id"]])

    def test_webhooks_are_signed_and_sent_until_they_are_taken(self):
        with self.webhooks(read) as wait_for:
            order = self.make()
            self.pay(order, "declined")
            payment = self.pay(order)["razorpay_payment_id"]
            self.capture(payment)
            self.client.payment.refund(payment)
            kinds = {"payment.failed", "payment.authorized", "payment.captured", "order.paid", "refund.processed"}
            taken = wait_for("event", kinds)
        for event in taken:
            self.assertEqual(event["payload"]["payment"]["entity"]["order_id"], order["id"])
            self.assertEqual(set(event["contains"]), set(event["payload"]))
