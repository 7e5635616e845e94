//! Limits that all nodes share.

use crate::site::Site;
use hyper::Method;
use serde_json::json;

#[tokio::test]
async fn an_address_is_given_no_more_places_by_three_nodes_than_by_one() {
    let limited = || vec![("FAIRLINE_JOINS_PER_MINUTE", "30".to_owned())];
    let site = Site::with(vec![limited(), limited(), limited()]).await;
    site.event("arena", json!({"rate_per_minute": 0})).await;
    let path = "/api/v1/events/arena/line";
    site.until("/api/v1/events/arena", "", |event| event["phase"] == "open")
        .await;
    let join = async |node: usize, address: &str| {
        let heads = [
            ("x-forwarded-for", address),
            ("content-type", "application/json"),
        ];
        let client = &site.rooms[node % 3].client;
        let answer = client.raw(Method::POST, path, &heads, b"{}".to_vec()).await;
        answer.unwrap().status().as_u16()
    };
    let mut given = 0;
    for node in 0..90 {
        given += usize::from(join(node, "198.51.100.7").await == 201);
    }
    // One more each two seconds, should it take that long.
    assert!((30..36).contains(&given), "{given} places");
    for node in 0..3 {
        assert_eq!(join(node, "198.51.100.8").await, 201, "a neighbour");
    }
    // Nodes that know of nothing yet agree on what others gave.
    let mut given = 0;
    for node in 0..3 {
        for _ in 0..30 {
            given += usize::from(join(node, "2001:db8::7").await == 201);
        }
    }
    assert!(given < 50, "{given} places");
}
