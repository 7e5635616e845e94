//! Best available: adjacent seats first, nearest to the stage, nearest to the middle of the row.

use super::layout::Layout;
use super::words::SeatState;

/// The states of an event's seats, with a count per row so that sold rows are passed over.
pub(super) struct States {
    pub(super) seats: Vec<SeatState>,
    /// When others may take each seat, in milliseconds since 1970; 0 while it is nobody's.
    pub(super) lapses_at: Vec<i64>,
    /// No seat lapses before this.
    next_lapse: i64,
    rows_available: Vec<u32>,
    pub(super) counts: [u32; 4],
}

impl States {
    pub(super) fn new(layout: &Layout, seats: Vec<(SeatState, i64)>) -> States {
        let (seats, lapses_at) = seats.into_iter().unzip();
        let mut states = States {
            rows_available: vec![0; layout.rows.len()],
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

    /// Whether some seat's time is over. Looks at all of them only when the next one's is.
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
        }
    }

    /// `quantity` seats of a category (any, if none): side by side in the first row that has them, else the first that
    /// there are. None when there are not enough.
    pub(super) fn best(
        &self,
        layout: &Layout,
        quantity: u32,
        category: Option<u16>,
    ) -> Option<Vec<u32>> {
        let wanted = quantity as usize;
        let rows = || {
            layout.rows.iter().enumerate().filter(move |(_, row)| {
                category
                    .is_none_or(|category| layout.seats[row.start as usize].category == category)
            })
        };
        for (at, row) in rows() {
            if self.rows_available[at] >= quantity
                && let Some(run) = self.run_in(row.clone(), wanted)
            {
                return Some(run);
            }
        }
        let scattered: Vec<u32> = rows()
            .filter(|(at, _)| self.rows_available[*at] > 0)
            .flat_map(|(_, row)| row.clone())
            .filter(|seat| self.is_available(*seat))
            .take(wanted)
            .collect();
        (scattered.len() == wanted).then_some(scattered)
    }

    fn is_available(&self, seat: u32) -> bool {
        self.seats[seat as usize] == SeatState::Available
    }

    /// The run of available seats whose middle is nearest to the row's.
    fn run_in(&self, row: std::ops::Range<u32>, wanted: usize) -> Option<Vec<u32>> {
        let middle = row.start + row.end;
        let mut best: Option<(u32, u32)> = None;
        let mut length = 0;
        for seat in row {
            length = if self.is_available(seat) {
                length + 1
            } else {
                0
            };
            if length >= wanted {
                let first = seat + 1 - wanted as u32;
                let distance = (first + seat + 1).abs_diff(middle);
                if best.is_none_or(|(nearest, _)| distance < nearest) {
                    best = Some((distance, first));
                }
            }
        }
        best.map(|(_, first)| (first..first + wanted as u32).collect())
    }
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

    #[test]
    fn two_together_sit_in_the_middle_of_the_first_row() {
        let layout = hall();
        let states = States::new(&layout, vec![(SeatState::Available, 0); 30]);
        let ids: Vec<&str> = states
            .best(&layout, 3, Some(0))
            .unwrap()
            .into_iter()
            .map(|seat| &*layout.seats[seat as usize].id)
            .collect();
        assert_eq!(ids, ["s-A-3", "s-A-4", "s-A-5"]);
    }

    proptest! {
        #[test]
        fn the_best_are_available_distinct_of_the_category_and_adjacent_wherever_that_is_possible(
            taken in proptest::collection::vec(any::<bool>(), 30), quantity in 1u32..8, any_category in any::<bool>(),
        ) {
            let layout = hall();
            let seats = taken.iter().map(|t| if *t { (SeatState::Held, 1) } else { (SeatState::Available, 0) }).collect();
            let states = States::new(&layout, seats);
            let category = (!any_category).then_some(0u16);
            let fits = |seat: usize| category.is_none_or(|c| layout.seats[seat].category == c);
            let free = (0..30).filter(|seat| !taken[*seat] && fits(*seat)).count();
            let has_run = layout.rows.iter().any(|row| {
                let row: Vec<usize> = row.clone().map(|seat| seat as usize).collect();
                row.windows(quantity as usize).any(|run| run.iter().all(|seat| !taken[*seat] && fits(*seat)))
            });
            match states.best(&layout, quantity, category) {
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
