//! Sales by the hour, as organisers ask for them.

use crate::stage::{CARD, KEY, Stage, assert_problem, word};
use hyper::Method;
use serde_json::{Value, json};

const VIEWER: &str = "viewer-key-0123456";
const HOURLY: &str = "/api/v1/organiser/events/night/sales/hourly";

async fn buy(stage: &Stage, seats: &[&str]) -> Value {
    let session = stage.session("night").await;
    let hold = stage.hold("night", &session, json!({"seats": seats})).await;
    let order = stage.order(&session, &hold.body).await;
    stage.pay(&session, &order, CARD).await.body
}

async fn csv(stage: &Stage, query: &str) -> (String, String) {
    let bearer = format!("Bearer {VIEWER}");
    let heads = [("authorization", bearer.as_str())];
    let path = format!("{HOURLY}.csv?{query}");
    let answer = stage.client.raw(Method::GET, &path, &heads, vec![]).await;
    let answer = answer.unwrap();
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    (kind, String::from_utf8(answer.body().to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_see_what_was_sold_and_given_back_in_each_hour_and_take_it_as_csv() {
    let stage = Stage::open().await;
    stage.event("night", json!({})).await;
    assert_eq!(stage.get(HOURLY, VIEWER).await.body["hours"], json!([]));
    buy(&stage, &["st-A-1", "st-A-2"]).await;
    let order = buy(&stage, &["st-A-3"]).await;
    let refund = format!("/events/night/orders/{}/refund", word(&order["id"]));
    let refunded = stage.organise(Method::POST, &refund, None).await;
    refunded.ok().unwrap();
    let sum = |sales: &Value, figure: &str| -> i64 {
        let hours = sales["hours"].as_array().unwrap().iter();
        hours
            .map(|hour| hour.pointer(figure).and_then(Value::as_i64).unwrap_or(0))
            .sum()
    };
    let is_counted = |sales: &Value| sum(sales, "/tickets_voided") == 1;
    let sales = stage.until(HOURLY, VIEWER, is_counted).await;
    for (figure, value) in [
        ("/orders_confirmed", 2),
        ("/orders_refunded", 1),
        ("/tickets_sold", 3),
        ("/money/0/gross/amount", 3 * 4500),
        ("/money/0/refunded/amount", 4500),
        ("/categories/0/tickets_sold", 3),
        ("/categories/0/prices/amount", 3 * 4500),
        ("/holds_expired", 0),
    ] {
        assert_eq!(sum(&sales, figure), value, "{figure}");
    }
    let span = format!("from={}&to={}", word(&sales["from"]), word(&sales["to"]));
    let (kind, text) = csv(&stage, &span).await;
    assert_eq!(kind, "text/csv; charset=utf-8");
    let mut rows = text.trim_start_matches('\u{feff}').lines();
    let category = word(&sales["hours"][0]["categories"][0]["category"]);
    let columns = format!(
        "hour,orders confirmed,orders refunded,orders cancelled,orders expired,tickets sold,tickets voided,\
         holds expired,gross,refunded,charged back,currency,tickets sold: {category}"
    );
    assert_eq!(rows.next().unwrap(), columns);
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split(',').collect()).collect();
    assert_eq!(rows.len(), 7 * 24, "hours without sales have a row");
    let column = |at: usize| {
        rows.iter()
            .map(|row| row[at].parse::<f64>().unwrap())
            .sum::<f64>()
    };
    assert_eq!(
        (column(5), column(8), column(9), column(12)),
        (3.0, 135.0, 45.0, 3.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_of_hours_is_bounded_and_taken_to_full_hours() {
    let stage = Stage::open().await;
    stage.event("night", json!({})).await;
    let asked = format!("{HOURLY}?from=2027-03-01T10:59:59Z&to=2027-03-01T12:00:01Z");
    let sales = stage.get(&asked, KEY).await.ok().unwrap();
    let span = ["2027-03-01T10:00:00Z", "2027-03-01T13:00:00Z"];
    assert_eq!([word(&sales["from"]), word(&sales["to"])], span);
    for (query, field) in [
        ("from=2027-03-01T00:00:00Z&to=2027-04-01T00:00:01Z", "from"),
        ("from=2027-03-01T10:00:00Z&to=2027-03-01T10:00:00Z", "from"),
        ("from=2999-03-01T10:00:00Z", "from"),
        ("from=yesterday", "from"),
        ("to=1", "to"),
    ] {
        for path in ["", ".csv", ".parquet"].map(|end| format!("{HOURLY}{end}")) {
            let answer = stage.get(&format!("{path}?{query}"), KEY).await;
            assert_problem(&answer, 422, "invalid");
            assert_eq!(answer.body["errors"][0]["field"], field, "{query}");
        }
    }
    let whole = format!("{HOURLY}?from=2027-03-01T00:00:00Z&to=2027-04-01T00:00:00Z");
    stage.get(&whole, KEY).await.ok().unwrap();
    let unknown = HOURLY.replace("night", "nowhere");
    assert_problem(&stage.get(&unknown, KEY).await, 404, "no-such-event");
}
