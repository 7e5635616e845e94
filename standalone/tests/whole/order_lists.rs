//! Lists of orders, corrections and exports, from outside.

use crate::stage::{CARD, KEY, Stage, assert_problem, word};
use calamine::{Data, Reader as _, Xlsx};
use hyper::Method;
use serde_json::{Value, json};
use std::io::Cursor;

const OPERATOR: &str = "operator-key-01234";
const VIEWER: &str = "viewer-key-0123456";
const EVENT: &str = "/api/v1/organiser/events/night";

/// Asks for a document, and returns one of its headers and the text.
async fn document(stage: &Stage, path: &str, header: &str) -> (String, String) {
    let (value, bytes) = file(stage, path, header).await;
    (value, String::from_utf8(bytes).unwrap())
}

/// Asks for a file, and returns one of its headers and its content.
async fn file(stage: &Stage, path: &str, header: &str) -> (String, Vec<u8>) {
    let bearer = format!("Bearer {OPERATOR}");
    let heads = [("authorization", bearer.as_str())];
    let answer = stage
        .client
        .raw(Method::GET, path, &heads, Vec::new())
        .await
        .unwrap();
    let value = answer.headers()[header].to_str().unwrap().to_owned();
    (value, answer.body().to_vec())
}

/// Buys a seat under a name, and returns the order.
async fn buy(stage: &Stage, seat: &str, name: &str) -> Value {
    let session = stage.session("night").await;
    let hold = stage
        .hold("night", &session, json!({"seats": [seat]}))
        .await
        .body;
    let buyer = json!({"name": name, "email": "ada@example.org"});
    let body = json!({"hold": hold["id"], "buyer": buyer});
    let order = stage.client.post("/api/v1/orders", &session, body).await;
    stage
        .pay(&session, &order.unwrap().ok().unwrap(), CARD)
        .await
        .body
}

