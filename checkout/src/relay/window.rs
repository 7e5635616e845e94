//! The rows of a shard that the relay works on: which is next, and how far all are sent.

use super::broker::Outcome;
use super::message::Message;
use crate::inventory::outbox::{OutboxLease, OutboxRow, OutboxShard};
use brokers::Failure;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Largest number of rows of a shard in memory: so far the relay goes past a row that cannot be
/// sent.
const ROWS_MAX: usize = 1_000;
/// Time after which a row that the broker has no place for is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Rows of a shard from its cursor on. A row is sent once every earlier row of its aggregate is
/// settled.
pub(super) struct Window {
    pub(super) shard: OutboxShard,
    /// Position up to which all rows are settled.
    settled: i64,
    /// Position up to which the store knows it.
    acknowledged: i64,
    /// Position of the last row in `rows`, or the cursor.
    read_to: i64,
    rows: VecDeque<Entry>,
    /// Aggregates whose next row is not to be sent before a time.
    resting: HashMap<AggregateKey, Instant>,
}

struct Entry {
    row: OutboxRow,
    /// Sent, or given up for good.
    is_settled: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct AggregateKey {
    aggregate_type: String,
    id: String,
}

impl AggregateKey {
    fn of(row: &OutboxRow) -> AggregateKey {
        AggregateKey {
            aggregate_type: row.aggregate_type.clone(),
            id: row.aggregate_id.clone(),
        }
    }
}

impl Window {
    pub(super) fn new(lease: OutboxLease) -> Window {
        Window {
            shard: lease.shard,
            settled: lease.position,
            acknowledged: lease.position,
            read_to: lease.position,
            rows: VecDeque::new(),
            resting: HashMap::new(),
        }
    }

    /// Returns whether a renewed lease goes on where this window is. It does not where another relay
    /// had the shard meanwhile and went further, nor where the store has gone back to an earlier
    /// state: other rows may come at the positions that were read.
    pub(super) fn continues(&self, lease: &OutboxLease) -> bool {
        (self.acknowledged..=self.settled).contains(&lease.position)
    }

    /// Returns the position to read after, and how many rows there is room for, at most `limit`.
    pub(super) fn wants(&self, limit: u32) -> (i64, u32) {
        let room = u32::try_from(ROWS_MAX.saturating_sub(self.rows.len())).unwrap_or_default();
        (self.read_to, room.min(limit))
    }

    /// Adds rows that were read after the last one.
    pub(super) fn add(&mut self, rows: Vec<OutboxRow>) {
        if let Some(last) = rows.last() {
            self.read_to = last.position;
        }
        self.rows.extend(rows.into_iter().map(|row| Entry {
            row,
            is_settled: false,
        }));
    }

    /// Returns the first unsettled row of each aggregate that does not rest, by its index, with its
    /// message; at most `limit`.
    pub(super) fn due(&self, now: Instant, source: &str, limit: usize) -> Vec<(usize, Message)> {
        let mut seen = HashSet::new();
        let mut due = Vec::new();
        for (index, entry) in self.rows.iter().enumerate() {
            if due.len() == limit {
                break;
            }
            let row = &entry.row;
            if entry.is_settled || !seen.insert((&row.aggregate_type, &row.aggregate_id)) {
                continue;
            }
            if !self.rests(row, now) {
                due.push((index, Message::of(row, source)));
            }
        }
        due
    }

    /// Returns whether a row waits because the broker has no place for it.
    pub(super) fn has_resting(&self) -> bool {
        !self.resting.is_empty()
    }

    fn rests(&self, row: &OutboxRow, now: Instant) -> bool {
        let is_later = |until: &Instant| *until > now;
        !self.resting.is_empty()
            && self
                .resting
                .get(&AggregateKey::of(row))
                .is_some_and(is_later)
    }

    /// Notes what became of a row that was due. One that failed stays, and holds back the later
    /// rows of its aggregate; one that is rejected for good is settled.
    pub(super) fn settle(&mut self, index: usize, outcome: &Outcome, now: Instant) {
        let Some(entry) = self.rows.get_mut(index) else {
            return;
        };
        let failure = outcome.as_ref().err();
        if failure.is_none_or(Failure::is_final) {
            entry.is_settled = true;
            if !self.resting.is_empty() {
                self.resting.remove(&AggregateKey::of(&entry.row));
            }
        } else if !failure.is_some_and(Failure::is_of_connection) {
            let key = AggregateKey::of(&entry.row);
            self.resting.insert(key, now + RETRY);
        }
    }

