"""The stand-in of Stripe, by which payments are tested, driven and checked by Stripe's own package."""

import json

import stand_in
import stripe

KEY = "sk_test_stand_in_0000"
SECRET = "whsec_stand_in_00000000"


def read(body, headers):
    """Return the id of a webhook's event and the event, or the error of its signature."""
    try:
        event = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], SECRET)
        return event["id"], event
    except stripe.SignatureVerificationError as error:
        return body, {"type": repr(error)}


class StripeStandIn(stand_in.StandIn):
    provider = "stripe"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        stripe.api_key = KEY
        stripe.api_base = cls.url
        stripe.max_network_retries = 0

    def make(self, **more):
        fields = {"amount": 4500, "currency": "eur", "capture_method": "manual", "metadata": {"payment": "pay_1"}}
        return stripe.PaymentIntent.create(**{**fields, **more})

    def test_a_payment_is_authenticated_captured_and_refunded_in_parts(self):
        intent = self.make()
        self.assertEqual(intent.status, "requires_payment_method")
        waits = stripe.PaymentIntent.confirm(intent.id, payment_method="pm_card_threeDSecure2Required")
        self.assertEqual(waits.status, "requires_action")
        self.tell(f"authenticate/{intent.id}")
        held = stripe.PaymentIntent.retrieve(intent.id)
        self.assertEqual((held.status, held.amount_capturable), ("requires_capture", 4500))
        taken = stripe.PaymentIntent.capture(intent.id)
        self.assertEqual((taken.status, taken.amount_received), ("succeeded", 4500))
        refund = stripe.Refund.create(payment_intent=intent.id, amount=1500, metadata={"refund": "ref_1"})
        self.assertEqual((refund.status, refund.metadata["refund"]), ("succeeded", "ref_1"))
        with self.assertRaises(stripe.InvalidRequestError):
            stripe.Refund.create(payment_intent=intent.id, amount=3001)
        stripe.Refund.create(payment_intent=intent.id)
        with self.assertRaises(stripe.InvalidRequestError) as refused:
            stripe.Refund.create(payment_intent=intent.id)
        self.assertEqual(refused.exception.code, "charge_already_refunded")
        amounts = [refund.amount for refund in stripe.Refund.list(payment_intent=intent.id)]
        self.assertEqual(amounts, [3000, 1500])

    def test_cards_are_declined_and_another_pays(self):
        intent = self.make()
        for card, code in [("chargeDeclined", "generic_decline"), ("chargeDeclinedInsufficientFunds", "insufficient_funds")]:
            with self.assertRaises(stripe.CardError) as declined:
                stripe.PaymentIntent.confirm(intent.id, payment_method=f"pm_card_{card}")
            self.assertEqual(declined.exception.error.decline_code, code)
        told = stripe.PaymentIntent.retrieve(intent.id)
        self.assertEqual(told.last_payment_error.code, "card_declined")
        paid = stripe.PaymentIntent.confirm(intent.id, payment_method="pm_card_visa")
        self.assertEqual((paid.status, paid.last_payment_error), ("requires_capture", None))
        gone = stripe.PaymentIntent.cancel(intent.id)
        self.assertEqual(gone.status, "canceled")
        with self.assertRaises(stripe.InvalidRequestError) as refused:
            stripe.PaymentIntent.capture(intent.id)
        self.assertEqual(refused.exception.code, "payment_intent_unexpected_state")

    def test_a_key_acts_once_also_where_the_answer_was_lost_or_a_failure(self):
        first = self.make(idempotency_key="once")
        again = self.make(idempotency_key="once")
        self.assertEqual(again.id, first.id)
        self.assertEqual(again.last_response.headers["idempotent-replayed"], "true")
        with self.assertRaises(stripe.IdempotencyError):
            self.make(amount=1, idempotency_key="once")
        self.tell("faults", operation="create", fault="answer_lost")
        with self.assertRaises(stripe.APIConnectionError):
            self.make(idempotency_key="lost")
        before = len(list(stripe.PaymentIntent.list(limit=100).auto_paging_iter()))
        self.make(idempotency_key="lost")
        self.assertEqual(len(list(stripe.PaymentIntent.list(limit=100).auto_paging_iter())), before)
        self.tell("faults", operation="create", fault="failed_after")
        for _ in range(2):
            with self.assertRaises(stripe.APIError):
                self.make(idempotency_key="failed")
        self.tell("faults", operation="create", fault="too_many")
        with self.assertRaises(stripe.RateLimitError):
            self.make(idempotency_key="often")
        self.make(idempotency_key="often")

    def test_wrong_requests_are_refused_as_by_stripe(self):
        for wrong in [{"amount": 0}, {"amount": "a"}, {"currency": "euro"}]:
            with self.assertRaises(stripe.InvalidRequestError):
                self.make(**wrong)
        with self.assertRaises(stripe.InvalidRequestError) as missing:
            stripe.PaymentIntent.retrieve("pi_none")
        self.assertEqual(missing.exception.code, "resource_missing")
        with self.assertRaises(stripe.AuthenticationError):
            self.make(api_key="nothing")

    def test_lists_come_in_pages_and_by_time(self):
        made = [self.make().id for _ in range(12)]
        found = [intent.id for intent in stripe.PaymentIntent.list(limit=5).auto_paging_iter()]
        self.assertEqual(found[:12], made[::-1])
        created = stripe.PaymentIntent.retrieve(made[0]).created
        none = stripe.PaymentIntent.list(created={"gte": created + 1000})
        self.assertEqual(none.data, [])
        all_of_them = stripe.PaymentIntent.list(created={"gte": created, "lt": created + 1000}, limit=100)
        self.assertLessEqual(set(made), {intent.id for intent in all_of_them})

    def test_webhooks_are_signed_and_sent_until_they_are_taken(self):
        with self.webhooks(read) as wait_for:
            intent = self.make()
            stripe.PaymentIntent.confirm(intent.id, payment_method="pm_card_visa")
            taken = wait_for("type", {"payment_intent.created", "payment_intent.amount_capturable_updated"})
        for event in taken:
            self.assertEqual(event["data"]["object"]["id"], intent.id)
            self.assertEqual(json.loads(str(event))["object"], "event")
