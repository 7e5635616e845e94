//! Admissions that are shared or taken elsewhere: which credential of a request counts at the gate,
//! and which clients of one admission are told apart.

use crate::stage::Stage;
use hyper::{Method, Response, StatusCode, body::Bytes};
use serde_json::json;

pub(crate) const PAGE: (&str, &str) = ("sec-fetch-mode", "navigate");
pub(crate) const PICTURE: (&str, &str) = ("sec-fetch-mode", "no-cors");

pub(crate) async fn ask(stage: &Stage, event: &str, heads: &[(&str, &str)]) -> Response<Bytes> {
    let path = format!("/gate/{event}");
    let answer = stage.client.raw(Method::GET, &path, heads, vec![]).await;
    answer.unwrap()
}

pub(crate) fn visitor(answer: &Response<Bytes>) -> &str {
    let visitor = answer.headers().get("x-fairline-visitor");
    visitor.map_or("nobody", |visitor| visitor.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_admission_is_of_few_clients_and_the_organiser_sees_who_shares() {
    let redis = testkit::Redis::start();
    for stage in [Stage::open().await, Stage::on(&redis).await] {
        stage.event("gate", json!({})).await;
        let (_, token) = stage.admit("gate").await;
        let cookie = format!("fairline_admission_gate={token}");
        let from = async |agent: &str, cookie: &str| {
            let heads = [("cookie", cookie), ("user-agent", agent), PAGE];
            ask(&stage, "gate", &heads).await
        };
        let first = from("first", &cookie).await;
        let set = first.headers()["set-cookie"].to_str().unwrap();
        assert!(
            set.starts_with("fairline_client_gate=") && set.contains("HttpOnly"),
            "{set}"
        );
        let client = set.split(';').next().unwrap();
        let mut passed = 1;
        for at in 0..100 {
            let answer = from(&format!("agent {at}"), &cookie).await;
            passed += usize::from(answer.status().is_success());
        }
        assert_eq!(passed, 3, "by default");
        let heads = [("cookie", cookie.as_str()), ("user-agent", "a script")];
        let refused = ask(&stage, "gate", &heads).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        for agent in ["first", "another"] {
            let both = format!("{cookie}; {client}");
            assert_eq!(from(agent, &both).await.status(), StatusCode::NO_CONTENT);
        }
        let path = "/events/gate/shared-admissions";
        let shared = stage.organise(Method::GET, path, None).await.body;
        assert_eq!(
            (
                &shared[0]["number"],
                &shared[0]["clients"],
                &shared[0]["refused"]
            ),
            (&json!(1), &json!(3), &json!(99))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_admissions_the_cookie_counts_and_the_bearer_once_the_cookie_admits_no_longer() {
    let stage = Stage::open().await;
    stage.event("gate", json!({})).await;
    let [ada, ben] = [stage.admit("gate").await.1, stage.admit("gate").await.1];
    let [cookie, other] = [&ada, &ben].map(|token| format!("fairline_admission_gate={token}"));
    let bearer = format!("Bearer {ben}");
    let both = [("cookie", cookie.as_str()), ("authorization", &bearer)];
    let of_ada = ask(&stage, "gate", &both[..1]).await;
    let of_ben = ask(&stage, "gate", &both[1..]).await;
    assert_ne!(visitor(&of_ada), visitor(&of_ben));
    let answer = ask(&stage, "gate", &both).await;
    assert_eq!(visitor(&answer), visitor(&of_ada));
    let done = "/api/v1/events/gate/admission";
    let done = stage.client.delete(done, &ada).await.unwrap();
    assert_eq!(done.status, StatusCode::NO_CONTENT);
    let answer = ask(&stage, "gate", &both).await;
    assert_eq!(visitor(&answer), visitor(&of_ben));
    // The identity that a client claims is not repeated, whether it may pass or not.
    for (heads, status) in [
        ([("cookie", other.as_str())], StatusCode::NO_CONTENT),
        ([("cookie", cookie.as_str())], StatusCode::UNAUTHORIZED),
    ] {
        let heads = [heads[0], ("x-fairline-visitor", "vis_forged")];
        let answer = ask(&stage, "gate", &heads).await;
        assert_eq!(answer.status(), status);
        assert_ne!(visitor(&answer), "vis_forged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_passed_passes_at_no_other_event_and_not_after_its_end() {
    let stage = Stage::open().await;
    let times = json!({"rate_per_minute": 6_000_000, "batch_seconds": 1, "claim_seconds": 5, "session_seconds": 5});
    for event in ["gate", "other"] {
        stage.event(event, json!({"admission": times})).await;
    }
    let (_, token) = stage.admit("gate").await;
    let status = async |event: &str| {
        let cookie = format!("fairline_admission_{event}={token}");
        let bearer = format!("Bearer {token}");
        let heads = [("cookie", cookie.as_str()), ("authorization", &bearer)];
        ask(&stage, event, &heads).await.status()
    };
    assert_eq!(status("gate").await, StatusCode::NO_CONTENT);
    assert_eq!(status("other").await, StatusCode::UNAUTHORIZED);
    stage.clock.advance_ms(60_000);
    assert_eq!(status("gate").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_clients_as_well_and_the_one_with_the_cookie_may_move() {
    let redis = testkit::Redis::start();
    for stage in [
        Stage::with(|common| common.trusted_hops = Some("1".into())).await,
        Stage::on(&redis).await,
    ] {
        stage.event("gate", json!({})).await;
        let (_, token) = stage.admit("gate").await;
        let cookie = format!("fairline_admission_gate={token}");
        let from = async |at: usize, cookie: &str| {
            let address = format!("198.51.100.{at}");
            // Without a trusted proxy the address tells nothing, and the agent has to.
            let agent = format!("Browser/{at}");
            let is_trusted = stage.fairline.room.site.trusted_hops == 1;
            let agent = if is_trusted { "Browser" } else { &agent };
            let heads = [
                ("cookie", cookie),
                ("x-forwarded-for", &address),
                ("user-agent", agent),
                PAGE,
            ];
            ask(&stage, "gate", &heads).await
        };
        let first = from(1, &cookie).await;
        let client = first.headers()["set-cookie"].to_str().unwrap();
        let client = client.split(';').next().unwrap();
        let mut passed = 1;
        for at in 2..10 {
            passed += usize::from(from(at, &cookie).await.status().is_success());
        }
        assert_eq!(passed, 3);
        let both = format!("{cookie}; {client}");
        for at in 20..24 {
            assert_eq!(from(at, &both).await.status(), StatusCode::NO_CONTENT);
        }
        // The cookie is no admission.
        assert_eq!(from(1, client).await.status(), StatusCode::FOUND);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_or_a_program_gets_the_cookie_of_its_client_and_no_picture_does() {
    let stage = Stage::open().await;
    stage.event("gate", json!({})).await;
    let (_, token) = stage.admit("gate").await;
    let cookie = format!("fairline_admission_gate={token}");
    for (agent, more, is_set) in [
        ("one", PICTURE, false),
        ("one", PAGE, true),
        ("one", PICTURE, false),
        ("two", ("accept", "application/json"), true),
    ] {
        let heads = [("cookie", cookie.as_str()), ("user-agent", agent), more];
        let answer = ask(&stage, "gate", &heads).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let has_cookie = answer.headers().contains_key("set-cookie");
        assert_eq!(has_cookie, is_set, "{agent} {more:?}");
        // The next answer is not one of the same second.
        stage.clock.advance_ms(1000);
    }
}
