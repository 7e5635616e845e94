//! Stored answers to repeated requests that this version cannot read.

use crate::bench::*;
use checkout::inventory::{Begun, Refused, Verdict};

/// Makes all stored answers unreadable, as those of another version may be.
fn spoil(bench: &Bench) {
    let answer = r#"'{"of": "another version"}'"#;
    bench.change_store(
        &format!("update fairline.answer set answer = {answer}"),
        &format!("update answer set answer = {answer}"),
    );
}

#[tokio::test]
async fn a_stored_answer_that_cannot_be_read_is_answered_anew_and_nothing_is_bought_twice() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let (seats, event) = (&bench.seats, &bench.event);
        let hold = || seats.hold(ada.clone(), event, named(&["st-A-1"]), attempt("h", "b"));
        let held = hold().await.unwrap().value;
        let order = || seats.order(ada.clone(), &held.id, buyer(), attempt("o", "b"));
        let made = order().await.unwrap().value;
        let begin = || seats.begin_payment(ada.clone(), &made.payment.id, attempt("p", "b"));
        let Ok(Begun::Ask(payment)) = begin().await else {
            panic!("the payment should begin")
        };
        let settled = seats.settle(&payment, Verdict::Captured, attempt("p", "b"));
        assert_eq!(settled.await.unwrap().state, "confirmed");
        spoil(&bench);
        assert!(matches!(hold().await, Err(Refused::SessionOver)));
        assert!(matches!(order().await, Err(Refused::HoldConverted(id)) if id == made.id));
        assert!(matches!(begin().await, Err(Refused::OrderState(state)) if state == "confirmed"));
        assert_eq!(bench.counts().await, [15, 0, 1, 0]);

        let ben = bench.fan(2).await;
        let hold = || seats.hold(ben.clone(), event, best(1), attempt("again", "b"));
        let first = hold().await.unwrap().value;
        spoil(&bench);
        let second = hold().await.unwrap();
        assert!(!second.is_replayed && second.value.id != first.id);
        // The key is good again.
        let replayed = hold().await.unwrap();
        assert!(replayed.is_replayed);
        assert_eq!(replayed.value, second.value);
    }
}
