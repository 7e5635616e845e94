//! Tickets at the door.

use crate::bench::*;
use checkout::inventory::outbox::TicketPayload;
use checkout::inventory::{CheckedIn, DoorCount, Refused, Scan};
use shared::crypto::{hex, sha256, unhex};
use shared::ids::EventId;

fn scan(code: &str, door: &str, id: &str) -> Scan {
    Scan {
        code: code.to_owned(),
        door: door.to_owned(),
        scan: (!id.is_empty()).then(|| id.to_owned()),
        at: None,
    }
}

impl Bench {
    async fn scan(&self, code: &str, door: &str, id: &str) -> Result<CheckedIn, Refused> {
        self.seats
            .check_in(&self.event, &scan(code, door, id))
            .await
    }
}

#[tokio::test]
async fn a_ticket_is_checked_in_once_and_the_second_door_is_told_when_and_where() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        let tickets = order.tickets.clone().unwrap();
        let code = &tickets[1].code;
        let check = async |code: &str| bench.seats.check_ticket(&bench.event, code).await;
        let good = check(code).await.unwrap();
        assert_eq!((good.seat.as_str(), &good.order), ("st-A-2", &order.id));
        assert_eq!((&good.id, good.used_at), (&tickets[1].id, None));
        let at = bench.clock.now();
        let first = bench.scan(code, "North", "1").await.unwrap();
        let used = &first.ticket;
        assert_eq!(
            (used.used_at, used.door.as_deref()),
            (Some(at), Some("North"))
        );
        assert!(!first.repeated);
        bench.clock.advance_ms(1000);
        let again = bench.scan(code, "North", "1").await.unwrap();
        assert_eq!((&again.ticket, again.repeated), (used, true));
        let refused = Err(Refused::TicketUsed {
            at,
            door: "North".to_owned(),
        });
        for (door, id) in [("South", "1"), ("North", "2"), ("North", "")] {
            assert_eq!(bench.scan(code, door, id).await, refused, "{door} {id}");
        }
        assert_eq!(check(code).await.unwrap(), *used);
        assert_eq!(check(&tickets[0].code).await.unwrap().used_at, None);

        let figures = bench.seats.check_ins(&bench.event).await.unwrap();
        assert_eq!((figures.tickets, figures.checked_in), (2, 1));
        let north = DoorCount {
            door: "North".to_owned(),
            checked_in: 1,
        };
        assert_eq!((figures.doors, &figures.latest[0]), (vec![north], used));
        assert_eq!(figures.latest.len(), 1);

        let undo = async |id: &str| bench.seats.undo_check_in(&bench.event, id).await;
        assert_eq!(undo(&good.id).await.unwrap(), *used);
        assert_eq!(undo(&good.id).await.unwrap(), good, "again");
        assert_eq!(undo("tix_0").await, Err(Refused::NoSuchTicket));
        bench.scan(code, "South", "").await.unwrap();
        let told = bench.events_of(&order.id).await;
        let told: Vec<_> = told.iter().skip(4).collect();
        let kinds: Vec<&str> = told.iter().map(|row| row.event_type.as_str()).collect();
        let wanted = ["checked_in", "check_in_undone", "checked_in"];
        assert_eq!(kinds, wanted.map(|name| format!("ticket.{name}")));
        let payload: TicketPayload = serde_json::from_str(&told[0].payload).unwrap();
        assert_eq!(
            (&payload.ticket, payload.checked_in_at),
            (&good.id, Some(at))
        );
        assert_eq!(payload.door.as_deref(), Some("North"));
    }
}