#[tokio::test(flavor = "multi_thread")]
async fn organisers_page_search_and_correct_orders_and_viewers_find_no_buyer() {
    let stage = Stage::open().await;
    stage.event("night", json!({})).await;
    let orders = [
        buy(&stage, "st-A-1", "Ada").await,
        buy(&stage, "st-A-2", "Ben").await,
    ];
    let list = async |query: &str, key: &str| {
        let path = format!("{EVENT}/orders?{query}");
        stage.get(&path, key).await.ok().unwrap()
    };
    let path = format!("{EVENT}/orders?limit=1&state=confirmed&q=st-a-2");
    let (link, first) = document(&stage, &path, "link").await;
    let first: Value = serde_json::from_str(&first).unwrap();
    let next = word(&first["next"]);
    assert_eq!(first["orders"][0]["id"], orders[1]["id"]);
    let wanted = format!("<?limit=1&state=confirmed&q=st-a-2&after={next}>; rel=\"next\"");
    assert_eq!(link, wanted);
    let rest = list(&format!("limit=1&after={next}"), KEY).await;
    assert_eq!(rest["orders"][0]["id"], orders[0]["id"]);
    // An empty cursor is the first page, and one that is none is no empty list.
    let first = list("limit=1&after=", KEY).await;
    assert_eq!(first["orders"][0]["id"], orders[1]["id"]);
    let unknown = format!("ord_{}", "0".repeat(40));
    let of_buyer = format!("{unknown}&q=ada");
    for after in ["x", "%00", "ord_x", &unknown, &of_buyer] {
        let path = format!("{EVENT}/orders?after={after}");
        let wrong = stage.get(&path, KEY).await;
        assert_problem(&wrong, 422, "unknown-cursor");
    }
    // The last order is one that there is.
    let last = word(&orders[0]["id"]);
    let end = list(&format!("limit=1&after={last}"), KEY).await;
    assert_eq!(end, json!({"orders": [], "next": null}));
    assert_eq!(
        list("q=BEN", OPERATOR).await["orders"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(list("q=BEN", VIEWER).await["orders"], json!([]));
    assert_eq!(
        list("q=st-A-1", VIEWER).await["orders"][0]["id"],
        orders[0]["id"]
    );

    let path = format!("{EVENT}/orders/{}", word(&orders[0]["id"]));
    let fix = async |body: Value, key: &str| {
        stage
            .client
            .call(Method::PATCH, &path, key, Some(body))
            .await
            .unwrap()
    };
    let fixed = fix(json!({"name": "Ada L."}), OPERATOR).await.ok().unwrap();
    let wanted = json!({"name": "Ada L.", "email": "ada@example.org"});
    assert_eq!(fixed["order"]["buyer"], wanted);
    assert_problem(
        &fix(json!({"email": "nowhere"}), OPERATOR).await,
        422,
        "invalid",
    );
    assert_problem(
        &fix(json!({"name": "x"}), VIEWER).await,
        403,
        "role-too-low",
    );
    let entry = stage.audited("order.buyer").await;
    assert_eq!(entry["to"], json!({"changed": ["name"]}));
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_have_a_row_for_each_and_no_formula() {
    let stage = Stage::open().await;
    stage.event("night", json!({})).await;
    let evil = buy(&stage, "st-A-1", "=HYPERLINK(\"x\"), Ada").await;
    let plain = buy(&stage, "st-A-2", "Ben").await;
    let export = async |table: &str, key: &str| {
        let path = format!("{EVENT}/exports/{table}");
        stage.get(&path, key).await
    };
    let rows = async |table: &str| {
        let path = format!("{EVENT}/exports/{table}");
        let (kind, text) = document(&stage, &path, "content-type").await;
        assert_eq!(kind, "text/csv; charset=utf-8");
        let text = text.strip_prefix('\u{feff}').unwrap();
        let rows = text.split_terminator("\r\n").map(str::to_owned);
        rows.collect::<Vec<_>>()
    };
    let (one, two) = (word(&evil["id"]), word(&plain["id"]));
    let (ticket, payment) = (
        word(&evil["tickets"][0]["id"]),
        word(&evil["payment"]["id"]),
    );
    let [first, second] = [&evil, &plain].map(|order| {
        let label = order["seats"][0]["label"].as_str().unwrap();
        format!("\"{label}\"")
    });
    let all = rows("orders.csv").await;
    assert_eq!(
        all[0],
        "order,made at,state,name,e-mail,seats,total,given back,charged back,currency"
    );
    assert!(
        all[1].starts_with(&format!("{two},"))
            && all[1].contains(&format!(
                ",confirmed,Ben,ada@example.org,{second},45.00,,,EUR"
            ))
    );
    assert!(
        all[2].starts_with(&format!("{one},"))
            && all[2].contains(",\"'=HYPERLINK(\"\"x\"\"), Ada\",ada@")
    );
    assert_eq!(all.len(), 3);
    let tickets = rows("tickets.csv").await;
    assert!(tickets[2].starts_with(&format!("{ticket},{first},stalls,45.00,EUR,{one},")));
    let doors = rows("door-list.csv").await;
    assert_eq!(
        doors[1],
        format!(
            "Ben,{second},stalls,{two},{},",
            word(&plain["tickets"][0]["id"])
        )
    );
    let payments = rows("payments.csv").await;
    assert!(payments[2].starts_with(&format!("{payment},simulated,{one},")));
    assert!(!(all.concat() + &tickets.concat() + &doors.concat()).contains("FL2."));
    for unknown in ["people.csv", "orders.pdf", "orders", "orders.csv.xlsx"] {
        assert_problem(&export(unknown, OPERATOR).await, 422, "invalid");
    }
    assert_problem(&export("orders.csv", VIEWER).await, 403, "role-too-low");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spreadsheet_has_the_rows_of_the_list_with_texts_as_they_were() {
    let stage = Stage::open().await;
    stage.event("night", json!({})).await;
    for (seat, name) in [("st-A-1", "=1+1"), ("st-A-2", "Zoë <東京>")] {
        buy(&stage, seat, name).await;
    }
    for table in ["orders", "tickets", "door-list", "payments"] {
        let path = format!("{EVENT}/exports/{table}");
        let (_, list) = document(&stage, &format!("{path}.csv"), "content-type").await;
        let list = list.trim_start_matches('\u{feff}').replace("'=1+1", "=1+1");
        let list = list.replace('"', "");
        let (named, sheet) = file(&stage, &format!("{path}.xlsx"), "content-disposition").await;
        assert_eq!(
            named,
            format!("attachment; filename=\"night-{table}.xlsx\"")
        );
        let mut book = Xlsx::new(Cursor::new(sheet)).unwrap();
        let sheet = book.worksheet_range("Sheet 1").unwrap();
        let shown = |cell: &Data| match cell {
            Data::Float(amount) => format!("{amount:.2}"),
            cell => cell.to_string(),
        };
        let rows = sheet
            .rows()
            .map(|row| row.iter().map(shown).collect::<Vec<_>>().join(","));
        let rows = rows.map(|row| row + "\r\n").collect::<String>();
        assert_eq!(rows, list, "{table}");
    }
}
