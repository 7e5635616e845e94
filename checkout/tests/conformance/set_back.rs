//! A running server goes back to an earlier state, as when a dump is restored into it.

use crate::bench::*;

const TABLES: [&str; 10] = [
    "event", "seat", "session", "hold", "orders", "payment", "ticket", "answer", "change",
    "version",
];

/// How the earlier state is restored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// The rows are replaced.
    Rows,
    /// The table of events is made anew, and its versions go on as if nothing had been lost.
    Tables,
}

/// Keeps a copy of all rows.
fn keep(bench: &Bench) {
    let copy =
        TABLES.map(|table| format!("create table public.{table} as table fairline.{table};"));
    bench.by_hand(&copy.concat()).unwrap();
}

/// Replaces all rows by those that were kept.
fn restore(bench: &Bench, way: Way) {
    let replace = TABLES.map(|table| {
        format!("delete from fairline.{table}; insert into fairline.{table} select * from public.{table};")
    });
    let anew = match way {
        Way::Rows => "",
        Way::Tables => {
            "alter table fairline.event rename to event_before;
            create table fairline.event (like fairline.event_before including all);
            insert into fairline.event select * from fairline.event_before;
            update fairline.event set version = version + 1000;"
        }
    };
    bench
        .by_hand(&format!("begin; {} {anew} commit", replace.concat()))
        .unwrap();
}

#[tokio::test]
async fn nodes_drop_what_they_know_when_an_earlier_state_is_restored_into_a_running_server() {
    for way in [Way::Rows, Way::Tables] {
        for (here, there) in pairs().await {
            let (ada, ben, cleo) = (here.fan(1).await, here.fan(2).await, here.fan(3).await);
            let kept = here.buy(&ada, &["st-A-1"]).await;
            there.show().await;
            keep(&here);
            let lost = here.buy(&ben, &["st-A-2"]).await;
            assert_eq!(here.counts().await, [14, 0, 2, 0]);
            assert_eq!(there.counts().await, [14, 0, 2, 0]);
            let shown = there
                .seats
                .seat_map(&there.event)
                .unwrap()
                .current()
                .version;
            restore(&here, way);
            assert_eq!(there.counts().await, [15, 0, 1, 0], "{way:?}");
            assert_eq!(here.counts().await, [15, 0, 1, 0], "{way:?}");
            let map = there.seats.seat_map(&there.event).unwrap();
            assert!(map.current().version > shown, "no version is shown twice");
            assert_eq!(here.see(&ada, &kept).await.state, "confirmed");
            let reader = checkout::inventory::Reader::Session(ben.clone());
            assert!(here.seats.show_order(reader, &lost.id).await.is_err());
            here.hold(&cleo, named(&["st-A-2"])).await.unwrap();
            here.show().await;
            assert_eq!(there.counts().await, [14, 1, 1, 0]);
        }
    }
}

#[tokio::test]
async fn what_was_told_and_is_lost_is_told_again() {
    for (here, _) in pairs().await {
        let rows = ["st-A-", "st-B-"].map(|row| (1..=6).map(move |n| format!("{row}{n}")));
        let seats: Vec<String> = rows.into_iter().flatten().collect();
        let floor = (1..=4).map(|n| format!("fl-{n}"));
        let seats: Vec<String> = seats.into_iter().chain(floor).collect();
        for (fan, seats) in (1..).zip(seats.chunks(2)) {
            let fan = here.fan(fan).await;
            here.buy(&fan, &seats.iter().map(String::as_str).collect::<Vec<_>>())
                .await;
        }
        keep(&here);
        here.show().await;
        let told = ["event.published", "event.sold_out", "event.sold_out"];
        assert_eq!(here.types_of("arena").await, told[..2]);
        restore(&here, Way::Tables);
        here.show().await;
        here.show().await;
        assert_eq!(here.types_of("arena").await, told);
    }
}

#[tokio::test]
async fn the_first_answer_of_another_server_tells_that_it_is_another() {
    for (here, _) in pairs().await {
        let (ada, ben) = (here.fan(1).await, here.fan(2).await);
        here.show().await;
        keep(&here);
        here.buy(&here.fan(3).await, &["st-A-2"]).await;
        here.show().await;
        restore(&here, Way::Tables);
        // No poll comes before these.
        here.hold(&ada, named(&["st-A-1"])).await.unwrap();
        here.hold(&ben, named(&["st-A-2"])).await.unwrap();
    }
}
