//! Signing keys change in the middle of a sale, and no fan is refused for it.

use crate::site::Site;
use hyper::StatusCode;
use serde_json::json;
use shared::token::{Signer, SigningAlgorithm};

async fn roll(site: &mut Site, keys: &str) {
    for at in 0..site.rooms.len() {
        site.rooms[at].set("FAIRLINE_SIGNING_KEY", keys);
        site.rooms[at].kill();
        site.rooms[at].start();
        site.rooms[at].ready().await;
    }
    site.until("/api/v1/events/arena", "", |event| event["phase"] == "open")
        .await;
}

#[tokio::test]
async fn keys_are_rotated_without_a_false_refusal_and_strangers_keys_are_fetched_for_once() {
    let mut site = Site::open(2).await;
    let doors = json!({"rate_per_minute": 60_000, "batch_seconds": 1, "max_active": 100});
    site.event("arena", doors).await;
    let (_, old) = site.admit("arena").await;
    let keys: Vec<String> = (0..2)
        .map(|_| SigningAlgorithm::EdDsa.generate_pem().unwrap())
        .collect();
    // Another key signs from now on. The checkout has not seen it, and asks.
    roll(&mut site, &keys[0]).await;
    let sessions = "/api/v1/events/arena/sessions";
    let (_, new) = site.admit("arena").await;
    assert_eq!(site.buy("arena", &new).await["state"], "confirmed");
    // A token of a key that was taken away is refused; operators take a key away only once its
    // tokens have ended.
    let refused = site.client.post(sessions, &old, json!({})).await.unwrap();
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    // Two keys are published, and the first still signs: both kinds of token are good before and
    // after the change.
    roll(&mut site, &format!("{}{}", keys[0], keys[1])).await;
    let (_, before) = site.admit("arena").await;
    roll(&mut site, &format!("{}{}", keys[1], keys[0])).await;
    let (_, after) = site.admit("arena").await;
    assert_ne!(header(&before)["kid"], header(&after)["kid"]);
    for room in &site.rooms {
        for token in [&before, &after] {
            let gate = room.client.get("/gate/arena", token).await.unwrap();
            assert_eq!(gate.status, StatusCode::NO_CONTENT);
        }
    }
    // A flood of tokens with unknown keys makes the checkout ask for the keys at most once in half
    // a minute.
    let strangers = (0..200).map(|_| {
        let signer = Signer::from_pem(&SigningAlgorithm::EdDsa.generate_pem().unwrap()).unwrap();
        let claims = shared::token::Claims {
            iss: site.url.clone(),
            aud: "arena".to_owned(),
            sub: shared::ids::VisitorId(1),
            jti: "x".to_owned(),
            iat: 0,
            nbf: 0,
            exp: 4_000_000_000,
            number: 1,
            extension_seconds: 0,
        };
        signer.sign(&claims)
    });
    let client = &site.checkout.client;
    for token in strangers {
        let refused = client.post(sessions, &token, json!({})).await.unwrap();
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
    // Once at the start, once for the first new key.
    let fetched = site.checkout.log().matches("fetched the keys").count();
    assert_eq!(fetched, 2, "{}", site.checkout.log());
    assert_eq!(site.buy("arena", &before).await["state"], "confirmed");
}

fn header(token: &str) -> serde_json::Value {
    use base64::Engine as _;
    let text = token.split('.').next().unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
