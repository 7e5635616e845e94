//! Tickets at the door.

use crate::bench::*;
use checkout::inventory::Refused;
use shared::crypto::{hex, sha256};
use shared::ids::EventId;

#[tokio::test]
async fn a_ticket_is_good_until_it_is_given_back_and_lets_its_bearer_in_once() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        let tickets = order.tickets.clone().unwrap();
        let code = &tickets[1].code;
        let check = async |code: &str| bench.seats.check_ticket(&bench.event, code).await;
        let good = check(code).await.unwrap();
        assert_eq!((good.seat.as_str(), &good.order), ("st-A-2", &order.id));
        assert_eq!((&good.id, good.admitted_at), (&tickets[1].id, None));
        let at = bench.clock.now();
        for (pause, before) in [(1000, None), (1000, Some(at)), (0, Some(at))] {
            let let_in = bench.seats.let_in(&bench.event, code).await.unwrap();
            assert_eq!((let_in.id, let_in.admitted_at), (good.id.clone(), before));
            bench.clock.advance_ms(pause);
        }
        assert_eq!(check(code).await.unwrap().admitted_at, Some(at));
        assert_eq!(check(&tickets[0].code).await.unwrap().admitted_at, None);

        let other = EventId::parse("other").unwrap();
        bench.seats.set_seating(&other, hall()).await.unwrap();
        let elsewhere = bench.seats.check_ticket(&other, code).await;
        assert_eq!(elsewhere, Err(Refused::NoSuchTicket));
        let (head, mac) = code.rsplit_once('.').unwrap();
        let (_, first_mac) = tickets[0].code.rsplit_once('.').unwrap();
        let forged = [
            format!("{head}.{first_mac}"),
            format!("{head}.{}", mac.to_uppercase()),
            format!("{head}."),
            head.to_owned(),
            format!("{code}x"),
            String::new(),
            "FL1..".to_owned(),
        ];
        for code in &forged {
            assert_eq!(check(code).await, Err(Refused::NoSuchTicket), "{code}");
        }

        let list = async || bench.seats.list_tickets(&bench.event, 0).await.unwrap();
        let hash = |code: &str| hex(&sha256(code.as_bytes()));
        let listed = list().await;
        let hashes: Vec<&str> = listed
            .tickets
            .iter()
            .map(|it| it.code_sha256.as_str())
            .collect();
        assert_eq!(hashes, [hash(&tickets[0].code), hash(code)]);
        assert_eq!(
            (listed.next, listed.tickets[1].admitted_at),
            (None, Some(at))
        );

        let refund = bench.seats.begin_refund(&bench.event, &order.id).await;
        bench.seats.refunded(&refund.unwrap()).await.unwrap();
        assert_eq!(check(code).await, Err(Refused::NoSuchTicket), "given back");
        let let_in = bench.seats.let_in(&bench.event, code).await;
        assert_eq!(let_in, Err(Refused::NoSuchTicket));
        assert!(list().await.tickets.is_empty());
        let ben = bench.fan(2).await;
        let new = bench.buy(&ben, &["st-A-2"]).await.tickets.unwrap();
        assert_eq!(check(code).await, Err(Refused::NoSuchTicket), "sold again");
        assert_eq!(check(&new[0].code).await.unwrap().admitted_at, None);
    }
}

#[tokio::test]
async fn of_two_doors_at_once_one_is_the_first() {
    for (here, there) in pairs().await {
        let ada = here.fan(1).await;
        let order = here.buy(&ada, &["st-A-1"]).await;
        let code = order.tickets.unwrap()[0].code.clone();
        there.show().await;
        let doors =
            [&here, &there, &here, &there].map(|node| node.seats.let_in(&node.event, &code));
        let let_in = futures_util::future::join_all(doors).await;
        let first = let_in.into_iter().map(|ticket| ticket.unwrap().admitted_at);
        assert_eq!(first.filter(Option::is_none).count(), 1);
    }
}
