//! Admission tokens that are forged, swapped, replayed or foreign.

use crate::stage::{Stage, assert_problem};
use aws_lc_rs::hmac;
use hyper::StatusCode;
use serde_json::{Value, json};
use shared::crypto::{decode, encode};

#[tokio::test(flavor = "multi_thread")]
async fn one_admission_opens_one_session_of_a_hundred_that_race() {
    let stage = Stage::open().await;
    stage.event("race", json!({})).await;
    let (_, token) = stage.admit("race").await;
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (client, token) = (stage.client.clone(), token.clone());
        racing.spawn(async move {
            client
                .post("/api/v1/events/race/sessions", &token, json!({}))
                .await
                .unwrap()
        });
    }
    let answers = racing.join_all().await;
    assert_eq!(
        answers
            .iter()
            .filter(|answer| answer.status == StatusCode::CREATED)
            .count(),
        1
    );
    for answer in answers
        .iter()
        .filter(|answer| answer.status != StatusCode::CREATED)
    {
        assert_problem(answer, 409, "admission-already-used");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_swapped_and_expired_tokens_open_nothing_anywhere() {
    let stage = Stage::open().await;
    stage.event("one", json!({})).await;
    stage.event("two", json!({})).await;
    let (pass, token) = stage.admit("one").await;
    let parts: Vec<&str> = token.split('.').collect();
    let stranger = shared::token::Signer::from_pem(
        &shared::token::SigningAlgorithm::EdDsa
            .generate_pem()
            .unwrap(),
    )
    .unwrap();
    let claims: shared::token::Claims =
        serde_json::from_slice(&shared::crypto::decode(parts[1]).unwrap()).unwrap();
    let none = shared::crypto::encode(br#"{"alg":"none","typ":"admission+jwt"}"#);
    let mut forged = vec![
        stranger.sign(&claims),
        format!("{none}.{}.", parts[1]),
        format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86)),
        format!("{}.{}", parts[0], parts[1]),
        pass.clone(),
        "x".repeat(10_000),
    ];
    let tries = async |event: &str, token: &str| {
        let session = stage
            .client
            .post(
                &format!("/api/v1/events/{event}/sessions"),
                token,
                json!({}),
            )
            .await
            .unwrap();
        let start = stage
            .client
            .post(
                &format!("/api/v1/events/{event}/admission/start"),
                token,
                json!({}),
            )
            .await
            .unwrap();
        let gate = stage.get(&format!("/gate/{event}"), token).await;
        [session, start, gate]
    };
    for token in forged.drain(..) {
        for answer in tries("one", &token).await {
            assert_problem(&answer, 401, "bad-admission");
        }
    }
    for answer in tries("two", &token).await {
        assert_problem(&answer, 401, "bad-admission");
    }
    stage.clock.advance_ms(730_000);
    for answer in tries("one", &token).await {
        assert_problem(&answer, 401, "bad-admission");
    }
    assert_problem(
        &stage.get("/api/v1/events/two/line/me", &pass).await,
        401,
        "no-pass",
    );
    assert_problem(
        &stage.get("/api/v1/events/one/line/me", &token).await,
        401,
        "no-pass",
    );
}

/// Heads that tell a careless library to verify in another way, or with a key of the attacker's.
fn heads(kid: &str) -> Vec<Value> {
    let typ = "admission+jwt";
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&[7; 32])});
    let evil = "https://evil.example/keys";
    let mut heads: Vec<Value> = [
        "none", "None", "nOnE", "", "HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "ES256K",
        "Ed448", "eddsa",
    ]
    .iter()
    .map(|algorithm| json!({"alg": algorithm, "typ": typ, "kid": kid}))
    .collect();
    heads.extend([
        json!({"typ": typ, "kid": kid}),
        json!({"alg": ["EdDSA"], "typ": typ, "kid": kid}),
        json!({"alg": null, "typ": typ, "kid": kid}),
        json!({"alg": "EdDSA", "kid": kid}),
        json!({"alg": "EdDSA", "typ": "JWT", "kid": kid}),
        json!({"alg": "EdDSA", "typ": typ, "kid": "../../../dev/null"}),
        json!({"alg": "EdDSA", "typ": typ, "kid": "' or '1'='1"}),
        json!({"alg": "EdDSA", "typ": typ, "kid": 1}),
        json!({"alg": "EdDSA", "typ": typ, "jwk": key}),
        json!({"alg": "EdDSA", "typ": typ, "kid": kid, "jwk": key}),
        json!({"alg": "EdDSA", "typ": typ, "kid": kid, "jku": evil}),
        json!({"alg": "EdDSA", "typ": typ, "kid": kid, "x5u": evil}),
        json!({"alg": "EdDSA", "typ": typ, "kid": kid, "x5c": ["AAAA"]}),
        json!({"alg": "EdDSA", "typ": typ, "kid": kid, "crit": ["exp"]}),
        json!({"alg": "EdDSA", "typ": typ, "kid": kid, "crit": ["b64"], "b64": false}),
        json!({"alg": "EdDSA", "typ": typ, "kid": kid, "zip": "DEF"}),
        json!({"alg": "dir", "enc": "A256GCM", "typ": typ, "kid": kid}),
    ]);
    heads
}

