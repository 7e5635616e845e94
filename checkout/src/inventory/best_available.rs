//! Best-available search: adjacent seats first, nearest to the focal point or else in the first row
//! and nearest to its middle, no single seat left over.

use super::layout::{Layout, LayoutSeat};
use super::model::SeatState;
use super::rules::Orphans;
use std::ops::Range;

/// Largest number of rows whose best seats are compared.
const ROWS_COMPARED_MAX: usize = 8;

/// Position of this node among the nodes that sell from the same store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) index: u32,
    /// Number of nodes, at least 1.
    pub(super) count: u32,
}

impl Peer {
    /// The only node.
    pub(super) const ALONE: Peer = Peer { index: 0, count: 1 };

    /// Returns whether no other node sells.
    pub(super) fn is_alone(self) -> bool {
        self.count <= 1
    }
}

/// Criteria for a best-available search.
pub(super) struct SeatQuery {
    pub(super) quantity: u32,
    /// Category of the seats; any if absent.
    pub(super) category: Option<u16>,
    /// Whether one of the seats must be accessible.
    pub(super) is_accessible: bool,
    pub(super) orphans: Orphans,
    /// Each node searches its own part of the rows first.
    pub(super) peer: Peer,
}

/// Index of the states of an event's seats, with a count per row so that sold-out rows are skipped.
pub(super) struct SeatIndex {
    pub(super) seats: Vec<SeatState>,
    /// Time after which others may take each seat, in milliseconds since 1970; 0 while it has no
    /// owner.
    pub(super) lapses_at: Vec<i64>,
    /// Lower bound of the times at which a seat lapses.
    next_lapse: i64,
    rows_available: Vec<u32>,
    /// Lower bound of the rows with an available seat.
    first_open: usize,
    pub(super) counts: [u32; 4],
}

impl SeatIndex {
    /// Returns whether nothing is available and nothing is held.
    pub(super) fn is_sold_out(&self) -> bool {
        let [available, held, ..] = self.counts;
        available + held == 0
    }

    pub(super) fn new(layout: &Layout, seats: Vec<(SeatState, i64)>) -> SeatIndex {
        let (seats, lapses_at) = seats.into_iter().unzip();
        let mut states = SeatIndex {
            rows_available: vec![0; layout.rows.len()],
            first_open: 0,
            counts: [0; 4],
            seats,
            lapses_at,
            next_lapse: 0,
        };
        for (at, state) in states.seats.iter().enumerate() {
            states.counts[*state as usize] += 1;
            if *state == SeatState::Available {
                states.rows_available[layout.seats[at].row as usize] += 1;
            }
        }
        states
    }

    /// Returns whether a seat has lapsed. Scans all seats only once the earliest lapse is due.
    pub(super) fn has_lapsed(&mut self, now: i64) -> bool {
        if self.next_lapse <= now {
            let later = self.lapses_at.iter().filter(|at| **at != 0);
            self.next_lapse = later.min().copied().unwrap_or(i64::MAX);
        }
        self.next_lapse <= now
    }

    pub(super) fn set(&mut self, layout: &Layout, seat: u32, state: SeatState, lapses_at: i64) {
        self.lapses_at[seat as usize] = lapses_at;
        if lapses_at != 0 {
            self.next_lapse = self.next_lapse.min(lapses_at);
        }
        let before = std::mem::replace(&mut self.seats[seat as usize], state);
        self.counts[before as usize] -= 1;
        self.counts[state as usize] += 1;
        let row = layout.seats[seat as usize].row as usize;
        if before == SeatState::Available {
            self.rows_available[row] -= 1;
        }
        if state == SeatState::Available {
            self.rows_available[row] += 1;
            self.first_open = self.first_open.min(row);
        }
        while self.rows_available.get(self.first_open) == Some(&0) {
            self.first_open += 1;
        }
    }

