//! The change from one seating plan to another while seats are held or sold: its difference for
//! people, its faults, and where each seat goes.

use super::layout::{Category, Layout};
use super::model::{Refused, SeatState};
use super::plan_difference::{MovedSeats, PlanDifference, Repriced, SeatGroup};
use super::seat_map::SeatMap;
use shared::crypto::{hex, sha256};
use shared::group_commit::Unavailable;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Largest number of faults that are listed; a last line counts the others.
const FAULTS_MAX: usize = 100;
/// Largest number of seats named of each part of a difference.
const NAMED_MAX: usize = 12;

/// A change without faults.
pub(super) struct PlanChange {
    pub(super) difference: PlanDifference,
    /// For each seat of now its index then, `NOWHERE` if it is removed.
    pub(super) places: Vec<u32>,
    /// Seats, by their index now, that must be neither held nor sold.
    pub(super) free: Vec<u32>,
    /// Seats that must not be held.
    pub(super) not_held: Vec<u32>,
    /// Seats with other prices, and whether each is sold.
    pub(super) watched: Vec<(u32, bool)>,
}

/// Compares the plan of an event, with the states of its seats, with the one that is to replace it.
///
/// # Errors
/// `Invalid` with all faults, up to a limit, each with its field and a sentence.
pub(super) fn compare(
    before: &Layout,
    states: &[SeatState],
    after: &Layout,
) -> Result<PlanChange, Refused> {
    let mut comparison = Comparison::new(before, after);
    for (at, state) in (0..).zip(states) {
        comparison.add(at, *state);
    }
    comparison.finish().map_err(Refused::Invalid)
}

/// As `compare`, with the newest states of a seat map, on a thread that no sale waits for.
pub(super) async fn compare_on_a_thread(
    seat_map: &SeatMap,
    after: Arc<Layout>,
) -> Result<PlanChange, Refused> {
    let (before, states) = (seat_map.layout.clone(), seat_map.newest_states());
    let compared = spawn_blocking(move || compare(&before, &states, &after));
    compared.await.map_err(|_| Unavailable)?
}

impl PlanChange {
    /// Returns the change if its difference is the one that was confirmed.
    pub(super) fn confirmed_by(self, confirmation: &str) -> Result<PlanChange, Refused> {
        if self.difference.confirmation != confirmation {
            return Err(Refused::PlanDiffers(Box::new(self.difference)));
        }
        Ok(self)
    }
}

/// A comparison that is under way.
struct Comparison<'a> {
    before: &'a Layout,
    after: &'a Layout,
    change: PlanChange,
    /// By the indices of categories: of now, of then, or of both.
    removed: BTreeMap<u16, SeatGroup>,
    repriced: BTreeMap<u16, Repriced>,
    moved: BTreeMap<(u16, u16), MovedSeats>,
    /// Whether each seat of the new plan is there already.
    is_known: Vec<bool>,
    faults: Vec<(String, String)>,
    unlisted: usize,
}

