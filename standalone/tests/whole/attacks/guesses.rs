//! Guesses of organiser keys, one-time codes and the service key.

use crate::keys::{EVENTS, ask, sign_in, sign_in_with};
use crate::stage::{KEY, PASS_SECRET, SERVICE_KEY, Stage, assert_problem};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn after_too_many_wrong_keys_the_right_one_is_refused_until_a_minute_has_passed() {
    let stage = Stage::with(|common| common.trusted_hops = Some("1".into())).await;
    let code = stage.fairline.room.site.organisers.one_time_code();
    let cookie = sign_in_with(&stage.client, KEY).await;
    let from = ("x-forwarded-for", "203.0.113.1");
    let by_key = |key: &str| format!("Bearer {key}");
    let right = by_key(KEY);
    let mut answers = Vec::new();
    for at in 0..60 {
        // By every way in: they share one limit.
        answers.push(match at % 3 {
            0 => {
                let guess = by_key(&format!("guess-number-{at:08}"));
                let heads = [from, ("authorization", guess.as_str())];
                ask(&stage.client, Method::GET, EVENTS, &heads).await.0
            }
            1 => {
                let guess = json!({"key": format!("guess-number-{at:08}")});
                sign_in(&stage.client, &[from], guess).await.0
            }
            _ => {
                let guess = json!({"code": format!("{at:040x}")});
                sign_in(&stage.client, &[from], guess).await.0
            }
        });
    }
    assert_eq!(answers[..20], [401; 20]);
    assert_eq!(answers[20..], [429; 40]);
    let heads = [from, ("authorization", right.as_str())];
    let answer = stage.client.raw(Method::GET, EVENTS, &heads, vec![]).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers()["retry-after"], "60");
    let client = &stage.client;
    for body in [json!({"key": KEY}), json!({"code": code})] {
        assert_eq!(sign_in(client, &[from], body).await.0, 429);
    }
    let open = [from, ("cookie", cookie.as_str())];
    assert_eq!(ask(client, Method::GET, EVENTS, &open).await.0, 200);
    let elsewhere = [
        ("x-forwarded-for", "203.0.113.2"),
        ("authorization", right.as_str()),
    ];
    assert_eq!(ask(client, Method::GET, EVENTS, &elsewhere).await.0, 200);
    stage.clock.advance_ms(60_000);
    assert_eq!(ask(client, Method::GET, EVENTS, &heads).await.0, 200);
    let by_code = sign_in(client, &[from], json!({"code": code})).await;
    assert_eq!(
        by_code.0, 201,
        "a code that was not compared is not used up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_key_in_a_loop_and_guesses_beside_it_do_not_lock_the_right_key_out() {
    let stage = Stage::with(|common| common.trusted_hops = Some("1".into())).await;
    let by = async |key: &str, from: Option<&str>| {
        let key = format!("Bearer {key}");
        let mut heads = vec![("authorization", key.as_str())];
        heads.extend(from.map(|address| ("x-forwarded-for", address)));
        ask(&stage.client, Method::GET, EVENTS, &heads).await.0
    };
    let office = Some("198.51.100.7");
    for from in [office, None] {
        for _ in 0..100 {
            assert_eq!(by("the-key-of-last-season", from).await, 401);
        }
        assert_eq!(by(KEY, from).await, 200);
    }
    let mut compared = 0;
    for at in 0..60 {
        let guess = format!("guess-number-{at:08}");
        compared += i32::from(by(&guess, office).await == 401);
        assert_eq!(by(&guess, None).await, 401);
    }
    assert_eq!(compared, 19, "the stale key was the first of twenty");
    assert_eq!(by(KEY, None).await, 200);
    assert_eq!(by(KEY, office).await, 429);
    stage.clock.advance_ms(3000);
    assert_eq!(by(KEY, office).await, 200);
    assert_eq!(by("guess-number-again", office).await, 401);
    assert_eq!(by("guess-number-once-more", office).await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_tried_as_a_key_is_still_right_as_a_code() {
    let stage = Stage::open().await;
    let code = stage.fairline.room.site.organisers.one_time_code();
    let as_key = sign_in(&stage.client, &[], json!({"key": code})).await;
    assert_eq!(as_key.0, 401);
    let as_code = sign_in(&stage.client, &[], json!({"code": code})).await;
    assert_eq!(as_code.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_from_many_addresses_are_slowed_together_and_organisers_are_not_shut_out() {
    let stage = Stage::with(|common| common.trusted_hops = Some("1".into())).await;
    let client = &stage.client;
    let office = ("x-forwarded-for", "198.51.100.7");
    let right = format!("Bearer {KEY}");
    let from_office = [office, ("authorization", right.as_str())];
    assert_eq!(ask(client, Method::GET, EVENTS, &from_office).await.0, 200);
    let mut compared = 0;
    for at in 0..20 {
        let address = format!("203.0.113.{at}");
        for guess in 0..25 {
            let guess = format!("Bearer guess-number-{guess:08}");
            let heads = [
                ("x-forwarded-for", address.as_str()),
                ("authorization", guess.as_str()),
            ];
            let (status, _) = ask(client, Method::GET, EVENTS, &heads).await;
            compared += i32::from(status == 401);
        }
    }
    assert_eq!(compared, 210, "of 500 guesses");
    assert_eq!(ask(client, Method::GET, EVENTS, &from_office).await.0, 200);
    let new = [
        ("x-forwarded-for", "198.51.100.8"),
        ("authorization", right.as_str()),
    ];
    assert_eq!(ask(client, Method::GET, EVENTS, &new).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_key_cannot_be_guessed_and_is_asked_for_before_anything_else() {
    let stage = Stage::with_secrets(|_| {}).await;
    stage.event("seats", json!({})).await;
    let path = "/api/v1/events/seats/availability";
    let report = json!({"capacity": 1, "available": 1, "held": 0, "booked": 0, "as_of": "2026-01-01T00:00:00Z"});
    let put = async |key: &str, body: &Value| {
        let put = stage
            .client
            .call(Method::PUT, path, key, Some(body.clone()));
        put.await.unwrap()
    };
    assert_eq!(
        put(SERVICE_KEY, &report).await.status,
        StatusCode::NO_CONTENT
    );
    assert_problem(&put(SERVICE_KEY, &json!({})).await, 422, "invalid");
    assert_problem(&put("", &json!({})).await, 401, "no-service-key");
    let mut answers = Vec::new();
    for at in 0..100 {
        let guess = format!("guess-{at:026}");
        let answer = match at % 2 {
            0 => put(&guess, &json!({})).await,
            _ => stage.get("/api/v1/organiser/signed-out", &guess).await,
        };
        answers.push(answer.status.as_u16());
    }
    assert_eq!(answers[..20], [401; 20]);
    assert_eq!(answers[20..], [429; 80]);
    assert_problem(&put(SERVICE_KEY, &report).await, 429, "too-many-requests");
    assert_eq!(
        stage.get(EVENTS, KEY).await.status,
        StatusCode::OK,
        "another kind of key"
    );
    stage.clock.advance_ms(60_000);
    assert_eq!(
        put(SERVICE_KEY, &report).await.status,
        StatusCode::NO_CONTENT
    );
    let list = stage.get("/api/v1/organiser/signed-out", SERVICE_KEY).await;
    assert_eq!(list.body, json!([]));
    for key in [KEY, PASS_SECRET] {
        let list = stage.get("/api/v1/organiser/signed-out", key).await;
        assert_problem(&list, 401, "no-service-key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_tells_no_one_beyond_the_limits_whether_a_key_is_right() {
    let stage = Stage::with_secrets(|common| common.trusted_hops = Some("1".into())).await;
    stage.event("draft", json!({"published": false})).await;
    let by = async |key: &str, address: &str| {
        let key = format!("Bearer {key}");
        let heads = [
            ("authorization", key.as_str()),
            ("x-forwarded-for", address),
        ];
        let path = "/api/v1/events/draft";
        ask(&stage.client, Method::GET, path, &heads).await.0
    };
    for key in [KEY, SERVICE_KEY] {
        assert_eq!(by(key, "203.0.113.1").await, 200);
    }
    for at in 0..20 {
        let guess = format!("guess-number-{at:08}");
        assert_eq!(by(&guess, "203.0.113.2").await, 404);
    }
    for key in [KEY, SERVICE_KEY] {
        assert_eq!(by(key, "203.0.113.2").await, 404, "it was not compared");
        assert_eq!(by(key, "203.0.113.3").await, 200);
    }
}
