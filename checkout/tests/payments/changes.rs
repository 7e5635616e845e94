//! Mails to all buyers about a changed date or place, which an organiser asks for.

use crate::mails::{done, mailing, parsed, part, stages, text, until};
use crate::node::ORGANISER_KEY;
use crate::stage::ProviderStage;
use axum::http::StatusCode;
use checkout::inventory::mail::{MailKind, NewMail};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::{ReceivedMail, SmtpServer};

const CHANGES: &str = "/api/v1/organiser/events/arena/mails/changes";
/// Number of orders that take more than one step.
const MANY: usize = 105;

/// Asks for mails about a change from what was to the event of the tests.
async fn tell(stage: &ProviderStage, was: &Value) -> (StatusCode, Value) {
    stage
        .post(CHANGES, ORGANISER_KEY, &json!({"was": was}))
        .await
}

fn earlier() -> Value {
    json!({"starts_at": "2027-03-19T19:30:00Z", "doors_at": "2027-03-19T18:00:00Z", "time_zone": "Europe/Berlin",
        "venue": {"name": "Kleine Halle"}})
}

async fn is_done(stage: &ProviderStage) -> bool {
    stage.get(CHANGES).await["latest"]["done"] == true
}

fn is_of_change(mail: &&ReceivedMail) -> bool {
    // The second is "Geändert".
    ["Changed: ", "=?utf-8?b?R2XDpG5kZXJ0"]
        .iter()
        .any(|word| mail.content.contains(&format!("Subject: {word}")))
}

fn mails_of_change(server: &SmtpServer) -> Vec<ReceivedMail> {
    let mails = server.mails();
    mails.iter().filter(is_of_change).cloned().collect()
}

/// Returns a line of the calendar file of a mail.
fn calendar_line(mail: &ReceivedMail, name: &str) -> Option<String> {
    let mail = parsed(mail);
    let calendar = part(&mail["parts"], "text/calendar").unwrap();
    let mut lines = calendar.lines();
    lines.find_map(|line| Some(line.strip_prefix(name)?.to_owned()))
}

