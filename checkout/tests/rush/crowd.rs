//! Test fixtures: a hall, and fans who buy in it.

use checkout::inventory::{
    Begun, Best, Buyer, Inventory, NewSession, Order, Refused, SessionKey, SessionKeys, Verdict,
    Wish, layout,
};
use shared::ids::{EventId, VisitorId};

pub(crate) fn event() -> EventId {
    EventId::parse("rush").unwrap()
}

/// Returns a hall with this many seats, in rows of thirty.
pub(crate) fn hall(seats: u32) -> layout::Layout {
    let plan = format!(
        r#"{{"categories": [{{"id": "c", "name": "C", "price": 10}}],
        "sections": [{{"id": "s", "category": "c", "rows": {}, "seats_per_row": 30}}]}}"#,
        seats / 30
    );
    layout::parse(plan.as_bytes()).unwrap()
}

pub(crate) fn keys(fan: u32) -> SessionKeys {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&fan.to_be_bytes());
    vec![SessionKey {
        event: event(),
        hash,
    }]
}

pub(crate) async fn admit(seats: &Inventory, fan: u32) -> Result<(), Refused> {
    let opened = seats.open_session(NewSession {
        key: keys(fan)[0].hash,
        event: event(),
        visitor: VisitorId(fan.into()),
        number: fan.into(),
        jti: format!("adm-{fan}"),
        token: String::new(),
        expires_at: seats.now().plus_seconds(3600),
        is_reported: true,
    });
    opened.await.map(|_| ())
}

/// Buys two seats, from the admission to the tickets.
pub(crate) async fn buy(seats: &Inventory, fan: u32) -> Result<Order, Refused> {
    admit(seats, fan).await?;
    let wish = Wish::Best(Best {
        quantity: 2,
        ..Best::default()
    });
    let hold = seats.hold(keys(fan), &event(), wish, None).await?.value;
    let buyer = Buyer {
        name: "N".into(),
        email: "n@example.org".into(),
    };
    let order = seats.order(keys(fan), &hold.id, buyer, None).await?.value;
    let begun = seats
        .begin_payment(keys(fan), &order.payment.id, None)
        .await?;
    match begun {
        Begun::Ask(payment) => seats.settle(&payment, Verdict::Captured, None).await,
        Begun::Replayed(order) => Ok(*order),
    }
}