    /// Returns the best seats: adjacent ones that leave no single seat, in the first row that has
    /// them; otherwise adjacent ones that leave a single seat; otherwise the first available ones.
    /// With a focal point in the plan, the best ones of some rows are compared. Accessible seats
    /// and those of companions are chosen only on request, and then at least one accessible seat.
    /// Returns `None` if there are not enough.
    pub(super) fn best(&self, layout: &Layout, query: &SeatQuery) -> Option<Vec<u32>> {
        let (index, nodes) = (query.peer.index as usize, query.peer.count.max(1) as usize);
        let all = || layout.rows.iter().enumerate().skip(self.first_open);
        let rows = || {
            let own = all().filter(move |(at, _)| at % nodes == index);
            let others = all().filter(move |(at, _)| at % nodes != index);
            own.chain(others).filter(|(at, row)| {
                let first = layout.order[row.start as usize];
                let category = layout.seats[first as usize].category;
                self.rows_available[*at] > 0
                    && query.category.is_none_or(|wanted| category == wanted)
            })
        };
        let may_leave = match query.orphans {
            Orphans::Allow => &[true][..],
            Orphans::Avoid => &[false, true],
            Orphans::Forbid => &[false],
        };
        let compared = match layout.scores.is_empty() {
            true => 1,
            false => ROWS_COMPARED_MAX,
        };
        for may_leave in may_leave {
            let large = rows().filter(|(at, _)| self.rows_available[*at] >= query.quantity);
            let runs = large.filter_map(|(at, row)| {
                let may_leave = *may_leave || layout.areas.contains(&(at as u32));
                self.run_in(layout, row.clone(), query, may_leave)
            });
            let best = runs.take(compared).min_by(|a, b| a.0.total_cmp(&b.0));
            if let Some((_, run)) = best {
                let run = &layout.order[run.start as usize..run.end as usize];
                let mut seats = run.to_vec();
                seats.sort_unstable();
                return Some(seats);
            }
        }
        let seats = || {
            let slots = rows().flat_map(|(_, row)| row.clone());
            slots.map(|slot| layout.order[slot as usize])
        };
        let free = seats().filter(|seat| self.is_for(layout, *seat, query));
        let mut scattered: Vec<u32> = Vec::new();
        if query.is_accessible {
            let is_one =
                |seat: &u32| layout.seats[*seat as usize].is_accessible && self.is_available(*seat);
            scattered.push(seats().find(is_one)?);
        }
        let first = scattered.first().copied();
        scattered.extend(
            free.filter(|seat| Some(*seat) != first)
                .take(query.quantity as usize),
        );
        scattered.truncate(query.quantity as usize);
        let leaves =
            || query.orphans == Orphans::Forbid && !self.orphaned(layout, &scattered).is_empty();
        (scattered.len() == query.quantity as usize && !leaves()).then_some(scattered)
    }

    fn is_for(&self, layout: &Layout, seat: u32, query: &SeatQuery) -> bool {
        let of = &layout.seats[seat as usize];
        self.is_available(seat) && (query.is_accessible || !(of.is_accessible || of.is_companion))
    }

    /// Returns the free seats that have a free neighbour now and would have none if these seats
    /// were taken.
    pub(super) fn orphaned(&self, layout: &Layout, taken: &[u32]) -> Vec<u32> {
        let mut left = Vec::new();
        for seat in taken {
            let LayoutSeat { row, slot, .. } = layout.seats[*seat as usize];
            if layout.areas.contains(&row) {
                continue;
            }
            let row = &layout.rows[row as usize];
            let free = |slot: u32| {
                let seat = row.contains(&slot).then(|| layout.order[slot as usize])?;
                (self.is_available(seat) && !taken.contains(&seat)).then_some(seat)
            };
            for beside in [slot.wrapping_sub(1), slot + 1] {
                let Some(single) = free(beside) else { continue };
                if free(beside.wrapping_sub(1)).is_none()
                    && free(beside + 1).is_none()
                    && !left.contains(&single)
                {
                    left.push(single);
                }
            }
        }
        left
    }

