//! Draws: the settings of those that runs hold, and what must hold of them at the store.

use super::draw_state::{TO_BE_HELD, UNDER_WAY};
use super::stored::Stored;
use crate::draw::{self, Beacon, Entry, Round};
use crate::line::{EventSettings, Order, Outcome};
use serde_json::{Value, json};
use shared::crypto::hex;
use shared::ids::VisitorId;
use shared::time::Time;
use simulation::Dice;
use std::collections::BTreeMap;

/// Draw of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct DrawPlan {
    /// Time from the creation of the event to the opening of the sale, in ms.
    pub(super) opens_after_ms: i64,
    /// Time from the opening to the round of the beacon, in ms; none without a beacon.
    pub(super) beacon_after_ms: Option<i64>,
}

impl DrawPlan {
    pub(super) fn new(dice: &mut Dice) -> DrawPlan {
        DrawPlan {
            opens_after_ms: dice.pick(&[1_000, 5_000, 15_000, 30_000]),
            beacon_after_ms: dice.chance(400).then(|| dice.pick(&[0, 3_000, 10_000])),
        }
    }

    /// Returns the changes of settings that make an event a draw at this time of the store.
    pub(super) fn patch(self, now: Time) -> Value {
        let opens_at = Time(now.0 + self.opens_after_ms);
        let round = |after: i64| {
            let any = Beacon {
                name: "quicknet".to_owned(),
                round: 1,
            };
            any.first_round_at(Time(opens_at.0 + after))
        };
        let round = self.beacon_after_ms.and_then(round);
        json!({
            "order": "draw",
            "prequeue_opens_at": now,
            "sale_opens_at": opens_at,
            "beacon": round.map(|round| json!({"name": "quicknet", "round": round})),
        })
    }
}

/// Returns the beacon that an event names and its round once that is published.
pub(super) fn round(settings: &EventSettings, now: Time) -> Option<(Beacon, Round)> {
    let named = settings.beacon.as_ref()?;
    let round = || Round {
        round: named.round,
        signature: String::new(),
        previous_signature: String::new(),
        randomness: hex(&named.round.to_be_bytes().repeat(4)),
    };
    let is_published = settings.order == Order::Draw && named.published_at()? <= now;
    is_published.then(|| (named.clone(), round()))
}

/// Checks what a step does to a draw that is to be held or under way. Nodes that report after a
/// loss may change anything.
pub(super) fn check_step(before: &Stored, after: &Stored, store_ms: i64) -> Result<(), String> {
    let (was, is) = (&before.draw, &after.draw);
    if was.stage == TO_BE_HELD && is.stage == TO_BE_HELD && was.last != is.last {
        let opens = was.last == 0 && after.sale_at <= store_ms;
        let is_put_off = is.last == 0 && after.sale_at > store_ms;
        if !(is_put_off || opens && is.last == before.numbers + 1) {
            return Err(format!(
                "{} numbers were given out, and those below {} take part in the draw, before {}",
                before.numbers, is.last, was.last
            ));
        }
    }
    if was.stage == TO_BE_HELD && is.stage == UNDER_WAY && !is.is_due(after.sale_at, store_ms) {
        return Err("the draw began before it was due".to_owned());
    }
    if was.stage == TO_BE_HELD && is.stage == UNDER_WAY && is.last == 0 {
        return Err("a draw began of which no one knows who takes part".to_owned());
    }
    let is_open = after.sale_at <= store_ms;
    if is.stage == TO_BE_HELD && is.last == 0 && is_open && after.numbers > before.numbers {
        return Err("a visitor came after the opening and takes part in the draw".to_owned());
    }
    if was.stage == UNDER_WAY && is.stage == UNDER_WAY && *before.members != *after.members {
        return Err("the line changed during the draw".to_owned());
    }
    Ok(())
}

/// Checks the step that replaces the order of arrival by the drawn one, and returns that.
pub(super) fn check_order(before: &Stored, after: &Stored) -> Result<Vec<VisitorId>, String> {
    let last = before.draw.last;
    let entered: Vec<VisitorId> = before.members.range(..last).map(|one| *one.1).collect();
    let later = before.members.range(last..).map(|one| *one.1);
    let entries: Vec<Entry> = entered.iter().copied().map(Entry::of).collect();
    let seed = std::str::from_utf8(&before.draw.seed).ok();
    let seed = seed.and_then(draw::unhex).ok_or("the draw has no seed")?;
    let round: Option<Round> = serde_json::from_slice(&before.draw.beacon).ok();
    let named = before.draw.settings().and_then(|settings| settings.beacon);
    if round.as_ref().map(|round| round.round) != named.map(|named| named.round) {
        return Err(format!("the draw was held with {round:?}"));
    }
    let randomness = round.and_then(|round| draw::unhex_all(&round.randomness));
    let order = draw::order(&seed, &randomness.unwrap_or_default(), &entries);
    let drawn = order.iter().map(|at| entered[*at as usize]);
    let expected: Vec<VisitorId> = drawn.chain(later).collect();
    let is_expected =
        |(number, whose): (u64, &VisitorId)| after.members.get(&number) == Some(whose);
    if after.members.len() != expected.len() || !(1..).zip(&expected).all(is_expected) {
        let (order, arrival) = (&*after.members, &*before.members);
        return Err(format!(
            "{arrival:?} up to {last} became {order:?}, not {expected:?}"
        ));
    }
    if after.numbers != expected.len() as u64 {
        let (told, truth) = (after.numbers, expected.len());
        return Err(format!("{told} numbers after a draw among {truth}"));
    }
    let outcome: Option<Outcome> = serde_json::from_slice(&after.draw.outcome).ok();
    let outcome = outcome.ok_or("the draw has no outcome")?;
    if outcome.entries != entered.len() as u64 || outcome.root != draw::root(entries) {
        return Err(format!(
            "the outcome {outcome:?} is not that of the entries"
        ));
    }
    if **after.list != expected[..entered.len()] {
        return Err("the list is not the order".to_owned());
    }
    check_signs(before, after)?;
    Ok(expected)
}

/// Checks that visitors keep their sockets and deadlines with their new numbers.
fn check_signs(before: &Stored, after: &Stored) -> Result<(), String> {
    let arrivals = before.members.iter();
    let arrivals: BTreeMap<VisitorId, u64> = arrivals.map(|(at, who)| (*who, *at)).collect();
    for (number, visitor) in after.members.iter() {
        let arrival = arrivals[visitor];
        let held = (before.held.contains(&arrival), after.held.contains(number));
        let deadlines = (before.deadline(arrival), after.deadline(*number));
        if held.0 != held.1 || deadlines.0 != deadlines.1 {
            return Err(format!(
                "{arrival} became {number}: its socket was {held:?}, its deadline {deadlines:?}"
            ));
        }
    }
    Ok(())
}