#[tokio::test(flavor = "multi_thread")]
async fn no_head_of_a_token_makes_a_signature_of_the_attacker_count() {
    let stage = Stage::open().await;
    stage.event("one", json!({})).await;
    let (_, token) = stage.admit("one").await;
    let parts: Vec<&str> = token.split('.').collect();
    let head: Value = serde_json::from_slice(&decode(parts[0]).unwrap()).unwrap();
    let keys = stage.get("/.well-known/jwks.json", "").await.body;
    let public = keys["keys"][0]["x"].as_str().unwrap();
    let raw = decode(public).unwrap();
    // As if the public key were the secret of an HMAC, in each form that a library may read it in.
    let secrets = [&raw[..], public.as_bytes()];
    let mut forged = Vec::new();
    for head in heads(head["kid"].as_str().unwrap()) {
        let signed = format!("{}.{}", encode(head.to_string().as_bytes()), parts[1]);
        for secret in secrets {
            let algorithm = match head["alg"].as_str() {
                Some("HS384") => hmac::HMAC_SHA384,
                Some("HS512") => hmac::HMAC_SHA512,
                _ => hmac::HMAC_SHA256,
            };
            let mac = hmac::sign(&hmac::Key::new(algorithm, secret), signed.as_bytes());
            forged.push(format!("{signed}.{}", encode(mac.as_ref())));
        }
        forged.push(format!("{signed}."));
        forged.push(format!("{signed}.{}", parts[2]));
    }
    // The right token in other clothes.
    let last = if token.ends_with('A') { 'B' } else { 'A' };
    forged.extend([
        format!("{token}="),
        format!("{token}."),
        format!("{token}.{}", parts[2]),
        format!("{token}%20"),
        format!("{}{last}", &token[..token.len() - 1]),
        token.replace('.', ".."),
        format!("{}.{}", parts[1], parts[2]),
        token.to_ascii_lowercase(),
    ]);
    let own = token.clone();
    for token in forged.iter().filter(|forged| **forged != own) {
        assert_problem(&stage.get("/gate/one", token).await, 401, "bad-admission");
        let path = "/api/v1/events/one/sessions";
        let session = stage.client.post(path, token, json!({})).await.unwrap();
        assert_problem(&session, 401, "bad-admission");
    }
    let gate = stage.get("/gate/one", &token).await;
    assert!(gate.status.is_success(), "{}", gate.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_from_five_seconds_before_it_was_issued_to_five_after_its_end() {
    let stage = Stage::open().await;
    stage.event("one", json!({})).await;
    let (_, token) = stage.admit("one").await;
    let body = decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: shared::token::Claims = serde_json::from_slice(&body).unwrap();
    // It was issued now: the clock stands still.
    let issued = stage.clock.now().seconds();
    assert_eq!([claims.iat, claims.nbf], [issued - 5; 2]);
    let verifier = &stage.fairline.room.verifier;
    let event = shared::ids::EventId::parse("one").unwrap();
    let is_good = |seconds: i64| {
        let at = shared::time::Time(seconds * 1000);
        verifier.verify(&token, &event, at).is_ok()
    };
    let [first, last] = [issued - 10, claims.exp + 4];
    assert_eq!(
        [first - 1, first, last, last + 1].map(is_good),
        [false, true, true, false]
    );
}
