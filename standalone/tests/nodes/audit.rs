//! The audit log of many nodes, and who may do what at each service.

use crate::matrix::{Credential, check};
use crate::site::{KEY, Node, SECRET, Site};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn the_nodes_keep_one_log_in_redis_and_what_is_done_to_it_there_is_told() {
    let site = Site::open(2).await;
    for room in &site.rooms {
        let id = room.url.rsplit(':').next().unwrap();
        let event = json!({"id": format!("at-{id}"), "name": "The night"});
        room.client.create_event(KEY, &event, None).await.unwrap();
    }
    let told = |node: &Node| node.verify_audit().status.code();
    for room in &site.rooms {
        assert_eq!(told(room), Some(0), "{:?}", room.verify_audit());
    }
    assert_eq!(told(&site.checkout), Some(0));
    // A node that could not reach Redis sends what it has once it can.
    site.redis.signal("STOP");
    let session = "/api/v1/organiser/session";
    let at = &site.rooms[1].client;
    at.get(session, "a-wrong-key-0123456").await.unwrap();
    site.redis.signal("CONT");
    let from = Instant::now();
    let stored = |site: &Site| {
        site.redis
            .ask(&["LRANGE", "fairline:audit", "0", "-1"])
            .unwrap()
    };
    while !stored(&site).contains("key.wrong") {
        assert!(
            from.elapsed() < Duration::from_secs(60),
            "{}",
            stored(&site)
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        told(&site.rooms[0]),
        Some(0),
        "{:?}",
        site.rooms[0].verify_audit()
    );
    site.redis
        .ask(&["LSET", "fairline:audit", "-1", "forged"])
        .unwrap();
    for room in &site.rooms {
        assert_eq!(told(room), Some(1));
    }
}

#[tokio::test]
async fn each_service_lets_in_whom_its_own_document_names() {
    let keys = "vi:viewer:viewer-key-0123456,op:operator:operator-key-01234".to_owned();
    let more = vec![("FAIRLINE_ORGANISER_KEYS", keys)];
    let site = Site::of(vec![more.clone()], vec![more]).await;
    let doors = json!({"rate_per_minute": 60_000, "batch_seconds": 1, "max_active": 100});
    site.event("arena", doors).await;
    let (pass, token) = site.admit("arena").await;
    let service = format!("service-{SECRET}");
    let credentials = [
        ("", ""),
        ("pass", &pass),
        ("admission", &token),
        ("service", &service),
        ("viewer", "viewer-key-0123456"),
        ("operator", "operator-key-01234"),
        ("admin", KEY),
    ];
    for node in [&site.rooms[0], &site.checkout] {
        let own = credentials.map(|(kind, bearer)| Credential {
            kind,
            bearer: bearer.to_owned(),
        });
        let fill = |path: &str| {
            let path = path.replace("{event}", "arena").replace("{visitor}", "1");
            let path = path.replace("{*rest}", "x");
            ["{order}", "{hold}", "{payment}"]
                .iter()
                .fold(path, |path, id| path.replace(id, "x_arena_x"))
        };
        let count = check(&node.client, &own, fill).await;
        assert!(count > 15, "{count}");
    }
}
