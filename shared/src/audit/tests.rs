//! Tests of the audit log as a whole.

use super::chain::Link;
use super::{Audit, Entry, Incident, SharedAuditLog, check, check_file, check_shared};
use crate::time::Time;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const NOW: Time = Time(1_800_000_000_000);

fn entry(action: &str) -> Entry {
    Entry {
        at: NOW,
        by: "ada".to_owned(),
        action: action.to_owned(),
        event: "arena".to_owned(),
        address: None,
        from: Value::Null,
        to: json!({"name": "The \"hash\":\" night"}),
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    /// With a log of five entries.
    async fn with_log() -> Folder {
        let folder = Folder::new();
        let audit = folder.open();
        for action in ["one", "two", "three", "four", "five"] {
            audit.record(entry(action)).await;
        }
        folder
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("audit.jsonl")
    }

    fn open(&self) -> Audit {
        Audit::open(&self.path(), NOW).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn write(&self, lines: &[String]) {
        fs::write(self.path(), lines.join("\n") + "\n").unwrap();
    }

    fn faults(&self) -> Vec<String> {
        check::read(&self.path()).unwrap().checked.faults
    }
}

async fn actions(audit: &Audit) -> Vec<String> {
    let newest = audit.newest(100).await.into_iter();
    newest.map(|entry| entry.action).collect()
}

#[tokio::test]
async fn a_log_is_whole_after_any_number_of_starts_and_keeps_its_order() {
    let folder = Folder::with_log().await;
    for at in 0..3 {
        assert_eq!(folder.faults(), Vec::<String>::new());
        let audit = folder.open();
        assert_eq!(actions(&audit).await.len(), 5 + at);
        audit.record(entry("more")).await;
    }
    let wanted = [
        "more", "more", "more", "five", "four", "three", "two", "one",
    ];
    assert_eq!(actions(&folder.open()).await, wanted);
}

#[tokio::test]
async fn a_line_that_was_changed_removed_put_in_or_moved_is_noticed_wherever_it_stood() {
    let folder = Folder::with_log().await;
    let (lines, head) = (folder.lines(), folder.path().with_extension("head"));
    let told = fs::read(&head).unwrap();
    for at in 0..lines.len() {
        let mut changed = lines.clone();
        changed[at] = changed[at].replace("\"ada\"", "\"eve\"");
        let mut removed = lines.clone();
        removed.remove(at);
        let mut twice = lines.clone();
        twice.insert(lines.len() - at, lines[0].clone());
        let mut put_in = lines.clone();
        put_in.insert(at + 1, serde_json::to_string(&entry("forged")).unwrap());
        let mut all = vec![changed, removed, put_in];
        if at < 4 {
            all.push(twice);
            let mut moved = lines.clone();
            moved.swap(at, at + 1);
            all.push(moved);
        }
        let cut = lines[..at].to_vec();
        all.push(cut);
        // With a hash of its own, as whoever knows how it is made would write it.
        if let Some(before) = at.checked_sub(1).and_then(|at| Link::parse(&lines[at])) {
            let mut forged = lines.clone();
            forged[at] = before.head().append(entry("forged"));
            all.push(forged);
        }
        for (kind, lines) in all.iter().enumerate() {
            folder.write(lines);
            assert!(!folder.faults().is_empty(), "{at} {kind}");
        }
    }
    folder.write(&lines);
    assert_eq!(folder.faults(), Vec::<String>::new());
    fs::remove_file(&head).unwrap();
    assert!(folder.faults()[0].contains("audit.head is missing"));
    fs::write(&head, told).unwrap();
    // Whoever recomputes the chain gives another hash for the same number.
    let other = Folder::new();
    let audit = other.open();
    for action in ["one", "two", "forged", "four", "five"] {
        audit.record(entry(action)).await;
    }
    folder.write(&other.lines());
    assert!(!folder.faults().is_empty());
}

#[tokio::test]
async fn a_hash_that_was_told_counts_only_where_the_chain_has_it() {
    let folder = Folder::with_log().await;
    let faults = |folder: &Folder, head: &str| {
        let checked = check_file(&folder.path(), Some(head));
        checked.unwrap().faults.len()
    };
    let told = check_file(&folder.path(), None).unwrap().head;
    assert_eq!(faults(&folder, &told), 0);
    assert_eq!(faults(&folder, &told.to_uppercase()), 0);
    for wrong in ["", "}", &told[1..], "\"", "null"] {
        assert_eq!(faults(&folder, wrong), 1, "{wrong}");
    }
    // A log that was written anew, behind a line without a chain that ends with the old hash.
    let forged = Folder::new();
    let old = Entry {
        to: Value::String(told.clone()),
        ..entry("old")
    };
    forged.write(&[serde_json::to_string(&old).unwrap()]);
    forged.open().record(entry("forged")).await;
    assert_eq!(forged.faults(), Vec::<String>::new());
    assert_eq!(faults(&forged, &told), 1);
}

#[tokio::test]
async fn a_fault_is_told_at_the_start_and_the_log_goes_on_behind_it() {
    let folder = Folder::with_log().await;
    let mut lines = folder.lines();
    lines.remove(2);
    folder.write(&lines);
    let audit = folder.open();
    audit.record(entry("six")).await;
    let newest = audit.newest(2).await;
    assert_eq!(newest[1].action, "audit.broken");
    let told = newest[1].to["faults"][0].as_str().unwrap();
    assert!(told.starts_with("line 3 was changed"), "{told}");
    assert_eq!(
        folder.faults().len(),
        1,
        "the fault stays, and is the only one"
    );
}

#[tokio::test]
async fn a_line_that_broke_off_costs_nothing_before_or_behind_it() {
    let folder = Folder::with_log().await;
    for broken in [&b"{\"log\":\"log_1\",\"se"[..], b"\xff\xfe\x00", b"{}"] {
        let mut bytes = fs::read(folder.path()).unwrap();
        bytes.extend(broken);
        fs::write(folder.path(), bytes).unwrap();
        let audit = folder.open();
        audit.record(entry("more")).await;
        assert_eq!(actions(&audit).await[0], "more");
    }
    let read = check::read(&folder.path()).unwrap();
    assert_eq!(read.checked.faults, Vec::<String>::new());
    assert_eq!((read.checked.lines, read.checked.torn), (8, 3));
    assert_eq!(actions(&folder.open()).await.len(), 8);
    // All of a line but its end.
    let mut bytes = fs::read(folder.path()).unwrap();
    bytes.pop();
    fs::write(folder.path(), bytes).unwrap();
    folder.open().record(entry("more")).await;
    let read = check::read(&folder.path()).unwrap();
    assert_eq!((read.checked.lines, read.checked.torn), (9, 3));
    assert_eq!(read.checked.faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_log_without_a_chain_is_adopted_and_covered_from_then_on() {
    let folder = Folder::new();
    let old: Vec<String> = ["old", "older"]
        .map(|action| serde_json::to_string(&entry(action)).unwrap())
        .into();
    folder.write(&old);
    let torn = fs::read_to_string(folder.path()).unwrap() + "{\"at\":\"20";
    fs::write(folder.path(), torn).unwrap();
    let audit = folder.open();
    audit.record(entry("new")).await;
    let wanted = ["new", "audit.adopt", "older", "old"];
    assert_eq!(actions(&audit).await, wanted);
    drop(audit);
    assert_eq!(actions(&folder.open()).await, wanted);
    assert_eq!(folder.faults(), Vec::<String>::new());
    let mut lines = folder.lines();
    lines[0] = lines[0].replace("\"ada\"", "\"eve\"");
    folder.write(&lines);
    assert!(folder.faults()[0].contains("had no chain yet, were changed"));
}

/// A store that can be away, and forgets nothing.
#[derive(Default)]
struct Store {
    is_away: AtomicBool,
    lines: Mutex<Vec<String>>,
}

#[async_trait]
impl SharedAuditLog for Store {
    async fn keep(&self, line: String) -> Result<(), String> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err("away".to_owned());
        }
        self.lines.lock().push(line);
        Ok(())
    }

    async fn newest(&self, count: usize) -> Result<Vec<String>, String> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err("away".to_owned());
        }
        Ok(self
            .lines
            .lock()
            .iter()
            .rev()
            .take(count)
            .cloned()
            .collect())
    }
}