#[tokio::test]
async fn a_door_refuses_forged_codes_other_events_and_tickets_that_were_given_back_each_in_words() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        let tickets = order.tickets.clone().unwrap();
        let code = &tickets[1].code;
        let other = EventId::parse("other").unwrap();
        bench.seats.set_seating(&other, hall()).await.unwrap();
        let elsewhere = bench.seats.check_in(&other, &scan(code, "North", "")).await;
        let arena = bench.event.clone();
        assert_eq!(elsewhere, Err(Refused::TicketOfOtherEvent(arena)));
        let (head, proof) = code.rsplit_once('.').unwrap();
        let (_, of_first) = tickets[0].code.rsplit_once('.').unwrap();
        let forged = [
            format!("{head}.{of_first}"),
            format!("{head}.{}", proof.to_uppercase()),
            format!("{head}."),
            head.to_owned(),
            format!("{code}x"),
            code.replace("FL2", "FL1"),
            code.replace("FL2", "FL3"),
            String::new(),
            "FL2..".to_owned(),
            "FL2.arena.tix_0.AAAA".to_owned(),
            "FL2.arena.tix_\0.AAAA".to_owned(),
        ];
        for code in &forged {
            let refused = bench.scan(code, "North", "").await;
            assert_eq!(refused, Err(Refused::NoSuchTicket), "{code}");
        }
        bench.scan(code, "North", "1").await.unwrap();
        let refund = bench.seats.begin_refund(&bench.event, &order.id).await;
        let void = Err(Refused::TicketVoid);
        assert_eq!(bench.scan(code, "North", "1").await, void, "on its way");
        bench.seats.refunded(&refund.unwrap()).await.unwrap();
        assert_eq!(bench.scan(code, "North", "1").await, void, "given back");
        let undone = bench
            .seats
            .undo_check_in(&bench.event, &tickets[1].id)
            .await;
        assert_eq!(undone, Err(Refused::TicketVoid));
        let figures = bench.seats.check_ins(&bench.event).await.unwrap();
        assert_eq!((figures.tickets, figures.checked_in), (0, 0));
        let ben = bench.fan(2).await;
        let new = bench.buy(&ben, &["st-A-2"]).await.tickets.unwrap();
        assert_eq!(bench.scan(code, "North", "").await, void, "sold again");
        bench.scan(&new[0].code, "North", "").await.unwrap();
    }
}

#[tokio::test]
async fn a_bundle_tells_a_door_without_a_connection_what_the_server_would() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let seats = ["st-A-1", "st-A-2", "st-A-3"];
        let order = bench.buy(&ada, &seats).await;
        let tickets = order.tickets.clone().unwrap();
        bench.scan(&tickets[1].code, "North", "").await.unwrap();
        bench.refund(&order, Some(&["st-A-3"])).await;
        let bundle = async |after: &str| {
            let bundle = bench.seats.door_bundle(&bench.event, after).await;
            bundle.unwrap()
        };
        let all = bundle("").await;
        assert_eq!((all.tickets.len(), &all.next), (3, &None));
        assert!(all.tickets.is_sorted_by_key(|ticket| &ticket.id));
        let rest = bundle(&all.tickets[0].id).await;
        assert_eq!(rest.tickets, all.tickets[1..]);
        let key = aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::ED25519,
            shared::crypto::decode(&all.key.x).unwrap(),
        );
        for (at, ticket) in tickets.iter().enumerate() {
            let (signed, signature) = ticket.code.rsplit_once('.').unwrap();
            let signature = shared::crypto::decode(signature).unwrap();
            key.verify(signed.as_bytes(), &signature).unwrap();
            assert_eq!(signed, format!("FL2.{}.{}", bench.event, ticket.id));
            let mut listed = all.tickets.iter();
            let listed = listed.find(|listed| listed.id == ticket.id).unwrap();
            assert_eq!(listed.seat, seats[at]);
            assert_eq!((listed.used_at.is_some(), listed.void), (at == 1, at == 2));
        }
    }
}

#[tokio::test]
async fn a_code_of_version_0_1_0_is_good_as_long_as_its_ticket_is() {
    for bench in halls().await {
        // The secret from which that version made its codes.
        let secret = [7; 32];
        let hex_secret = hex(&secret);
        bench.change_store(
            &format!("update fairline.event set secret = '\\x{hex_secret}'"),
            &format!("update event set secret = x'{hex_secret}'"),
        );
        let mut bench = bench;
        bench.reopen().await;
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1"]).await;
        let id = order.tickets.clone().unwrap()[0].id.clone();
        let mac = shared::crypto::Secret::derive(&secret, "tickets");
        let mac = mac.sign(format!("ticket\narena\n{id}\nst-A-1").as_bytes());
        let code = format!("FL1.arena.{id}.{}", shared::crypto::encode(&mac[..16]));
        let bundle = bench.seats.door_bundle(&bench.event, "").await.unwrap();
        let listed = unhex::<32>(&bundle.tickets[0].old_code_sha256);
        assert_eq!(listed, Some(sha256(code.as_bytes())));
        assert_eq!(bench.scan(&code, "North", "").await.unwrap().ticket.id, id);
        bench.refund(&order, None).await;
        assert_eq!(
            bench.scan(&code, "North", "").await,
            Err(Refused::TicketVoid)
        );
    }
}

