//! Sessions that last longer.

use crate::bench::*;
use checkout::inventory::{NewSession, Refused, SessionKey, SessionKeys};
use shared::ids::VisitorId;

/// Opens a session of a minute.
async fn short_session(bench: &Bench, visitor: u8) -> (SessionKey, SessionKeys) {
    let hash = shared::crypto::random();
    let session = NewSession {
        key: hash,
        event: bench.event.clone(),
        visitor: VisitorId(u128::from(visitor)),
        number: u64::from(visitor),
        jti: format!("adm-{visitor}"),
        token: "first token".into(),
        expires_at: START.plus_seconds(60),
        is_reported: true,
    };
    bench.seats.open_session(session).await.unwrap();
    let key = SessionKey {
        event: bench.event.clone(),
        hash,
    };
    (key, bench.keys(hash))
}

#[tokio::test]
async fn an_extended_session_holds_seats_until_its_new_end_by_the_newest_admission() {
    for bench in halls().await {
        let (key, fan) = short_session(&bench, 1).await;
        let admission = async || bench.seats.admission(&key).await.unwrap();
        assert_eq!(admission().await.as_deref(), Some("first token"));
        let until = START.plus_seconds(90);
        for _ in 0..2 {
            let extended = bench.seats.extend_session(&key, "second token", until);
            extended.await.unwrap();
        }
        // One that would end sooner changes nothing.
        let sooner = START.plus_seconds(70);
        let shortened = bench.seats.extend_session(&key, "first token", sooner);
        shortened.await.unwrap();
        assert_eq!(admission().await.as_deref(), Some("second token"));
        bench.clock.advance_ms(80_000);
        assert!(bench.hold(&fan, named(&["st-A-1"])).await.is_ok());
        let shown = bench.seats.session(fan.clone(), Some(bench.event.clone()));
        assert_eq!(shown.await.unwrap().expires_at, until);
        bench.clock.advance_ms(10_000);
        let late = bench.hold(&fan, named(&["st-A-2"])).await;
        assert_eq!(late, Err(Refused::SessionOver));
    }
}

#[tokio::test]
async fn a_session_that_is_over_is_not_extended() {
    for bench in halls().await {
        let (key, fan) = short_session(&bench, 1).await;
        let ended = bench.seats.end_session(fan.clone(), &bench.event);
        ended.await.unwrap();
        assert_eq!(bench.seats.admission(&key).await.unwrap(), None);
        let until = START.plus_seconds(90);
        let extended = bench.seats.extend_session(&key, "second token", until);
        extended.await.unwrap();
        let shown = bench.seats.session(fan, Some(bench.event.clone()));
        assert_eq!(shown.await.unwrap().expires_at, START.plus_seconds(60));
    }
}

#[tokio::test]
async fn an_extension_at_one_node_holds_at_the_other() {
    for (here, there) in pairs().await {
        let (key, fan) = short_session(&here, 1).await;
        there.hold(&fan, named(&["st-A-1"])).await.unwrap();
        let until = START.plus_seconds(90);
        let extended = here.seats.extend_session(&key, "second token", until);
        extended.await.unwrap();
        // The clock of both.
        here.clock.advance_ms(80_000);
        assert!(there.hold(&fan, named(&["st-A-2"])).await.is_ok());
    }
}
