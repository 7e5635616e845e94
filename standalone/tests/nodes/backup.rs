//! Each service copies its own data folder, and goes on from the copy.

use crate::site::{Node, Site};
use hyper::Method;
use serde_json::json;

#[tokio::test]
async fn each_service_goes_on_from_the_backup_that_it_made_itself() {
    let embedded = vec![("FAIRLINE_LINE", "embedded".to_owned())];
    let mut site = Site::with(vec![embedded]).await;
    let doors = json!({"rate_per_minute": 60_000, "batch_seconds": 1, "max_active": 100});
    site.event("arena", doors).await;
    let (pass, token) = site.admit("arena").await;
    site.buy("arena", &token).await;
    let me = "/api/v1/events/arena/line/me";
    site.until(me, &pass, |place| place["state"] == "finished")
        .await;
    let (next, next_token) = site.admit("arena").await;

    let folder = tempfile::tempdir().unwrap();
    for (node, name) in [(&mut site.rooms[0], "line"), (&mut site.checkout, "seats")] {
        go_on_from_a_copy(node, &folder.path().join(name)).await;
    }
    let place = site
        .until(me, &next, |place| place["state"] == "admitted")
        .await;
    assert_eq!(place["number"], 2);
    let place = site.until(me, &pass, |place| place["number"] == 1).await;
    assert_eq!(place["state"], "finished");
    site.buy("arena", &next_token).await;
    let sales = site
        .organise(Method::GET, "/events/arena/sales", None)
        .await;
    assert_eq!(sales.body["booked"], 2);
    assert_eq!(site.client.join("arena").await.unwrap()["number"], 3);
}

async fn go_on_from_a_copy(node: &mut Node, copy: &std::path::Path) {
    node.back_up(copy);
    node.kill();
    node.set("FAIRLINE_DATA", &copy.display().to_string());
    node.start();
    node.ready().await;
}