#[tokio::test]
async fn a_short_code_is_good_however_it_is_typed() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        let tickets = order.tickets.clone().unwrap();
        let short = &tickets[0].short_code;
        let digits = short.replace('-', "");
        assert_eq!(digits[..8].to_lowercase(), tickets[0].id[4..12]);
        for typed in [short.clone(), format!(" {} ", digits.to_lowercase())] {
            let found = bench.seats.check_ticket(&bench.event, &typed).await;
            assert_eq!(found.unwrap().id, tickets[0].id, "{typed}");
        }
        let proof = u16::from_str_radix(&digits[8..], 16).unwrap();
        let forged = format!("{}{:04x}", &digits[..8], proof ^ 1);
        for typed in [
            &digits[..8],
            &format!("{digits}0"),
            &forged,
            "GGGG-GGGG-GGGG",
        ] {
            let found = bench.seats.check_ticket(&bench.event, typed).await;
            assert_eq!(found, Err(Refused::NoSuchTicket), "{typed}");
        }
        bench.refund(&order, Some(&["st-A-1"])).await;
        let void = Err(Refused::TicketVoid);
        assert_eq!(bench.scan(&digits, "North", "").await, void);
    }
}

#[tokio::test]
async fn of_many_doors_at_once_one_checks_the_ticket_in() {
    for (here, there) in pairs().await {
        let ada = here.fan(1).await;
        let order = here.buy(&ada, &["st-A-1"]).await;
        let code = order.tickets.unwrap()[0].code.clone();
        there.show().await;
        let doors = [&here, &there, &here, &there].into_iter().enumerate();
        let doors = doors.map(|(at, node)| {
            let (code, door) = (code.clone(), format!("{at}"));
            async move { node.scan(&code, &door, "1").await }
        });
        let answers = futures_util::future::join_all(doors).await;
        let used = |answer: &&Result<CheckedIn, Refused>| {
            matches!(answer, Err(Refused::TicketUsed { .. }))
        };
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        assert_eq!(answers.iter().filter(used).count(), 3);
        let told = here.events_of(&order.id).await;
        let told = told
            .iter()
            .filter(|row| row.event_type == "ticket.checked_in");
        assert_eq!(told.count(), 1);
    }
}

#[tokio::test]
async fn a_late_scan_has_its_own_time_and_none_has_one_to_come() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        let tickets = order.tickets.unwrap();
        let early = bench.clock.now();
        bench.clock.advance_ms(60_000);
        let now = bench.clock.now();
        for (ticket, at, used_at) in [
            (&tickets[0], early, early),
            (&tickets[1], now.plus_seconds(60), now),
        ] {
            let scan = Scan {
                at: Some(at),
                ..scan(&ticket.code, "North", "")
            };
            let checked = bench.seats.check_in(&bench.event, &scan).await.unwrap();
            assert_eq!(checked.ticket.used_at, Some(used_at));
        }
    }
}

#[tokio::test]
async fn a_door_finds_a_ticket_without_reading_all_of_them() {
    for bench in halls().await.into_iter().skip(1) {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1"]).await;
        let id = &order.tickets.unwrap()[0].id;
        let many = "insert into fairline.ticket (event, seat, id, order_id)
            select 'arena', 1000 + i, 'tix_' || md5(i::text), 'ord_0' from generate_series(1, 20000) i;
            analyze fairline.ticket";
        bench.by_hand(many).unwrap();
        let start = &id[..12];
        let columns = ["'{}'"; 8].join(", ");
        // In one transaction, which counts the rows that it read.
        let asked = format!(
            "select id from fairline.door_ticket where event = 'arena' and id = '{id}';
             select id from fairline.door_ticket where event = 'arena' and id > '{start}' order by id limit 2;
             select id from fairline.check_in('arena', '{id}', 1, 'North', null, {columns});
             select coalesce(sum(seq_tup_read), 0) from pg_stat_xact_user_tables where relname = 'ticket'"
        );
        let answered = bench.by_hand(&asked).unwrap();
        let answered: Vec<&str> = answered.lines().collect();
        assert_eq!(
            [answered[0], answered[1], answered[3]],
            [id.as_str(); 3],
            "{answered:?}"
        );
        assert_eq!(answered[4], "0", "rows read one after another");
    }
}
