//! The language of an order, in which its mails, tickets and invoices are written.

use crate::mails::{done, parsed, part, stages};
use crate::node::ORGANISER_KEY;
use crate::pdf::text_of;
use crate::stage::ProviderStage;
use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::crypto::decode;

const INVOICING: &str = r#"{"taxes": [{"name": "USt. 19 %", "percent": "19", "included": true}],
    "invoicing": {"seller": "Arena GmbH", "tax_id": "DE 123", "series": "ARENA"}}"#;

/// Returns the language of an order as organisers are shown it.
async fn language_of(stage: &ProviderStage, order: &str) -> Value {
    let path = format!("/api/v1/organiser/events/arena/orders/{order}");
    stage.get(&path).await["order"]["language"].clone()
}

/// The event of the tests has no language, so that it is told in English.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_told_of_in_its_own_language() {
    for (stage, server) in stages().await {
        let rules = serde_json::from_str(INVOICING).unwrap();
        stage.set_rules(rules).await;
        let in_german = json!({"language": "de"});
        let (status, ordered) = stage
            .order_by(&[("content-language", "en")], &["s-A-1"], &in_german)
            .await;
        assert_eq!(status, StatusCode::CREATED, "{ordered}");
        assert_eq!(ordered["language"], "de");
        let order = stage.pay_for(&ordered).await.id;
        let received = server.until(1).await;
        let mail = parsed(&received[0]);
        let subject = json!(["Subject", "Ihre Tickets für A night <in> the arena"]);
        assert!(
            mail["head"].as_array().unwrap().contains(&subject),
            "{mail}"
        );
        let plain = part(&mail["parts"], "text/plain").unwrap();
        assert!(
            plain.contains("&lang=de") && plain.contains("Termin: "),
            "{plain}"
        );
        let calendar = part(&mail["parts"], "text/calendar").unwrap();
        assert!(
            calendar.contains(&format!("Bestellung {order}")),
            "{calendar}"
        );
        let pdf = decode(part(&mail["parts"], "application/pdf").unwrap()).unwrap();
        let own = format!("/api/v1/orders/{order}");
        let (_, printed) = stage
            .get_as_fan(&order, &format!("{own}/tickets.pdf"))
            .await;
        for pdf in [pdf, printed] {
            let text = text_of(&pdf);
            assert!(text.contains("Samstag, 20. März 2027, 20:00 Uhr"), "{text}");
        }
        let invoice = format!("{own}/invoices/ARENA-I-000001");
        let text = text_of(&stage.get_as_fan(&order, &invoice).await.1);
        for part in [
            "Rechnung ARENA-I-000001",
            "Steuernummer DE 123",
            "An Ada ada@example.org",
            "C 1 45,00 € 45,00 €",
            "Gezahlt: 45,00 €",
            "davon USt. 19 %: 7,18 €",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        done(&stage, &order, 1).await;
        let find = json!({"email": "ada@example.org"});
        stage.post("/api/v1/orders/find", "", &find).await;
        let list = parsed(&server.until(2).await[1]).to_string();
        assert!(list.contains("Ihre Bestellungen"), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_language_is_the_one_given_or_that_of_the_page_or_none() {
    for mut stage in ProviderStage::stripe().await {
        let (status, refused) = stage
            .order_by(&[], &["s-A-3"], &json!({"language": "xx"}))
            .await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.to_string().contains("one of de, en"), "{refused}");
        let mut expected = Vec::new();
        let page = |code| ("content-language", code);
        let cookie = |code| ("cookie", code);
        let (german, english) = ("fairline_lang=de", "fairline_lang=en");
        for (seat, headers, more, language) in [
            ("s-A-1", vec![page("de")], json!({}), json!("de")),
            (
                "s-A-2",
                vec![page("de"), cookie(english)],
                json!({"language": "en"}),
                json!("en"),
            ),
            (
                "s-A-4",
                vec![cookie(german), page("xx")],
                json!({}),
                json!("de"),
            ),
        ] {
            let (status, order) = stage.order_by(&headers, &[seat], &more).await;
            assert_eq!(status, StatusCode::CREATED, "{order}");
            expected.push((order["id"].as_str().unwrap().to_owned(), language));
        }
        let path = "/api/v1/organiser/events/arena/orders";
        for (seat, more, language) in [
            ("s-A-5", json!({"language": "de"}), json!("de")),
            ("s-A-6", json!({}), Value::Null),
        ] {
            let mut sale = json!({"seats": [seat], "buyer": {"name": "Ada"}, "method": "cash"});
            sale.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let (status, order) = stage.post(path, ORGANISER_KEY, &sale).await;
            assert_eq!(status, StatusCode::CREATED, "{order}");
            expected.push((order["id"].as_str().unwrap().to_owned(), language));
        }
        // Also by a node that has nothing of them in memory.
        for _ in 0..2 {
            for (order, language) in &expected {
                assert_eq!(language_of(&stage, order).await, *language);
            }
            let listed = stage.get(path).await;
            let listed = listed["orders"].as_array().unwrap();
            let german = listed.iter().filter(|order| order["language"] == "de");
            assert_eq!(german.count(), 3, "{listed:?}");
            stage.change_store("select 1", "select 1").await;
        }
    }
}
