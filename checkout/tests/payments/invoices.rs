//! Invoices through the router, as PDF, read by another program.

use crate::pdf::text_of;
use crate::stage::ProviderStage;
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyer_and_organiser_get_the_same_invoice_as_pdf_and_others_get_none() {
    for stage in ProviderStage::stripe().await {
        stage
            .set_rules(json!({
                "fees": [{"name": "Gebühr für Würde – Ωμέγα", "per": "ticket", "amount": 113}],
                "taxes": [{"name": "VAT 19 %", "percent": "19", "included": true}],
                "invoicing": {"seller": "Arena Ltd\n1 Hall Street", "tax_id": "DE 123", "series": "ARENA"}}))
            .await;
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        let own = format!("/api/v1/orders/{}/invoices", bought.id);
        let console = format!("/api/v1/organiser/events/arena{}", &own["/api/v1".len()..]);
        let (status, listed) = stage.get_as_fan(&bought.id, &own).await;
        assert_eq!(status, StatusCode::OK);
        let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
        assert_eq!(listed[0]["number"], "ARENA-I-000001");
        assert_eq!(listed[0]["total"]["amount"], 2 * 4613);

        let path = format!("{own}/ARENA-I-000001");
        let (status, pdf) = stage.get_as_fan(&bought.id, &path).await;
        assert_eq!(status, StatusCode::OK);
        let text = text_of(&pdf);
        for part in [
            "Invoice ARENA-I-000001",
            "Arena Ltd 1 Hall Street Tax number DE 123",
            "To Ada ada@example.org",
            &bought.id,
            "C 2 45.00 EUR 90.00 EUR",
            "Gebühr für Würde – Ωμέγα 2 1.13 EUR 2.26 EUR",
            "Total paid: 92.26 EUR",
            // 19/119 of 46.13, twice.
            "of which VAT 19 %: 14.74 EUR",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let (status, same) = stage
            .get_as_organiser(&format!("{console}/ARENA-I-000001"))
            .await;
        assert_eq!((status, text_of(&same)), (StatusCode::OK, text));

        let (status, _) = stage.refund(&bought.id, Some(&["s-A-2"])).await;
        assert_eq!(status, StatusCode::OK);
        let (_, note) = stage
            .get_as_fan(&bought.id, &format!("{own}/ARENA-C-000001"))
            .await;
        let text = text_of(&note);
        for part in [
            "Credit note ARENA-C-000001",
            "Refund of invoice ARENA-I-000001",
            "Arena Ltd 1 Hall Street Tax number DE 123",
            "C 1 45.00 EUR 45.00 EUR",
            "Total refunded: 46.13 EUR",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }

        let other = stage.buy(&["s-A-4"]).await;
        let (status, _) = stage.get_as_fan(&other.id, &path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "of another fan's order");
        let foreign = format!("/api/v1/orders/{}/invoices/ARENA-I-000001", other.id);
        let (status, _) = stage.get_as_fan(&other.id, &foreign).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "of another order");
        stage.check_books().await;
    }
}
