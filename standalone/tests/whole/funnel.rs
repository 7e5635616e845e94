//! The funnel from the line to a ticket, of a sale that runs, as organisers ask for it.

use crate::stage::{KEY, Stage, assert_problem, word};
use hyper::Method;
use serde_json::{Value, json};
use std::time::Duration;

const VIEWER: &str = "viewer-key-0123456";
const FUNNEL: &str = "/api/v1/organiser/events/night/sales/funnel";

/// Waits until five admissions, their ends and a buyer are counted. A line in which nothing happened is
/// looked at every 15 seconds.
async fn counted(stage: &Stage) -> Value {
    let is_counted = |total: &Value| {
        let ends = ["came", "missed", "left", "ejected"];
        let ended = ends.iter().filter_map(|end| total[*end].as_i64());
        ended.sum::<i64>() == 5 && total["admitted"] == 5 && total["buyers"] == 1
    };
    let counting = async {
        loop {
            let funnel = stage.get(FUNNEL, VIEWER).await.body;
            if is_counted(&funnel["total"]) {
                return funnel;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let counted = tokio::time::timeout(Duration::from_secs(60), counting);
    counted.await.expect("all is counted")
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_see_how_many_came_bought_missed_their_turn_left_or_were_removed() {
    let stage = Stage::open().await;
    let admission = json!({"rate_per_minute": 6_000_000, "batch_seconds": 1, "max_active": 1000,
        "claim_seconds": 30, "session_seconds": 60});
    stage.event("night", json!({"admission": admission})).await;
    assert_eq!(stage.get(FUNNEL, VIEWER).await.body["hours"], json!([]));
    let buyer = stage.session("night").await;
    stage.buy("night", &buyer, 2).await;
    let (pass, _) = stage.admit("night").await;
    let me = "/api/v1/events/night/line/me";
    let left = stage.client.call(Method::DELETE, me, &pass, None).await;
    left.unwrap().ok().unwrap();
    stage.admit("night").await;
    let eject = stage.organise(Method::DELETE, "/events/night/line/3", None);
    eject.await.ok().unwrap();
    // One shops until the time runs out, one never comes.
    stage.session("night").await;
    stage.admit("night").await;
    stage.pass_seconds("night", 100).await;
    let funnel = counted(&stage).await;
    let total = &funnel["total"];
    for (figure, value) in [
        ("came", 2),
        ("finished", 1),
        ("ran_out", 1),
        ("missed", 1),
        ("left", 1),
        ("ejected", 1),
    ] {
        assert_eq!(total[figure], value, "{figure}: {total}");
    }
    assert_eq!(total["waits"]["count"], 5);
    assert_eq!(total["waits"]["counts"][0], 5);
    assert_eq!(total["waits"]["median_minutes"], 1);
    assert_eq!(funnel["bounds_minutes"][0], 1);
    let bearer = format!("Bearer {VIEWER}");
    let heads = [("authorization", bearer.as_str())];
    let query = format!("from={}&to={}", word(&funnel["from"]), word(&funnel["to"]));
    let path = format!("{FUNNEL}.csv?{query}");
    let answer = stage.client.raw(Method::GET, &path, &heads, vec![]).await;
    let answer = answer.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    let mut rows = text.lines().map(|row| row.split(',').collect::<Vec<_>>());
    let columns = rows.next().unwrap();
    assert_eq!(columns[1..4], ["admitted", "missed their turn", "came"]);
    let rows: Vec<Vec<&str>> = rows.collect();
    assert_eq!(rows.len(), 7 * 24, "hours without admissions have a row");
    assert!(rows.iter().all(|row| row.len() == columns.len()));
    let sum = |at: usize| -> i64 { rows.iter().map(|row| row[at].parse::<i64>().unwrap()).sum() };
    let sums: Vec<i64> = (1..12).map(sum).collect();
    let seconds = total["waits"]["sum_seconds"].as_i64().unwrap();
    assert_eq!(sums, [5, 1, 2, 1, 1, 1, 1, 1, 5, seconds, 5]);
    let asked = format!("{FUNNEL}?from=2027-03-01T00:00:00Z&to=2027-04-01T00:00:01Z");
    assert_problem(&stage.get(&asked, KEY).await, 422, "invalid");
    let unknown = FUNNEL.replace("night", "nowhere");
    assert_problem(&stage.get(&unknown, KEY).await, 404, "no-such-event");
}