#[tokio::test]
async fn what_a_shared_store_missed_is_sent_later_and_after_a_restart() {
    let (one, two) = (Folder::new(), Folder::new());
    let store = Arc::new(Store::default());
    let (first, other) = (one.open(), two.open());
    first.record(entry("before")).await;
    first.share(store.clone());
    other.share(store.clone());
    first.record(entry("one")).await;
    other.record(entry("two")).await;
    store.is_away.store(true, Ordering::Relaxed);
    first.record(entry("three")).await;
    first.record(entry("four")).await;
    store.is_away.store(false, Ordering::Relaxed);
    first.settle(NOW, false).await;
    assert_eq!(store.lines.lock().len(), 5);
    store.is_away.store(true, Ordering::Relaxed);
    first.record(entry("five")).await;
    drop(first);
    store.is_away.store(false, Ordering::Relaxed);
    let again = one.open();
    again.share(store.clone());
    again.settle(NOW, false).await;
    let lines = store.lines.lock().clone();
    assert_eq!(lines.len(), 6);
    let checked = check_shared(&lines, true);
    assert_eq!(checked.faults, Vec::<String>::new());
    assert_eq!(actions(&again).await.len(), 6);
    for at in 0..lines.len() {
        let mut changed = lines.clone();
        changed[at] = changed[at].replace("\"ada\"", "\"eve\"");
        assert_eq!(check_shared(&changed, true).faults.len(), 1, "{at}");
        let mut fewer = lines.clone();
        fewer.remove(at);
        let is_last = [2, 5].contains(&at);
        assert_eq!(
            check_shared(&fewer, true).faults.is_empty(),
            is_last,
            "{at}"
        );
    }
    let doubled = [lines.clone(), lines].concat();
    assert!(check_shared(&doubled, true).faults.is_empty());
}

#[tokio::test]
async fn a_flood_of_incidents_leaves_few_lines_and_every_one_is_counted() {
    let folder = Folder::new();
    let audit = folder.open();
    for _ in 0..2000 {
        let incident = Incident {
            action: "key.wrong",
            by: String::new(),
            address: Some(IpAddr::from([203, 0, 113, 1])),
            about: Value::Null,
        };
        if let Some(written) = audit.note(incident, NOW) {
            written.await.unwrap();
        }
    }
    audit.settle(NOW, true).await;
    let newest = audit.newest(100).await;
    assert_eq!((newest.len(), &newest[0].to["count"]), (21, &json!(1980)));
    assert_eq!(newest[0].address, Some(IpAddr::from([203, 0, 113, 1])));
    assert!(newest.iter().all(Entry::is_incident));
}