    fn is_available(&self, seat: u32) -> bool {
        self.seats[seat as usize] == SeatState::Available
    }

    /// Returns the best run of free seats of a row, as slots, with its score; lower is better: it
    /// is nearest to the focal point or else to the middle of the row.
    fn run_in(
        &self,
        layout: &Layout,
        row: Range<u32>,
        query: &SeatQuery,
        may_leave: bool,
    ) -> Option<(f32, Range<u32>)> {
        let seat_at = |slot: u32| layout.order[slot as usize];
        let middle = middle(layout, &row, query.peer);
        let score = |first: u32, last: u32| {
            let of = |slot: u32| layout.scores.get(seat_at(slot) as usize).copied();
            match (of(first), of(last)) {
                (Some(first), Some(last)) => first + last,
                _ => (first + last + 1).abs_diff(middle) as f32,
            }
        };
        let is_free = |slot: u32| row.contains(&slot) && self.is_available(seat_at(slot));
        // A seat that becomes single beside the run. One that is single already cannot be adjacent
        // to a run.
        let is_single = |slot: u32, beyond: u32| is_free(slot) && !is_free(beyond);
        let mut best: Option<(f32, u32)> = None;
        let (mut length, mut last_accessible) = (0, None);
        for slot in row.clone() {
            length = if self.is_for(layout, seat_at(slot), query) {
                length + 1
            } else {
                0
            };
            if layout.seats[seat_at(slot) as usize].is_accessible {
                last_accessible = Some(slot);
            }
            if length < query.quantity {
                continue;
            }
            let first = slot + 1 - query.quantity;
            if query.is_accessible && last_accessible.is_none_or(|at| at < first) {
                continue;
            }
            let leaves = || {
                is_single(first.wrapping_sub(1), first.wrapping_sub(2))
                    || is_single(slot + 1, slot + 2)
            };
            let score = score(first, slot);
            if best.is_none_or(|(least, _)| score < least) && (may_leave || !leaves()) {
                best = Some((score, first));
            }
        }
        best.map(|(score, first)| (score, first..first + query.quantity))
    }
}

