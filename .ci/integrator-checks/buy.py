"""A fan's way from the line to the tickets, by the client that openapi-python-client generated. Arguments: URL, event."""

import sys
import time

from fairline_client import AuthenticatedClient, Client
from fairline_client.api.checkout import create_order, hold, open_session, pay, show_order
from fairline_client.api.line import join, leave, list_events, show_event, show_place
from fairline_client.models import Best, Buyer, CardInput, HoldInput, Nothing, OrderInput, Problem

url, event = sys.argv[1:]


def bearer(word):
    return AuthenticatedClient(base_url=url, token=word, raise_on_unexpected_status=True)


def good(answer):
    assert answer is not None and not isinstance(answer, Problem), answer
    return answer


anyone = Client(base_url=url, raise_on_unexpected_status=True)
assert [known.id for known in good(list_events.sync(client=anyone))] == [event]
assert good(show_event.sync(event, client=anyone)).phase == "open"
place = good(join.sync(event, client=anyone, body=Nothing()))
fan = bearer(place.pass_)
for _ in range(200):
    place = good(show_place.sync(event, client=fan))
    if place.token:
        break
    time.sleep(0.05)
session = good(open_session.sync(event, client=bearer(place.token), body=Nothing()))
inside = bearer(session.session)
held = good(hold.sync(event, client=inside, body=HoldInput(best_available=Best(quantity=2))))
assert len(held.seats) == 2 and held.total.amount == 200
buyer = Buyer(name="Ada Example", email="ada@example.org")
order = good(create_order.sync(client=inside, body=OrderInput(hold=held.id, buyer=buyer)))
paid = good(pay.sync(order.payment.id, client=inside, body=CardInput(card="4242424242424242")))
assert paid.state == "confirmed", paid.state
assert len(good(show_order.sync(order.id, client=inside)).tickets) == 2

refused = show_place.sync(event, client=bearer("wrong"))
assert isinstance(refused, Problem) and refused.type_ == "/problems/no-pass", refused
other = good(join.sync(event, client=anyone, body=Nothing()))
assert leave.sync_detailed(event, client=bearer(other.pass_)).status_code == 204
print("bought")
