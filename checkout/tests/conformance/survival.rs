//! State that survives a restart.

use crate::bench::*;
use checkout::inventory::{Begun, Block, Refused, Sqlite, Verdict};
use shared::time::Clock;

#[tokio::test]
async fn whatever_was_acknowledged_is_there_after_a_restart() {
    for mut bench in halls().await {
        let (ada, ben, cleo) = (bench.fan(1).await, bench.fan(2).await, bench.fan(3).await);
        let bought = bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        let held = bench.hold(&ben, named(&["st-B-1"])).await.unwrap();
        let hold = bench.hold(&cleo, named(&["st-B-2"])).await.unwrap();
        let order = bench.order(&cleo, &hold).await.unwrap();
        bench
            .seats
            .block(&bench.event, vec!["fl-1".into()], Block::Block, None)
            .await
            .unwrap();
        let version = bench
            .seats
            .seat_map(&bench.event)
            .unwrap()
            .current()
            .version;
        bench.reopen().await;
        assert_eq!(bench.counts().await, [11, 2, 2, 1]);
        assert!(
            bench
                .seats
                .seat_map(&bench.event)
                .unwrap()
                .current()
                .version
                >= version
        );
        assert_eq!(bench.see(&ada, &bought).await, bought);
        assert_eq!(
            bench.seats.show_hold(ben.clone(), &held.id).await.unwrap(),
            held
        );
        assert_eq!(
            bench
                .pay(&cleo, &order, Verdict::Captured)
                .await
                .unwrap()
                .state,
            "confirmed"
        );
        assert_eq!(bench.admit(9, "adm-1").await, Err(Refused::AdmissionUsed));
        assert_eq!(
            bench.sweep_after(120 + SLACK_SECONDS).await,
            1,
            "Ben's hold lapses as it would have"
        );
    }
}

#[tokio::test]
async fn a_payment_that_the_process_died_over_is_resolved_and_so_is_the_request_that_began_it() {
    for mut bench in halls().await {
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let order = bench.order(&ada, &hold).await.unwrap();
        let begin = async |bench: &Bench, body: &str| {
            let id = &order.payment.id;
            let attempt = attempt("p", body);
            bench.seats.begin_payment(ada.clone(), id, attempt).await
        };
        begin(&bench, "b").await.unwrap();
        bench.reopen().await;
        let early = begin(&bench, "b").await;
        assert_eq!(early.unwrap_err(), Refused::StillRunning);
        bench.clock.advance_ms(16_000);
        let due = bench.due().await;
        assert_eq!((due.len(), due[0].promised_at), (1, None));
        let interrupted = Verdict::Declined("interrupted".into());
        let told = bench.seats.settle(&due[0], interrupted, None).await;
        let told = told.unwrap();
        assert_eq!(told.state, "declined");
        // The same request gets the resulting order, however often it is repeated.
        for _ in 0..2 {
            let Ok(Begun::Replayed(answer)) = begin(&bench, "b").await else {
                panic!("the attempt should be over");
            };
            assert_eq!(*answer, told);
            bench.reopen().await;
        }
        let other = begin(&bench, "another").await;
        assert_eq!(other.unwrap_err(), Refused::Mismatch);
        let paid = bench.pay(&ada, &told, Verdict::Captured).await.unwrap();
        assert_eq!(paid.state, "confirmed");
        let Ok(Begun::Replayed(answer)) = begin(&bench, "b").await else {
            panic!("the attempt should be over");
        };
        assert_eq!(*answer, told, "as it was then");
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.sqlite");
    std::fs::write(
        &path,
        b"this is not a database, it only looks like a file of one",
    )
    .unwrap();
    let refused = Sqlite::open(&path, Clock::manual(START)).err().unwrap();
    assert!(refused.contains("damaged"), "{refused}");
    assert!(
        std::fs::read(&path)
            .unwrap()
            .starts_with(b"this is not a database")
    );
}