/// Returns twice the slot that the best seats of a row are nearest to. In an area, where all seats
/// are equal, each node starts at a different one.
fn middle(layout: &Layout, row: &Range<u32>, peer: Peer) -> u32 {
    let first = layout.order[row.start as usize];
    if !layout.areas.contains(&layout.seats[first as usize].row) {
        return row.start + row.end;
    }
    let (index, nodes) = (u64::from(peer.index), u64::from(peer.count.max(1)));
    let part = u64::from(row.end - row.start) * (2 * index + 1) / nodes;
    2 * row.start + part as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::layout::parse;
    use proptest::prelude::*;

    fn hall() -> Layout {
        let plan = br#"{"categories": [{"id": "a", "name": "A", "price": 1}, {"id": "b", "name": "B", "price": 2}],
            "sections": [{"id": "s", "category": "a", "rows": 3, "seats_per_row": 7}],
            "areas": [{"id": "f", "category": "b", "capacity": 9}]}"#;
        parse(plan).unwrap()
    }

    fn query(quantity: u32, category: Option<u16>) -> SeatQuery {
        SeatQuery {
            quantity,
            category,
            is_accessible: false,
            orphans: Orphans::Avoid,
            peer: Peer::ALONE,
        }
    }

    #[test]
    fn each_node_begins_in_rows_of_its_own_and_ends_in_the_others() {
        let layout = hall();
        let mut states = SeatIndex::new(&layout, vec![(SeatState::Available, 0); 30]);
        let other = SeatQuery {
            peer: Peer { index: 1, count: 2 },
            ..query(2, Some(0))
        };
        let first = states.best(&layout, &other).unwrap();
        assert_eq!(layout.seats[first[0] as usize].row, 1);
        for seat in 7..14 {
            states.set(&layout, seat, SeatState::Held, 1);
        }
        let next = states.best(&layout, &other).unwrap();
        assert_eq!(layout.seats[next[0] as usize].row, 0, "then as everybody");
        let area = |index| {
            states
                .best(
                    &layout,
                    &SeatQuery {
                        peer: Peer { index, count: 2 },
                        ..query(1, Some(1))
                    },
                )
                .unwrap()[0]
        };
        assert_ne!(area(0), area(1));
    }

    /// Builds a row in which seats marked `.` are free, and those marked `a` free and accessible.
    fn row(seats: &str) -> (Layout, SeatIndex) {
        let accessible: Vec<String> = seats
            .char_indices()
            .filter(|(_, seat)| *seat == 'a')
            .map(|(at, _)| format!("\"s-A-{}\"", at + 1))
            .collect();
        let plan = format!(
            r#"{{"categories": [{{"id": "a", "name": "A", "price": 1}}], "accessible": [{}],
            "sections": [{{"id": "s", "category": "a", "rows": 1, "seats_per_row": {}}}]}}"#,
            accessible.join(","),
            seats.len()
        );
        let layout = parse(plan.as_bytes()).unwrap();
        let state = |seat: char| match seat {
            'x' => (SeatState::Booked, i64::MAX),
            _ => (SeatState::Available, 0),
        };
        let states = SeatIndex::new(&layout, seats.chars().map(state).collect());
        (layout, states)
    }

    #[test]
    fn no_single_seat_is_left_over_where_it_can_be_avoided() {
        let (layout, states) = row("x.....x");
        assert_eq!(states.best(&layout, &query(2, None)), Some(vec![1, 2]));
        assert_eq!(states.best(&layout, &query(3, None)), Some(vec![1, 2, 3]));
        let (layout, states) = row("x...x");
        assert_eq!(
            states.best(&layout, &query(2, None)),
            Some(vec![1, 2]),
            "two together come first"
        );
        let strict = SeatQuery {
            orphans: Orphans::Forbid,
            ..query(2, None)
        };
        assert_eq!(states.best(&layout, &strict), None);
        let careless = SeatQuery {
            orphans: Orphans::Allow,
            ..query(1, None)
        };
        assert_eq!(states.best(&layout, &careless), Some(vec![2]));
        assert_eq!(states.orphaned(&layout, &[2]), [1, 3]);
        assert_eq!(states.orphaned(&layout, &[1, 2, 3]), [] as [u32; 0]);
    }

    #[test]
    fn accessible_seats_are_for_those_who_ask_for_them() {
        let (layout, states) = row("..aa..");
        assert_eq!(states.best(&layout, &query(2, None)), Some(vec![0, 1]));
        assert_eq!(states.best(&layout, &query(5, None)), None);
        let asked = SeatQuery {
            is_accessible: true,
            ..query(2, None)
        };
        assert_eq!(states.best(&layout, &asked), Some(vec![2, 3]));
        let (layout, states) = row("......");
        assert_eq!(states.best(&layout, &asked), None);
    }

    #[test]
    fn two_together_sit_in_the_middle_of_the_first_row() {
        let layout = hall();
        let states = SeatIndex::new(&layout, vec![(SeatState::Available, 0); 30]);
        let ids: Vec<&str> = states
            .best(&layout, &query(3, Some(0)))
            .unwrap()
            .into_iter()
            .map(|seat| &*layout.seats[seat as usize].id)
            .collect();
        assert_eq!(ids, ["s-A-3", "s-A-4", "s-A-5"]);
    }

    /// A theatre's row of 19 seats with an aisle after the 17th, and a row of two behind it.
    fn theatre(focus: &str) -> Layout {
        let seat = |row: &str, number: u32, y: u32| {
            let aisle = if number > 17 { 120 } else { 0 };
            let x = number * 25 + aisle;
            format!(
                r#"{{"seat_guid": "{row}-{number}", "category": "C", "position": {{"x": {x}, "y": {y}}}}}"#
            )
        };
        let row = |label: &str, numbers: std::ops::RangeInclusive<u32>, y: u32| {
            let seats: Vec<String> = numbers.map(|number| seat(label, number, y)).collect();
            format!(
                r#"{{"row_number": "{label}", "seats": [{}]}}"#,
                seats.join(",")
            )
        };
        let plan = format!(
            r#"{{"categories": [{{"name": "C", "price": 1}}], "zones": [{{"rows": [{}, {}]}}]{focus}}}"#,
            row("CI", 1..=19, 0),
            row("CK", 1..=2, 50)
        );
        parse(plan.as_bytes()).unwrap()
    }

    #[test]
    fn seats_on_both_sides_of_an_aisle_are_no_pair() {
        let layout = theatre("");
        let states = (0..21).map(|seat| match seat {
            16 | 17 | 19 | 20 => (SeatState::Available, 0),
            _ => (SeatState::Booked, i64::MAX),
        });
        let mut states = SeatIndex::new(&layout, states.collect());
        let best = states.best(&layout, &query(2, None));
        assert_eq!(best, Some(vec![19, 20]), "the pair behind comes first");
        assert_eq!(states.orphaned(&layout, &[16]), [] as [u32; 0]);
        states.set(&layout, 19, SeatState::Held, 1);
        let strict = SeatQuery {
            orphans: Orphans::Forbid,
            ..query(2, None)
        };
        let scattered = states.best(&layout, &strict);
        assert_eq!(scattered, Some(vec![16, 17]), "what is left, one by one");
    }

    #[test]
    fn the_best_seats_are_nearest_to_the_point_that_the_plan_names() {
        let layout = theatre(r#", "focus": {"x": 50, "y": 300}"#);
        let free = vec![(SeatState::Available, 0); 21];
        let mut states = SeatIndex::new(&layout, free);
        let best = states.best(&layout, &query(2, None));
        assert_eq!(best, Some(vec![19, 20]), "row CK is nearer");
        for seat in [19, 20] {
            states.set(&layout, seat, SeatState::Booked, i64::MAX);
        }
        let best = states.best(&layout, &query(3, None)).unwrap();
        assert!(
            best.iter().all(|seat| *seat < 6),
            "{best:?}: not the middle of the row"
        );
    }

    proptest! {
        #[test]
        fn the_best_are_available_distinct_of_the_category_and_adjacent_wherever_that_is_possible(
            taken in proptest::collection::vec(any::<bool>(), 30), quantity in 1u32..8, any_category in any::<bool>(),
        ) {
            let layout = hall();
            let seats = taken.iter().map(|t| if *t { (SeatState::Held, 1) } else { (SeatState::Available, 0) }).collect();
            let states = SeatIndex::new(&layout, seats);
            let category = (!any_category).then_some(0u16);
            let fits = |seat: usize| category.is_none_or(|c| layout.seats[seat].category == c);
            let free = (0..30).filter(|seat| !taken[*seat] && fits(*seat)).count();
            let has_run = layout.rows.iter().any(|row| {
                let row: Vec<usize> = row.clone().map(|slot| layout.order[slot as usize] as usize).collect();
                row.windows(quantity as usize).any(|run| run.iter().all(|seat| !taken[*seat] && fits(*seat)))
            });
            match states.best(&layout, &query(quantity, category)) {
                None => prop_assert!(free < quantity as usize),
                Some(chosen) => {
                    prop_assert_eq!(chosen.len(), quantity as usize);
                    let is_run = chosen.windows(2).all(|pair| pair[1] == pair[0] + 1
                        && layout.seats[pair[0] as usize].row == layout.seats[pair[1] as usize].row);
                    prop_assert!(!has_run || is_run);
                    for seat in &chosen {
                        prop_assert!(!taken[*seat as usize] && fits(*seat as usize));
                    }
                    let mut distinct = chosen.clone();
                    distinct.dedup();
                    prop_assert_eq!(distinct, chosen);
                }
            }
        }
    }
}
