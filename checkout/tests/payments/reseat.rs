//! Tickets of an order moved to other seats, through the router and each provider.

use crate::at_provider::Operation;
use crate::mails::{stages, text};
use crate::moving::{BALCONY, BOX, EVENT, code_of, codes, seats_of, to};
use crate::node::ORGANISER_KEY;
use crate::stage::{PRICE, ProviderStage};
use axum::http::StatusCode;
use checkout::inventory::{DifferenceSettlement, Money, Reseat, SeatMove, SeatState};
use serde_json::json;
use testkit::ApiFault;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_moved_within_its_category_and_only_its_new_code_opens_the_door() {
    for stage in ProviderStage::all().await {
        stage.set_hall().await;
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        let moves = [("s-A-1", "s-A-4")];
        assert_eq!(
            stage.preview(&bought.id, &moves).await["difference"]["amount"],
            0
        );
        let (status, moved) = stage.reseat(&bought.id, &to(&moves, 0, "")).await;
        assert_eq!((status, &moved["done"]), (StatusCode::OK, &json!(true)));
        assert_eq!(moved["tickets"][0]["to_label"], "s, row A, seat 4");
        let now = stage.see_order(&bought.id).await;
        assert_eq!(seats_of(&now), ["s-A-2", "s-A-4"]);
        assert_eq!(&*now.seats[0].id, "s-A-4");
        assert_eq!(now.total, bought.total);
        let status = async |code: &str| stage.check_ticket(code).await;
        assert_eq!(
            status(&code_of(&bought, "s-A-1")).await,
            StatusCode::CONFLICT
        );
        assert_eq!(status(&code_of(&now, "s-A-4")).await, StatusCode::OK);
        assert_eq!(status(&code_of(&now, "s-A-2")).await, StatusCode::OK);
        assert_eq!(code_of(&now, "s-A-2"), code_of(&bought, "s-A-2"));
        assert_eq!(stage.listed_tickets().await, 2);
        let told = stage.told_of_tickets(&bought.id).await;
        let first = codes(&[("issued", "s-A-1"), ("issued", "s-A-2")]);
        let then = codes(&[("voided.moved", "s-A-1"), ("issued.moved", "s-A-4")]);
        assert_eq!(told, [first, then].concat());
        // The seat that was left is sold, and the one that was taken is not.
        stage.buy(&["s-A-1"]).await;
        assert!(stage.try_hold(&["s-A-4"]).await.is_err());
        stage.check_books().await;
        let details = stage.details(&bought.id).await;
        let history = details["payments"][0]["history"].to_string();
        assert!(history.contains("s-A-1 was moved to s-A-4"), "{history}");
        let (status, order) = stage.refund(&bought.id, Some(&["s-A-4"])).await;
        assert_eq!(
            (status, &order["refunded"]["amount"]),
            (StatusCode::OK, &json!(PRICE))
        );
        assert_eq!(stage.state_of("s-A-4").await, SeatState::Available);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cheaper_seat_gives_the_difference_back_with_fees_and_taxes_once_it_is_confirmed() {
    for stage in ProviderStage::all().await {
        stage.set_hall().await;
        stage
            .set_rules(
                json!({"invoicing": {"seller": "Arena Ltd", "series": "ARENA"},
                "fees": [{"name": "Service", "per": "ticket", "percent": "10"},
                    {"name": "Booking fee", "per": "order", "amount": 1650}],
                "taxes": [{"name": "VAT", "percent": "19", "included": true}]}),
            )
            .await;
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        let moves = [("s-A-1", "b-A-1")];
        let shown = stage.preview(&bought.id, &moves).await;
        let less = (PRICE - BALCONY) * 11 / 10;
        assert_eq!(shown["difference"]["amount"], -less);
        assert_eq!(shown["refund"]["amount"], less);
        let costs = &shown["tickets"][0]["costs"];
        assert_eq!(
            [&costs[0]["amount"], &costs[1]["amount"], &costs[2]["name"]],
            [
                &json!({"amount": BALCONY, "currency": "EUR"}),
                &json!({"amount": BALCONY / 10, "currency": "EUR"}),
                &json!("VAT")
            ]
        );
        assert_eq!(
            seats_of(&stage.see_order(&bought.id).await),
            ["s-A-1", "s-A-2"]
        );
        assert_eq!(stage.counts().await, [9, 0, 2]);
        let (status, moved) = stage.reseat(&bought.id, &to(&moves, -less, "refund")).await;
        assert_eq!(status, StatusCode::OK, "{moved}");
        let now = stage.see_order(&bought.id).await;
        assert_eq!(seats_of(&now), ["s-A-2", "b-A-1"]);
        assert_eq!(now.refunded.unwrap().amount, less);
        stage.check_books().await;
        let invoices = stage.node.shop.inventory.invoices(&stage.event, &bought.id);
        let invoices = json!(invoices.await.unwrap());
        assert_eq!(invoices.as_array().unwrap().len(), 2, "{invoices}");
        let text = invoices.to_string();
        assert!(
            text.contains("Difference in price, b, row A, seat 1"),
            "{text}"
        );
        // The rest of what the ticket cost goes back with its seat, wherever it is moved.
        let on = to(&[("b-A-1", "b-A-3")], 0, "");
        let (status, again) = stage.reseat(&bought.id, &on).await;
        assert_eq!(status, StatusCode::OK, "{again}");
        stage.check_books().await;
        let (_, order) = stage.refund(&bought.id, Some(&["b-A-3"])).await;
        assert_eq!(order["refunded"]["amount"], PRICE * 11 / 10);
        stage.check_books().await;
        let (_, order) = stage.refund(&bought.id, None).await;
        assert_eq!(order["refunded"]["amount"], bought.total.amount);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_moved_without_the_difference_and_how_it_is_settled() {
    for stage in ProviderStage::stripe().await {
        stage.set_hall().await;
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        let moves = [("s-A-1", "b-A-1")];
        let less = PRICE - BALCONY;
        for (body, status, kind) in [
            (
                to(&moves, -1, "refund"),
                StatusCode::CONFLICT,
                "reseat-differs",
            ),
            (
                to(&moves, -less, ""),
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
            ),
            (
                json!({"seats": [], "expected_difference": {"amount": 0, "currency": "EUR"}}),
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
            ),
            (
                json!({"seats": [{"from": "s-A-1", "to": "b-A-1"}]}),
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
            ),
        ] {
            let (answered, problem) = stage.reseat(&bought.id, &body).await;
            assert_eq!(answered, status, "{problem}");
            assert!(
                problem["type"].as_str().unwrap().ends_with(kind),
                "{problem}"
            );
        }
        assert_eq!(stage.counts().await, [9, 0, 2]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dearer_seat_is_taken_without_charge_or_not_at_all_and_a_waived_difference_is_noted() {
    for stage in ProviderStage::stripe().await {
        stage.set_hall().await;
        let bought = stage.buy(&["s-A-1", "s-A-2", "s-A-3"]).await;
        let dearer = [("s-A-1", "x-A-1")];
        let (status, problem) = stage
            .reseat(&bought.id, &to(&dearer, BOX - PRICE, "refund"))
            .await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        let why = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(why.contains("15.00 EUR more"), "{why}");
        let (status, _) = stage
            .reseat(&bought.id, &to(&dearer, BOX - PRICE, "waive"))
            .await;
        assert_eq!(status, StatusCode::OK);
        let cheaper = [("s-A-2", "b-A-1")];
        let (status, _) = stage
            .reseat(&bought.id, &to(&cheaper, BALCONY - PRICE, "waive"))
            .await;
        assert_eq!(status, StatusCode::OK);
        let details = stage.details(&bought.id).await;
        let history = details["payments"][0]["history"].to_string();
        assert!(
            history.contains("15.00 EUR more, which was waived"),
            "{history}"
        );
        assert!(
            history.contains("15.00 EUR less, which was waived"),
            "{history}"
        );
        assert_eq!(stage.see_order(&bought.id).await.refunded, None);
        stage.check_books().await;
        // One that costs more does not pay for one that costs less.
        let both = [("s-A-3", "x-A-2"), ("x-A-1", "b-A-2")];
        let (status, problem) = stage.reseat(&bought.id, &to(&both, 0, "")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        let why = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(why.contains("one after the other"), "{why}");
        stage.check_books().await;
        let audit = stage
            .get("/api/v1/organiser/audit?limit=50")
            .await
            .to_string();
        assert!(
            audit.contains("order.reseat") && audit.contains("waive"),
            "{audit}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_seats_that_are_free_or_blocked_on_request_are_taken_and_each_is_named_once() {
    for stage in ProviderStage::stripe().await {
        stage.set_hall().await;
        let bought = stage.buy(&["s-A-1", "s-A-2", "b-A-1"]).await;
        stage.buy(&["s-A-3"]).await;
        stage.hold(&["s-A-4"]).await;
        let block = json!({"seats": ["s-A-5"]});
        let (status, _) = stage
            .post(&format!("{EVENT}/seats/block"), ORGANISER_KEY, &block)
            .await;
        assert_eq!(status, StatusCode::OK);
        for (seat, kind) in [
            ("s-A-2", "seats-taken"),
            ("s-A-3", "seats-taken"),
            ("s-A-4", "seats-taken"),
            ("s-A-5", "seats-taken"),
            ("s-A-1", "invalid"),
            ("s-A-9", "unknown-seats"),
        ] {
            let (status, problem) = stage
                .reseat(&bought.id, &to(&[("s-A-1", seat)], 0, ""))
                .await;
            assert!(status.is_client_error());
            assert!(
                problem["type"].as_str().unwrap().ends_with(kind),
                "{seat}: {problem}"
            );
        }
        for (moves, kind) in [
            (vec![("s-A-6", "b-A-2")], "unknown-seats"),
            (vec![("s-A-1", "s-A-6"), ("s-A-2", "s-A-6")], "invalid"),
            (vec![("s-A-1", "s-A-6"), ("s-A-2", "s-A-3")], "seats-taken"),
        ] {
            let (_, problem) = stage.reseat(&bought.id, &to(&moves, 0, "")).await;
            assert!(
                problem["type"].as_str().unwrap().ends_with(kind),
                "{problem}"
            );
        }
        assert_eq!(stage.counts().await, [5, 1, 4]);
        let mut blocked = to(&[("s-A-1", "s-A-5")], 0, "");
        blocked["blocked"] = json!(true);
        let (status, moved) = stage.reseat(&bought.id, &blocked).await;
        assert_eq!(status, StatusCode::OK, "{moved}");
        assert_eq!(stage.state_of("s-A-5").await, SeatState::Booked);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_that_were_used_and_orders_that_are_not_confirmed_stay_where_they_are() {
    for stage in ProviderStage::stripe().await {
        stage.set_hall().await;
        let bought = stage.buy(&["s-A-5", "s-A-2", "b-A-1"]).await;
        let now = stage.see_order(&bought.id).await;
        let scan = json!({"code": code_of(&now, "s-A-5"), "door": "North"});
        let (status, _) = stage
            .post(&format!("{EVENT}/checkins"), ORGANISER_KEY, &scan)
            .await;
        assert_eq!(status, StatusCode::OK);
        let again = to(&[("s-A-5", "s-A-6")], 0, "");
        let (status, problem) = stage.reseat(&bought.id, &again).await;
        assert_eq!(
            (status, &problem["used"]),
            (StatusCode::CONFLICT, &json!(["s-A-5"]))
        );
        let ticket = now
            .tickets
            .as_ref()
            .unwrap()
            .iter()
            .find(|ticket| ticket.seat == "s-A-5");
        let undo = format!("{EVENT}/checkins/{}", ticket.unwrap().id);
        let (status, _) = stage.send("DELETE", &undo, ORGANISER_KEY, &json!({})).await;
        assert!(status.is_success());
        let (status, problem) = stage.reseat(&bought.id, &again).await;
        assert_eq!(status, StatusCode::OK, "{problem}");

        stage.refund(&bought.id, Some(&["b-A-1"])).await;
        let back = [("s-A-2", "b-A-1")];
        let (status, _) = stage
            .reseat(&bought.id, &to(&back, BALCONY - PRICE, "waive"))
            .await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "it was given back"
        );
        stage.refund(&bought.id, None).await;
        let (status, problem) = stage.reseat(&bought.id, &again).await;
        assert_eq!(
            (status, &problem["state"]),
            (StatusCode::CONFLICT, &json!("refunded"))
        );
        let (status, _) = stage.reseat("ord_none", &again).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_of_a_difference_that_fails_is_made_later_and_one_that_is_refused_can_be_kept() {
    for stage in ProviderStage::all().await {
        stage.set_hall().await;
        let bought = stage.buy(&["s-A-1"]).await;
        // The process ends before it asks the provider.
        let reseat = Reseat {
            moves: vec![SeatMove {
                from: "s-A-1".to_owned(),
                to: "b-A-1".to_owned(),
            }],
            takes_blocked: false,
            confirmed: Some((
                Money {
                    amount: BALCONY - PRICE,
                    ..bought.total
                },
                Some(DifferenceSettlement::Refund),
            )),
        };
        let inventory = &stage.node.shop.inventory;
        let begun = inventory.reseat(&stage.event, &bought.id, &reseat, None);
        assert!(begun.await.unwrap().1.is_some());
        stage.check_instant().await;
        let next = to(&[("b-A-1", "b-A-2")], 0, "");
        let (status, problem) = stage.reseat(&bought.id, &next).await;
        assert_eq!(status, StatusCode::CONFLICT, "{problem}");
        stage.settle_all().await;
        let refunded = stage.see_order(&bought.id).await.refunded;
        assert_eq!(
            refunded.map(|refunded| refunded.amount),
            Some(PRICE - BALCONY)
        );
        stage.check_books().await;

        let bought = stage.buy(&["s-A-2"]).await;
        stage.provider.fail(Operation::Refund, ApiFault::Refused);
        let down = to(&[("s-A-2", "b-A-2")], BALCONY - PRICE, "refund");
        let (status, _) = stage.reseat(&bought.id, &down).await;
        assert_eq!(status, StatusCode::OK);
        stage.settle_all().await;
        let review = stage.reviews().await[0].clone();
        let (status, kept) = stage
            .settle(&review, "settle", &json!({"how": "keep"}))
            .await;
        assert_eq!(status, StatusCode::OK, "{kept}");
        assert_eq!(seats_of(&stage.see_order(&bought.id).await), ["b-A-2"]);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_is_sent_again_with_its_key_is_made_once() {
    for stage in ProviderStage::stripe().await {
        stage.set_hall().await;
        let bought = stage.buy(&["s-A-1"]).await;
        let down = to(&[("s-A-1", "b-A-1")], BALCONY - PRICE, "refund");
        let first = stage.reseat_once(&bought.id, "one", &down).await;
        let again = stage.reseat_once(&bought.id, "one", &down).await;
        assert_eq!((first.0, again.0), (StatusCode::OK, StatusCode::OK));
        assert_eq!(first.1, again.1);
        let other = to(&[("s-A-1", "b-A-2")], BALCONY - PRICE, "refund");
        let (status, _) = stage.reseat_once(&bought.id, "one", &other).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        let (status, _) = stage.reseat(&bought.id, &down).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "without a key");
        let refunded = stage.see_order(&bought.id).await.refunded;
        assert_eq!(
            refunded.map(|refunded| refunded.amount),
            Some(PRICE - BALCONY)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_buyer_of_a_ticket_that_was_moved_gets_the_new_one_by_mail() {
    for (stage, server) in stages().await {
        stage.set_hall().await;
        let bought = stage.buy(&["s-A-1"]).await;
        server.until(1).await;
        let (status, _) = stage
            .reseat(&bought.id, &to(&[("s-A-1", "s-A-4")], 0, ""))
            .await;
        assert_eq!(status, StatusCode::OK);
        let received = server.until(2).await;
        let plain = text(&received[1]);
        assert!(plain.contains("s, row A, seat 4"), "{plain}");
        assert!(!plain.contains("s, row A, seat 1"), "{plain}");
    }
}
