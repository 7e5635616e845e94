//! Tickets as PDF through the router, read by other programs, their QR codes included.

use crate::pdf::{codes_of, pages_of};
use crate::stage::ProviderStage;
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_valid_ticket_is_on_a_page_with_its_place_and_a_code_that_the_door_takes() {
    for stage in ProviderStage::stripe().await {
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        let own = format!("/api/v1/orders/{}/tickets.pdf", bought.id);
        let (status, pdf) = stage.get_as_fan(&bought.id, &own).await;
        assert_eq!(status, StatusCode::OK);
        let (pages, codes) = (pages_of(&pdf), codes_of(&pdf));
        let tickets = bought.tickets.clone().unwrap();
        assert_eq!((pages.len(), codes.len(), tickets.len()), (2, 2, 2));
        for ((page, code), ticket) in pages.iter().zip(&codes).zip(&tickets) {
            assert_eq!(code.text, ticket.code);
            assert!(code.centimetres >= 4.0, "{} cm", code.centimetres);
            assert_eq!(stage.check_ticket(&code.text).await, StatusCode::OK);
            for part in [
                "A night <in> the arena",
                "Saturday, 20 March 2027, 20:00 Berlin time (UTC+1)",
                "Doors 19:00",
                "Große Halle, Am Platz 1, Berlin",
                &ticket.place.label,
                &ticket.short_code,
                "C · 45.00 EUR",
                "Name Ada",
                &bought.id,
                "lets one person in, once",
                "Contact: mailto:help@arena.example",
            ] {
                assert!(page.contains(part), "{part}: {page}");
            }
        }
        assert!(!pages[0].contains(&tickets[1].place.label));
        assert!(pages[1].contains("Ticket 2 of 2"), "{}", pages[1]);

        let console = format!(
            "/api/v1/organiser/events/arena/orders/{}/tickets.pdf",
            bought.id
        );
        let (status, same) = stage.get_as_organiser(&console).await;
        assert_eq!((status, pages_of(&same)), (StatusCode::OK, pages));
        let other = stage.buy(&["s-A-4"]).await;
        let (status, _) = stage.get_as_fan(&other.id, &own).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "of another fan's order");
        assert_eq!(stage.get_bytes(&own, "").await.0, StatusCode::UNAUTHORIZED);

        stage.refund(&bought.id, Some(&["s-A-1"])).await;
        let (_, pdf) = stage.get_as_fan(&bought.id, &own).await;
        let codes = codes_of(&pdf);
        assert_eq!((codes.len(), &codes[0].text), (1, &tickets[1].code));
        stage.refund(&bought.id, None).await;
        let (status, body) = stage.get_as_fan(&bought.id, &own).await;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, StatusCode::CONFLICT);
        assert!(body.contains("/problems/no-tickets"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_that_no_font_has_are_told_on_the_ticket_and_others_are_not() {
    for stage in ProviderStage::stripe().await {
        let bought = stage.buy(&["s-A-1"]).await;
        let own = format!("/api/v1/orders/{}/tickets.pdf", bought.id);
        for (name, is_whole) in [
            ("Ada 李雷 Ωμέγα Żółć Жук שלום", true),
            ("\u{13080}\u{13081} Ada", false),
        ] {
            let order = format!("/api/v1/organiser/events/arena/orders/{}", bought.id);
            let (status, body) = stage.change_buyer(&order, &json!({"name": name})).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            let (_, pdf) = stage.get_as_fan(&bought.id, &own).await;
            let page = &pages_of(&pdf)[0];
            let tells = page.contains("Some letters could not be printed here");
            assert_eq!(tells, !is_whole, "{page}");
            let words = name.split(' ').filter(|word| is_whole || *word == "Ada");
            for word in words {
                assert!(page.contains(word), "{word}: {page}");
            }
        }
    }
}
