//! Files for browsers: a script for pages, with frames for the card and for 3-D Secure; and the
//! cards that are typed there.

use super::state::StandInState;
use axum::Router;
use axum::http::header;
use axum::response::Html;
use axum::routing::get;
use std::sync::Arc;

/// Card numbers, and the payment methods by whose names tests confirm.
const CARDS: [(&str, &str); 6] = [
    ("4242424242424242", "pm_card_visa"),
    ("4000002500003155", "pm_card_authenticationRequired"),
    ("4000000000003220", "pm_card_threeDSecure2Required"),
    ("4000000000000002", "pm_card_chargeDeclined"),
    (
        "4000000000009995",
        "pm_card_chargeDeclinedInsufficientFunds",
    ),
    ("4000000000000069", "pm_card_chargeDeclinedExpiredCard"),
];

/// Returns the payment method that a card is.
pub(super) fn method_of(number: &str) -> &'static str {
    let mut cards = CARDS.iter();
    let found = cards.find(|(card, _)| *card == number);
    found.map_or("pm_card_chargeDeclined", |(_, method)| method)
}

pub(super) fn routes() -> Router<Arc<StandInState>> {
    let script = || async {
        let kind = [(header::CONTENT_TYPE, "text/javascript")];
        (kind, include_str!("page/script.js"))
    };
    let card = || async { Html(include_str!("page/card.html")) };
    let challenge = || async { Html(include_str!("page/challenge.html")) };
    Router::new()
        .route("/v3/", get(script))
        .route("/v3/card", get(card))
        .route("/v3/challenge/{id}", get(challenge))
}