impl<'a> Comparison<'a> {
    fn new(before: &'a Layout, after: &'a Layout) -> Comparison<'a> {
        Comparison {
            before,
            after,
            change: PlanChange {
                difference: PlanDifference {
                    capacity_before: before.seats.len() as u32,
                    capacity: after.seats.len() as u32,
                    ..PlanDifference::default()
                },
                places: before.places_in(after),
                free: Vec::new(),
                not_held: Vec::new(),
                watched: Vec::new(),
            },
            removed: BTreeMap::new(),
            repriced: BTreeMap::new(),
            moved: BTreeMap::new(),
            is_known: vec![false; after.seats.len()],
            faults: Vec::new(),
            unlisted: 0,
        }
    }

    fn fault(&mut self, seat: u32, state: SeatState, why: &str) {
        if self.faults.len() >= FAULTS_MAX {
            self.unlisted += 1;
            return;
        }
        let label = self.before.label(&self.before.seats[seat as usize]);
        let is = match state {
            SeatState::Held => "is in a basket or being paid for",
            _ => "is sold",
        };
        let fault = format!("{label} {is}: {why}");
        self.faults.push(("plan".to_owned(), fault));
    }

    /// Compares a seat of the plan of now.
    fn add(&mut self, at: u32, state: SeatState) {
        let old = &self.before.seats[at as usize];
        let place = self.after.find(&old.id);
        let is_used = matches!(state, SeatState::Held | SeatState::Booked);
        let Some(place) = place else {
            self.change.free.push(at);
            if is_used {
                self.fault(at, state, "the plan must keep it");
            }
            return self.remove(old.category, at, state);
        };
        self.is_known[place as usize] = true;
        let new = &self.after.seats[place as usize];
        if self.before.label(old) != self.after.label(new) {
            self.change.free.push(at);
            if is_used {
                let why = format!("the plan must not call it \"{}\"", self.after.label(new));
                self.fault(at, state, &why);
            }
        }
        let (from, to) = (
            &self.before.categories[usize::from(old.category)],
            &self.after.categories[usize::from(new.category)],
        );
        if to.is_not_for_sale && !from.is_not_for_sale {
            self.change.free.push(at);
            if is_used {
                let why = format!("it cannot go to '{}', which is not for sale", to.name);
                self.fault(at, state, &why);
            }
        }
        let is_sold = state == SeatState::Booked;
        if from.id != to.id {
            self.change.not_held.push(at);
            self.change.watched.push((at, is_sold));
            if state == SeatState::Held {
                let why = "it can come into another category only once it is sold or free";
                self.fault(at, state, why);
            }
            self.move_seat((old.category, new.category), at, is_sold);
        } else if price(from) != price(to) {
            self.change.watched.push((at, is_sold));
            let group = self
                .repriced
                .entry(new.category)
                .or_insert_with(|| Repriced {
                    category: to.name.clone(),
                    from: price(from),
                    to: price(to),
                    seats: 0,
                    sold: 0,
                });
            group.seats += 1;
            group.sold += u32::from(is_sold);
        }
    }

    fn remove(&mut self, category: u16, at: u32, state: SeatState) {
        let layout = self.before;
        let group = self
            .removed
            .entry(category)
            .or_insert_with(|| group(layout, category));
        let is_blocked_by_hand = state == SeatState::Blocked
            && !layout.categories[usize::from(category)].is_not_for_sale;
        group.blocked += u32::from(is_blocked_by_hand);
        count(layout, at, &mut group.seats, &mut group.examples);
    }

    fn move_seat(&mut self, (from, to): (u16, u16), at: u32, is_sold: bool) {
        let name =
            |layout: &Layout, category: u16| layout.categories[usize::from(category)].name.clone();
        let (before, after) = (self.before, self.after);
        let group = self.moved.entry((from, to)).or_insert_with(|| MovedSeats {
            from: name(before, from),
            to: name(after, to),
            seats: 0,
            sold: 0,
            examples: Vec::new(),
        });
        group.sold += u32::from(is_sold);
        count(before, at, &mut group.seats, &mut group.examples);
    }

    fn finish(mut self) -> Result<PlanChange, Vec<(String, String)>> {
        if self.unlisted > 0 {
            let more = format!("and {} more", self.unlisted);
            self.faults.push(("plan".to_owned(), more));
        }
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        let mut added: BTreeMap<u16, SeatGroup> = BTreeMap::new();
        let new = (0..).zip(&self.after.seats).zip(&self.is_known);
        for ((at, seat), _) in new.filter(|(_, is_known)| !**is_known) {
            let layout = self.after;
            let group = added
                .entry(seat.category)
                .or_insert_with(|| group(layout, seat.category));
            count(layout, at, &mut group.seats, &mut group.examples);
        }
        let difference = &mut self.change.difference;
        difference.added = added.into_values().collect();
        difference.removed = self.removed.into_values().collect();
        difference.repriced = self.repriced.into_values().collect();
        difference.moved = self.moved.into_values().collect();
        let text = serde_json::to_string(&difference).unwrap_or_default();
        let bound = sha256(format!("{}\n{}\n{text}", self.before.plan, self.after.plan).as_bytes());
        difference.confirmation = hex(&bound[..16]);
        Ok(self.change)
    }
}

fn price(category: &Category) -> Option<i64> {
    (!category.is_not_for_sale).then_some(category.price)
}

fn group(layout: &Layout, category: u16) -> SeatGroup {
    SeatGroup {
        category: layout.categories[usize::from(category)].name.clone(),
        seats: 0,
        examples: Vec::new(),
        blocked: 0,
    }
}

/// Counts a seat, and names it if few are named yet. Places of an area are called alike.
fn count(layout: &Layout, at: u32, seats: &mut u32, examples: &mut Vec<String>) {
    *seats += 1;
    if examples.len() < NAMED_MAX {
        let label = layout.label(&layout.seats[at as usize]);
        if examples.last() != Some(&label) {
            examples.push(label);
        }
    }
}