    /// Forgets the settled rows at the front. Returns the position up to which all are settled, if
    /// the store does not know it.
    pub(super) fn settled(&mut self) -> Option<i64> {
        while let Some(entry) = self.rows.pop_front_if(|entry| entry.is_settled) {
            self.settled = entry.row.position;
        }
        (self.settled > self.acknowledged).then_some(self.settled)
    }

    /// Notes that the store knows that all rows up to this position are settled.
    pub(super) fn acknowledged(&mut self, position: i64) {
        self.acknowledged = position;
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::row;
    use super::*;
    use brokers::FailureKind;

    fn window(orders: &[&str]) -> Window {
        let mut window = Window::new(OutboxLease {
            shard: OutboxShard::default(),
            position: 0,
        });
        let rows = orders.iter().zip(1..);
        window.add(rows.map(|(order, position)| row(position, order)).collect());
        window
    }

    fn ids(due: &[(usize, Message)]) -> Vec<&str> {
        due.iter().map(|(_, message)| message.id.as_str()).collect()
    }

    fn failed(kind: FailureKind) -> Outcome {
        Err(Failure::new(kind, "why"))
    }

    #[test]
    fn the_first_waiting_row_of_each_aggregate_is_due() {
        let mut window = window(&["a", "b", "a", "b", "a"]);
        let now = Instant::now();
        let due = window.due(now, "", 10);
        assert_eq!(ids(&due), ["evt_1", "evt_2"]);
        for (index, _) in due {
            window.settle(index, &Ok(()), now);
        }
        assert_eq!(ids(&window.due(now, "", 10)), ["evt_3", "evt_4"]);
        assert_eq!(window.settled(), Some(2));
        assert_eq!(window.settled(), Some(2), "until the store knows it");
        window.acknowledged(2);
        assert_eq!(window.settled(), None);
    }

    #[test]
    fn a_row_that_failed_holds_back_its_aggregate_and_the_cursor_alone() {
        let mut window = window(&["a", "b", "a", "b"]);
        let now = Instant::now();
        let due = window.due(now, "", 10);
        window.settle(due[0].0, &failed(FailureKind::Unroutable), now);
        window.settle(due[1].0, &Ok(()), now);
        let due = window.due(now, "", 10);
        assert_eq!(ids(&due), ["evt_4"], "a rests");
        window.settle(due[0].0, &Ok(()), now);
        assert!(window.due(now, "", 10).is_empty());
        assert_eq!(window.settled(), None, "the first row is not sent");
        let later = now + RETRY;
        let due = window.due(later, "", 10);
        assert_eq!(ids(&due), ["evt_1"], "the same row first");
        window.settle(due[0].0, &Ok(()), later);
        assert_eq!(window.settled(), Some(2));
        assert_eq!(ids(&window.due(later, "", 10)), ["evt_3"]);
    }

    #[test]
    fn a_row_that_is_rejected_for_good_blocks_nothing() {
        let mut window = window(&["a", "a"]);
        let now = Instant::now();
        let due = window.due(now, "", 10);
        window.settle(due[0].0, &failed(FailureKind::Rejected), now);
        assert_eq!(ids(&window.due(now, "", 10)), ["evt_2"]);
        assert_eq!(window.settled(), Some(1));
    }

    #[test]
    fn rows_are_read_as_far_as_there_is_room() {
        let mut window = window(&["a"]);
        assert_eq!(window.wants(500), (1, 500));
        window.add((2..=900).map(|position| row(position, "b")).collect());
        assert_eq!(window.wants(500), (900, 100));
    }

    #[test]
    fn a_wave_takes_no_more_than_its_share_of_a_shard() {
        let mut window = window(&["a", "b", "c"]);
        let now = Instant::now();
        let due = window.due(now, "", 2);
        assert_eq!(ids(&due), ["evt_1", "evt_2"]);
        window.settle(due[0].0, &Ok(()), now);
        assert_eq!(ids(&window.due(now, "", 2)), ["evt_2", "evt_3"]);
    }

    #[test]
    fn a_window_ends_where_its_shard_went_on_or_back_without_it() {
        let mut window = window(&["a", "b", "c"]);
        let now = Instant::now();
        for index in 0..2 {
            window.settle(index, &Ok(()), now);
        }
        assert_eq!(window.settled(), Some(2));
        window.acknowledged(1);
        let at = |position| OutboxLease {
            shard: OutboxShard::default(),
            position,
        };
        assert!(window.continues(&at(1)));
        assert!(window.continues(&at(2)), "the answer was lost");
        assert!(!window.continues(&at(3)), "another relay went on");
        assert!(!window.continues(&at(0)), "the store went back");
    }
}
