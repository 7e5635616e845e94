//! Bad days behind each proxy: the store away, nodes that die.

use super::stand::{Stand, told};
use crate::site::Node;
use futures_util::future::join_all;
use hyper::{Method, StatusCode};
use std::time::{Duration, Instant};

#[tokio::test]
async fn trouble_of_the_gate_throws_no_admitted_fan_out_of_the_site_behind_any_proxy() {
    let mut stand = Stand::open().await;
    let admissions = join_all(stand.proxies.iter().map(async |proxy| {
        let admission = proxy.admitted().await;
        let inside = proxy.get("/", &[("cookie", &admission)]).await;
        assert_eq!(
            inside.status(),
            StatusCode::OK,
            "{}: {inside:?}",
            proxy.name
        );
        admission
    }))
    .await;
    while_frozen(&stand, &admissions).await;
    join_all(stand.rooms.iter().map(reach_the_line)).await;
    stand.rooms[0].kill();
    stand.rooms[1].kill();
    join_all(
        stand
            .proxies
            .iter()
            .zip(&admissions)
            .map(async |(proxy, admission)| {
                for _ in 0..12 {
                    let answer = proxy.get("/buy", &[("cookie", admission)]).await;
                    assert_eq!(
                        answer.status(),
                        StatusCode::OK,
                        "{}: {answer:?}",
                        proxy.name
                    );
                    assert_eq!(told(&answer)["path"], "/buy", "{}", proxy.name);
                    let page = format!("/.fairline/e/{}", proxy.name);
                    let page = proxy.get(&page, &[]).await;
                    assert_eq!(page.status(), StatusCode::OK, "{}: {page:?}", proxy.name);
                }
            }),
    )
    .await;
    stand.rooms[2].kill();
    join_all(stand.proxies.iter().map(async |proxy| {
        let from = Instant::now();
        let answer = proxy.get("/", &[]).await;
        let name = proxy.name;
        assert!(answer.status().is_server_error(), "{name}: {answer:?}");
        assert_ne!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{name}");
        assert!(from.elapsed() < Duration::from_secs(10), "{name}");
    }))
    .await;
}

/// Asks while the store does not answer.
async fn while_frozen(stand: &Stand, admissions: &[String]) {
    stand.redis.signal("STOP");
    let frozen = join_all(
        stand
            .proxies
            .iter()
            .zip(admissions)
            .map(async |(proxy, admission)| {
                let (mut inside, mut away) = (Vec::new(), Vec::new());
                for at in 0..20 {
                    // Clients that nobody can count at the moment.
                    let agent = format!("Browser/{}", at % 5);
                    let heads = [("cookie", admission.as_str()), ("user-agent", &agent)];
                    inside.push(proxy.get("/", &heads).await.status());
                    away.push(
                        proxy
                            .get("/", &[("sec-fetch-mode", "navigate")])
                            .await
                            .status(),
                    );
                }
                (proxy.name, inside, away)
            }),
    )
    .await;
    stand.redis.signal("CONT");
    for (name, inside, away) in frozen {
        assert_eq!(inside, [StatusCode::OK; 20], "{name}");
        assert_eq!(away, [StatusCode::FOUND; 20], "{name}");
    }
}

/// Waits until a node shows queue pages again. It asks the store after a pause, and says until then
/// that it cannot reach the line.
async fn reach_the_line(room: &Node) {
    let from = Instant::now();
    loop {
        let page = room.client.raw(Method::GET, "/e/nginx", &[], Vec::new());
        let page = page.await.unwrap();
        if page.status() == StatusCode::OK {
            return;
        }
        assert!(from.elapsed() < Duration::from_secs(10), "{page:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
