//! Tickets at the door, from outside.

use crate::stage::{CARD, Stage, assert_problem, word};
use hyper::Method;
use serde_json::{Value, json};

const OPERATOR: &str = "operator-key-01234";
const DOOR: &str = "door-key-012345678";
const EVENT: &str = "/api/v1/organiser/events/night";

/// Buys seats, and returns the order.
async fn buy(stage: &Stage, seats: &[&str]) -> Value {
    stage.event("night", json!({})).await;
    let session = stage.session("night").await;
    let wish = json!({"seats": seats});
    let hold = stage.hold("night", &session, wish).await.body;
    let order = stage.order(&session, &hold).await;
    stage.pay(&session, &order, CARD).await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_checks_a_ticket_in_once_and_learns_of_a_refund() {
    let stage = Stage::open().await;
    let paid = buy(&stage, &["st-A-1", "st-A-2"]).await;
    let (id, code) = (&paid["tickets"][1]["id"], word(&paid["tickets"][1]["code"]));
    let post = async |path: &str, body: Value| {
        let path = format!("{EVENT}/{path}");
        stage.client.post(&path, DOOR, body).await.unwrap()
    };
    let scan = async |code: &str, door: &str| {
        post("checkins", json!({"code": code, "door": door, "scan": "1"})).await
    };
    let good = post("tickets/check", json!({"code": code}))
        .await
        .ok()
        .unwrap();
    let wanted = json!({"id": id, "seat": "st-A-2", "label": "st, row A, seat 2", "order": paid["id"],
        "used_at": null, "door": null});
    assert_eq!(good, wanted);
    let first = scan(&code, "North").await.ok().unwrap();
    let at = &first["ticket"]["used_at"];
    assert_eq!((at.is_string(), &first["repeated"]), (true, &json!(false)));
    // A scanner that types ends the code with a line break.
    let again = scan(&format!("{code}\r\n"), "North").await.ok().unwrap();
    assert_eq!(
        (&again["ticket"], &again["repeated"]),
        (&first["ticket"], &json!(true))
    );
    let second = scan(&code, "South").await;
    assert_problem(&second, 409, "ticket-used");
    assert_eq!(
        (&second.body["used_at"], &second.body["door"]),
        (at, &json!("North"))
    );
    assert_problem(
        &scan(&format!("{code}x"), "North").await,
        404,
        "no-such-ticket",
    );
    let elsewhere = code.replace(".night.", ".day.");
    let elsewhere = scan(&elsewhere, "North").await;
    assert_problem(&elsewhere, 409, "ticket-of-another-event");
    assert_eq!(elsewhere.body["event"], "day");
    assert_problem(&scan(&"x".repeat(301), "North").await, 422, "invalid");
    assert_problem(&scan(&code, "").await, 422, "invalid");

    let figures = stage
        .get(&format!("{EVENT}/checkins"), DOOR)
        .await
        .ok()
        .unwrap();
    assert_eq!(
        (&figures["tickets"], &figures["checked_in"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        figures["doors"],
        json!([{"door": "North", "checked_in": 1}])
    );
    assert_eq!(figures["latest"], json!([first["ticket"]]));
    let bundle = stage
        .get(&format!("{EVENT}/door-bundle"), DOOR)
        .await
        .ok()
        .unwrap();
    assert_eq!(
        (bundle["tickets"].as_array().unwrap().len(), &bundle["next"]),
        (2, &Value::Null)
    );
    assert!(!bundle.to_string().contains("FL2."), "a list opens no door");
    for after in ["%00", "x", "tix_", "tix_0", "ord_5e8840f3"] {
        let path = format!("{EVENT}/door-bundle?after={after}");
        let refused = stage.get(&path, OPERATOR).await;
        assert_problem(&refused, 422, "unknown-cursor");
    }
    let id_before = word(&bundle["tickets"][0]["id"]);
    let path = format!("{EVENT}/door-bundle?after={id_before}");
    let rest = stage.get(&path, DOOR).await.ok().unwrap();
    assert_eq!(rest["tickets"], json!([bundle["tickets"][1]]));

    let undo = format!("{EVENT}/checkins/{}", word(id));
    let undo = async |key: &str| {
        stage
            .client
            .call(Method::DELETE, &undo, key, None)
            .await
            .unwrap()
    };
    assert_problem(&undo(DOOR).await, 403, "role-too-low");
    assert_eq!(undo(OPERATOR).await.ok().unwrap(), first["ticket"]);
    scan(&code, "South").await.ok().unwrap();
    let undone = stage.audited("checkin.undo").await;
    assert_eq!(
        (&undone["by"], &undone["from"]["door"]),
        (&json!("op"), &json!("North"))
    );

    let refund = format!("/events/night/orders/{}/refund", word(&paid["id"]));
    stage
        .organise(Method::POST, &refund, None)
        .await
        .ok()
        .unwrap();
    assert_problem(&scan(&code, "South").await, 409, "ticket-void");
}

#[tokio::test(flavor = "multi_thread")]
async fn scans_made_without_a_connection_are_merged_and_conflicts_are_told() {
    let stage = Stage::open().await;
    let paid = buy(&stage, &["st-A-1", "st-A-2"]).await;
    let code = |at: usize| word(&paid["tickets"][at]["code"]);
    let merge = async |body: Value| {
        let path = format!("{EVENT}/checkins/merge");
        stage.client.post(&path, DOOR, body).await.unwrap()
    };
    let online = json!({"code": code(0), "door": "North"});
    let path = format!("{EVENT}/checkins");
    stage
        .client
        .post(&path, DOOR, online)
        .await
        .unwrap()
        .ok()
        .unwrap();
    let at = "2027-01-15T07:00:00Z";
    let late = json!({"door": "South", "scans": [
        {"code": code(0), "scan": "a", "at": at},
        {"code": code(1), "scan": "b", "at": at},
        {"code": "FL2.night.tix_0.x", "scan": "c", "at": at},
    ]});
    for _ in 0..2 {
        let merged = merge(late.clone()).await.ok().unwrap();
        let scans = merged["scans"].as_array().unwrap();
        let outcomes: Vec<&Value> = scans.iter().map(|scan| &scan["outcome"]).collect();
        assert_eq!(outcomes, ["ticket-used", "checked_in", "no-such-ticket"]);
        assert_eq!(
            (&scans[0]["scan"], &scans[0]["door"]),
            (&json!("a"), &json!("North"))
        );
        assert_eq!(scans[1]["ticket"]["used_at"], at);
    }
    let conflict = stage.audited("checkins.conflict").await;
    assert_eq!(
        (&conflict["by"], &conflict["from"]["door"]),
        (&json!("north"), &json!("South"))
    );
    assert_eq!(conflict["to"][0]["door"], "North");
    let scan =
        |at: usize| json!({"code": code(0), "scan": format!("{at}"), "at": "2026-01-01T00:00:00Z"});
    let many: Vec<Value> = (0..201).map(scan).collect();
    assert_problem(
        &merge(json!({"door": "South", "scans": many})).await,
        422,
        "invalid",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_of_a_phone_whose_clock_is_wrong_lets_in_at_the_servers_time_and_is_told() {
    let stage = Stage::open().await;
    let seats = ["st-A-1", "st-A-2", "st-A-3"];
    let paid = buy(&stage, &seats).await;
    let code = |at: usize| word(&paid["tickets"][at]["code"]);
    let now = stage.clock.now().to_string();
    let post = async |path: &str, body: Value| {
        let path = format!("{EVENT}/{path}");
        let answer = stage.client.post(&path, DOOR, body).await;
        answer.unwrap().ok().unwrap()
    };
    let (long_ago, to_come) = ("1970-01-01T00:00:07Z", "2038-01-19T03:14:07Z");
    let late = json!({"door": "South", "scans": [
        {"code": code(0), "scan": "a", "at": long_ago},
        {"code": code(1), "scan": "b", "at": to_come},
    ]});
    for _ in 0..2 {
        let merged = post("checkins/merge", late.clone()).await;
        for (at, told) in [long_ago, to_come].into_iter().enumerate() {
            let scan = &merged["scans"][at];
            assert_eq!(scan["outcome"], "checked_in");
            assert_eq!(scan["ticket"]["used_at"], now);
            assert_eq!(scan["doubtful_at"], told);
        }
    }
    let noted = stage.audited("checkins.doubtful-clock").await;
    assert_eq!(noted["from"], json!({"door": "South"}));
    let scans = json!([{"scan": "a", "at": long_ago}, {"scan": "b", "at": to_come}]);
    assert_eq!(noted["to"], scans);
    let scan = json!({"code": code(2), "door": "North", "scan": "c", "at": long_ago});
    let single = post("checkins", scan).await;
    assert_eq!(single["ticket"]["used_at"], now);
    assert_eq!(single["doubtful_at"], long_ago);
    let noted = stage.audited("checkins.doubtful-clock").await;
    assert_eq!(noted["to"], json!([{"scan": "c", "at": long_ago}]));
}
