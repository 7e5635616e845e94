//! Clients of admissions, and the settings of the gate.

use crate::bench::{benches, policy};
use shared::ids::VisitorId;
use shared::time::Time;
use waiting_room::line::{ClientChange, Clients, EventSettings, Patch, Sighting, Visit};

#[tokio::test]
async fn clients_are_stored_unless_they_changed_and_shared_admissions_are_listed() {
    for bench in benches() {
        let event = bench.event(policy(600, 1, 10)).await;
        let line = &bench.line;
        let until = Time(bench.clock.now().0 + 60_000);
        let visitor = VisitorId(7);
        assert_eq!(
            line.clients(&event, visitor).await.unwrap(),
            None,
            "{}",
            bench.name
        );
        let mut first = Clients::of(None, 1);
        let seen = |print| Sighting {
            word: None,
            print,
            can_set_cookie: true,
        };
        let visit = first.visit(&seen(1), bench.clock.now(), 2);
        assert!(matches!(visit, Visit::Passes(Some(_))));
        let mut second = first.clone();
        second.visit(&seen(u64::MAX), bench.clock.now(), 2);
        let set = async |before: Option<&Clients>, after: &Clients| {
            let change = ClientChange {
                visitor,
                before,
                after,
                until,
            };
            line.set_clients(&event, change).await.unwrap()
        };
        assert!(set(None, &first).await, "{}", bench.name);
        assert!(!set(None, &second).await, "{}", bench.name);
        assert_eq!(line.shared_admissions(&event).await.unwrap(), []);
        assert!(set(Some(&first), &second).await, "{}", bench.name);
        let stored = line.clients(&event, visitor).await.unwrap();
        assert_eq!(stored, Some(second), "{}", bench.name);
        let shared = line.shared_admissions(&event).await.unwrap();
        let [shared] = shared.as_slice() else {
            panic!("{}: {shared:?}", bench.name)
        };
        assert_eq!(
            (shared.visitor, shared.clients, shared.expires_at),
            (visitor, 2, until)
        );
        bench.clock.advance_ms(60_000);
        assert_eq!(line.shared_admissions(&event).await.unwrap(), []);
    }
}

#[tokio::test]
async fn the_switches_of_the_gate_are_kept_and_settings_without_them_still_change() {
    for bench in benches() {
        let event = bench.event(policy(600, 1, 10)).await;
        let line = &bench.line;
        let change = async |patch: &str| -> EventSettings {
            let patch: Patch = serde_json::from_str(patch).unwrap();
            line.configure(&event, patch).await.unwrap().1
        };
        let now = bench.clock.now();
        assert!(!change("{}").await.lets_everyone_pass(now));
        assert!(
            change(r#"{"passthrough": true}"#)
                .await
                .lets_everyone_pass(now)
        );
        let front = line.tick(&event).await.unwrap();
        assert!(front.settings.passthrough, "{}", bench.name);
        let text = r#"{"passthrough": false, "name": "\",\"passthrough\":false\""}"#;
        let settings = change(text).await;
        assert!(!settings.lets_everyone_pass(now), "{}", bench.name);
        let front = line.tick(&event).await.unwrap();
        assert_eq!(*front.settings, settings, "{}", bench.name);
        let (soon, late) = (now.plus_seconds(60), now.plus_seconds(120));
        let text = format!(
            r#"{{"sale_opens_at": "{soon}", "closes_at": "{late}", "passthrough_before_opening": true}}"#
        );
        let settings = change(&text).await;
        let passes = [now, soon, late].map(|at| settings.lets_everyone_pass(at));
        assert_eq!(passes, [true, false, false], "{}", bench.name);
        let settings = change(r#"{"passthrough_after_closing": true}"#).await;
        let passes = [now, soon, late].map(|at| settings.lets_everyone_pass(at));
        assert_eq!(passes, [true, false, true], "{}", bench.name);
    }
}
