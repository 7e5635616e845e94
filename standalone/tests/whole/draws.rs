//! The draw over HTTP, in one process: commitment, draw, proof, verification.

use crate::stage::{KEY, Stage, assert_problem, word};
use hyper::Method;
use serde_json::json;
use shared::time::Time;

async fn entries_of(stage: &Stage, draw: &str) -> String {
    let path = format!("{draw}/entries");
    let answer = stage.client.raw(Method::GET, &path, &[], Vec::new()).await;
    String::from_utf8(answer.unwrap().body().to_vec()).unwrap()
}

#[tokio::test]
async fn a_draw_is_told_proved_and_checked_over_http() {
    let redis = testkit::Redis::start();
    for stage in [Stage::open().await, Stage::on(&redis).await] {
        let now = stage.clock.now();
        let settings = json!({"id": "drawn", "name": "Drawn", "order": "draw", "prequeue_opens_at": now,
            "sale_opens_at": now.plus_seconds(10), "admission": {"rate_per_minute": 0}});
        stage
            .client
            .create_event(KEY, &settings, None)
            .await
            .unwrap();
        let draw = "/api/v1/events/drawn/draw";
        let promised = stage.get(draw, "").await.body;
        assert_eq!(promised["algorithm"], "hmac-sha256-sort/1");
        assert!(promised["seed"].is_null() && promised["commitment"].is_string());
        let mut passes = Vec::new();
        for _ in 0..20 {
            let place = stage.client.join("drawn").await.unwrap();
            assert!(
                place["number"].is_null(),
                "no number before the draw: {place}"
            );
            passes.push((word(&place["pass"]), word(&place["entry"])));
        }
        let early = stage.get(&format!("{draw}/entries"), "").await;
        assert_problem(&early, 409, "not-drawn");
        stage.clock.advance_ms(10_000);
        let drawn = stage
            .until(draw, "", |drawn| drawn["seed"].is_string())
            .await;
        assert_eq!(drawn["commitment"], promised["commitment"]);
        let list = entries_of(&stage, draw).await;
        let drawn: waiting_room::draw::Drawn = serde_json::from_value(drawn).unwrap();
        assert_eq!(waiting_room::draw::verify(&drawn, &list), Ok(20));
        let late = stage.client.join("drawn").await.unwrap();
        assert_eq!((&late["number"], late.get("entry")), (&json!(21), None));
        for (pass, entry) in &passes {
            let me = "/api/v1/events/drawn/line/me";
            let place = stage
                .until(me, pass, |place| place["number"].is_u64())
                .await;
            assert_eq!(place["entry"], entry.as_str());
            let proof = stage
                .get(&format!("{draw}/proof"), pass)
                .await
                .ok()
                .unwrap();
            assert_eq!(proof["number"], place["number"]);
            assert!(list.contains(&format!("{entry} {}\n", place["number"])));
            let proof = serde_json::from_value(proof).unwrap();
            assert_eq!(waiting_room::draw::verify_proof(&drawn, &proof), Ok(()));
        }
        let stranger = stage
            .get(&format!("{draw}/proof"), &word(&late["pass"]))
            .await;
        assert_problem(&stranger, 404, "not-in-draw");
        assert_problem(
            &stage.get(&format!("{draw}/proof"), "").await,
            401,
            "no-pass",
        );
        stage.event("plain", json!({})).await;
        assert_problem(
            &stage.get("/api/v1/events/plain/draw", "").await,
            404,
            "no-draw",
        );
        let beacon = "/events/drawn/draw/beacon";
        let round = json!({"round": 1, "signature": "00"});
        let refused = stage.organise(Method::POST, beacon, Some(round)).await;
        assert_problem(&refused, 409, "no-beacon");
    }
}

#[tokio::test]
async fn a_draw_is_checked_offline_by_the_command() {
    let stage = Stage::open().await;
    // Half a minute before the round was published.
    let now = Time(1_692_803_703_000);
    stage.clock.advance_ms(now.0 - stage.clock.now().0);
    let settings = json!({"id": "drawn", "name": "Drawn", "order": "draw", "prequeue_opens_at": now,
        "sale_opens_at": now.plus_seconds(10), "admission": {"rate_per_minute": 0},
        "beacon": {"name": "quicknet", "round": 123}});
    stage
        .client
        .create_event(KEY, &settings, None)
        .await
        .unwrap();
    for _ in 0..50 {
        stage.client.join("drawn").await.unwrap();
    }
    stage.clock.advance_ms(10_000);
    let beacon = "/events/drawn/draw/beacon";
    let wrong = json!({"round": 123, "signature": "00".repeat(48)});
    let refused = stage.organise(Method::POST, beacon, Some(wrong)).await;
    assert_eq!(refused.body["errors"][0]["field"], "signature");
    let signature = "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92";
    let round = json!({"round": 123, "signature": signature});
    stage
        .organise(Method::POST, beacon, Some(round))
        .await
        .ok()
        .unwrap();
    let draw = "/api/v1/events/drawn/draw";
    let drawn = stage
        .until(draw, "", |drawn| drawn["seed"].is_string())
        .await;
    let list = entries_of(&stage, draw).await;
    let folder = tempfile::tempdir().unwrap();
    let (draw, entries) = (
        folder.path().join("draw.json"),
        folder.path().join("entries.txt"),
    );
    std::fs::write(&draw, drawn.to_string()).unwrap();
    let check = |list: &str| {
        std::fs::write(&entries, list).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fairline"));
        let output = command
            .arg("verify-draw")
            .args([&draw, &entries])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = check(&list);
    assert!(code == Some(0) && said.contains("50 entries"), "{said}");
    let (code, said) = check(&list.replacen(" 1\n", " 51\n", 1));
    assert!(code == Some(1) && said.contains("NOT"), "{said}");
    std::fs::remove_file(&entries).unwrap();
    std::fs::write(&draw, "{").unwrap();
    assert_eq!(check(&list).0, Some(2));
}