/// Checks that calendars keep the file of a change in place of the first one.
fn check_calendars(first: &ReceivedMail, changed: &ReceivedMail) {
    let uid = calendar_line(changed, "UID:").unwrap();
    assert_eq!(calendar_line(first, "UID:"), Some(uid));
    let sequence = calendar_line(changed, "SEQUENCE:").unwrap();
    assert!(sequence.parse::<u64>().unwrap() > 0);
    assert_eq!(calendar_line(first, "SEQUENCE:"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmed_orders_are_told_once_of_a_change_in_their_language() {
    for (stage, server) in stages().await {
        let english = stage.buy(&["s-A-1"]).await.id;
        let (_, ordered) = stage
            .order_by(&[], &["s-A-2"], &json!({"language": "de"}))
            .await;
        let german = stage.pay_for(&ordered).await.id;
        let refunded = stage.buy(&["s-A-3"]).await.id;
        // Its tickets are mailed while they are valid.
        done(&stage, &refunded, 1).await;
        stage.refund(&refunded, None).await;
        stage.settle_all().await;
        stage.order(&["s-A-4"]).await;
        for (order, mails) in [(&english, 1), (&german, 1), (&refunded, 2)] {
            done(&stage, order, mails).await;
        }
        let of_english = |mail: &&ReceivedMail| text(mail).contains(&english);
        let confirmation = server.mails().iter().find(of_english).unwrap().clone();
        let (status, begun) = tell(&stage, &earlier()).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
        until("all are told", async || is_done(&stage).await).await;
        // Asked for again it is the same.
        let (status, again) = tell(&stage, &earlier()).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        assert_eq!(again["latest"]["id"], begun["latest"]["id"]);
        let counts = ["waiting", "sent", "failed"].map(|name| again["latest"][name].clone());
        assert_eq!(counts, [0, 2, 0].map(Value::from));
        for (order, mails) in [(&english, 2), (&german, 2), (&refunded, 2)] {
            done(&stage, order, mails).await;
        }
        let told = mails_of_change(&server);
        assert_eq!(told.len(), 2);
        for (order, words) in [
            (&english, ["19 March 2027, 20:30", "20 March 2027, 20:00"]),
            (
                &german,
                ["19. März 2027, 20:30 Uhr", "20. März 2027, 20:00 Uhr"],
            ),
        ] {
            let mail = told
                .iter()
                .find(|mail| text(mail).contains(&**order))
                .unwrap();
            let plain = text(mail);
            for word in words
                .iter()
                .chain(&["Kleine Halle", "Große Halle", "/orders/ord_"])
            {
                assert!(plain.contains(word), "{word}: {plain}");
            }
        }
        let changed = told
            .iter()
            .find(|mail| text(mail).contains(&english))
            .unwrap();
        check_calendars(&confirmation, changed);
        // Another change is another one.
        let (_, next) = tell(&stage, &json!({})).await;
        assert!(
            next["latest"]["id"]
                .as_str()
                .unwrap()
                .starts_with("mail_change_2-")
        );
        until("all are told again", async || is_done(&stage).await).await;
        assert_eq!(mails_of_change(&server).len(), 4);
        let (_, audit) = stage.get_as_organiser("/api/v1/organiser/audit").await;
        let audit = String::from_utf8(audit).unwrap();
        assert_eq!(audit.matches("event.tell-buyers").count(), 2, "{audit}");
    }
}

/// Sells one seat to each of many buyers.
async fn sell_many(stage: &ProviderStage) -> Vec<String> {
    let plan = json!({"categories": [{"id": "c", "name": "C", "price": 4500}],
        "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": MANY}]});
    assert!(stage.put_plan("arena/seating", &plan).await.0.is_success());
    let mut orders = Vec::new();
    for seat in 1..=MANY {
        let sale = json!({"seats": [format!("s-A-{seat}")], "method": "comp",
            "buyer": {"name": "Ada", "email": format!("ada{seat}@example.org")}});
        let path = "/api/v1/organiser/events/arena/orders";
        let (status, order) = stage.post(path, ORGANISER_KEY, &sale).await;
        assert_eq!(status, StatusCode::CREATED, "{order}");
        orders.push(order["id"].as_str().unwrap().to_owned());
    }
    orders
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_while_it_tells_buyers_leaves_the_rest_to_another_one() {
    for (stage, server) in mailing(60).await {
        let orders = sell_many(&stage).await;
        assert_eq!(tell(&stage, &earlier()).await.0, StatusCode::ACCEPTED);
        let mails = stage.node.shop.inventory.mails();
        let taken = mails.claim(false, 1, 1_000).await.unwrap().remove(0);
        assert!(taken.mail.order.is_empty());
        // It has added some mails when it dies.
        let of_order = |order: &String| NewMail {
            id: format!("{}_{order}", taken.mail.id),
            order: order.clone(),
            kind: MailKind::Changed,
            ..taken.mail.clone()
        };
        let added = orders[MANY - 3..].iter().map(of_order).collect();
        mails.add_beside(&taken, added).await.unwrap();
        assert!(!is_done(&stage).await);
        stage.clock.advance_ms(2_000);
        tokio::spawn(checkout::run(stage.node.shop.clone()));
        until("all are told", async || is_done(&stage).await).await;
        let told = mails_of_change(&server);
        let addresses: BTreeSet<&String> = told.iter().map(|mail| &mail.to[0]).collect();
        assert_eq!((told.len(), addresses.len()), (MANY, MANY));
        let latest = stage.get(CHANGES).await["latest"].clone();
        assert_eq!(latest["sent"], MANY);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_of_no_change_nor_of_a_cancelled_show_nor_without_mail() {
    for (stage, _server) in mailing(60).await {
        let same = json!({"starts_at": "2027-03-20T19:00:00Z", "doors_at": "2027-03-20T18:00:00Z",
            "time_zone": "Europe/Berlin", "venue": {"name": "Große Halle", "address": "Am Platz 1, Berlin"}});
        let wrong = json!({"starts_at": "2027-03-20T19:00:00Z", "time_zone": "Nowhere"});
        for (was, status, kind) in [
            (&same, StatusCode::CONFLICT, "event-not-changed"),
            (&wrong, StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        ] {
            let (is, problem) = tell(&stage, was).await;
            assert_eq!(is, status, "{problem}");
            assert_eq!(problem["type"], format!("/problems/{kind}"));
        }
        assert_eq!(
            stage.get(CHANGES).await,
            json!({"is_set_up": true, "latest": null})
        );
        let cancel = "/api/v1/organiser/events/arena/cancel";
        let reason = json!({"reason": "The singer is ill."});
        let (status, _) = stage.post(cancel, ORGANISER_KEY, &reason).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        let (status, problem) = tell(&stage, &earlier()).await;
        assert_eq!(status, StatusCode::CONFLICT);
        assert_eq!(problem["type"], "/problems/event-cancelled");
    }
    for stage in ProviderStage::stripe().await {
        let (status, problem) = tell(&stage, &earlier()).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(problem["type"], "/problems/no-mail");
    }
}
