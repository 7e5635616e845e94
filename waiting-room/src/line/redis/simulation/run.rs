//! One run: a plan carried out step by step, and the verdict.

use super::crowd::Crowd;
use super::draw_state::HELD;
use super::drawn::{self, DrawPlan};
use super::fan::{Door, FanRequest, eject, read_log};
use super::fan_state::Fan;
use super::node::Node;
use super::plan::{Fault, Plan, RunMode};
use super::wire::Wires;
use super::world::{Recorded, ScriptNames, World};
use crate::line::{EventSettings, Line as _, Patch, VisitorState};
use serde_json::{Value, json};
use shared::ids::{Availability, EventId, VisitorId};
use shared::time::Time;
use simulation::Dice;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Time within which each node has ticked, in ms.
const BEGIN_MS: u64 = 2_300;
/// Time after which everything has come to agree, in ms.
const SETTLED_MS: u64 = 8_000;
/// The same where the fans of nodes that died must have been noticed.
const REAPED_MS: u64 = 16_000;

/// Time after a restart of the store within which a draw may still wait, in ms, with some to notice the loss.
const RETURN_MS: u64 = 45_000;
/// Time by which something due may be late, in ms.
const LATE_MS: u64 = 5_000;

/// Seats of the checkout.
const SEATS: u32 = 8;
/// Chance of a fault at a step during a draw, in a thousand.
const FAULT_CHANCE_DRAWING: u64 = 300;

/// What came of a run.
pub(super) struct RunResult {
    pub(super) failure: Option<String>,
    pub(super) steps: usize,
    pub(super) story: Vec<String>,
    pub(super) recorded: Vec<Recorded>,
    /// A number that differs when anything else does.
    pub(super) mark: u64,
}

pub(super) struct Run {
    pub(super) world: Arc<World>,
    pub(super) event: EventId,
    pub(super) plan: Plan,
    pub(super) dice: Dice,
    pub(super) nodes: Vec<Option<Node>>,
    pub(super) lives: u64,
    pub(super) folder: PathBuf,
    /// Nodes that are cut off.
    pub(super) cut: Vec<bool>,
    /// The store is out of order until then, in ms.
    pub(super) store_until_ms: u64,
    /// Nodes to start again, each with the time in ms.
    pub(super) returns: Vec<Return>,
}

/// Something that works again at a time.
pub(super) struct Return {
    pub(super) at_ms: u64,
    pub(super) what: Repair,
}

/// What works again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Repair {
    Node(usize),
    Wire(usize),
    /// The node has reached the store again.
    Reached(usize),
    /// The store, with the data of this many steps ago; none: without data.
    Store(Option<usize>),
    Thaw,
}

/// Runs a seed. `folder` is for the folders of the nodes.
pub(super) fn run(
    seed: u64,
    mode: &RunMode,
    names: &'static ScriptNames,
    folder: PathBuf,
) -> RunResult {
    simulation::run(async {
        let mut dice = Dice::new(seed);
        let plan = Plan::new(&mut dice, mode);
        let visitors = (0..plan.fans).map(|_| {
            let mut id = [0; 16];
            dice.fill(&mut id);
            VisitorId(u128::from_be_bytes(id))
        });
        let visitors: Vec<VisitorId> = visitors.collect();
        let crowd = Crowd::new(visitors.into_iter(), plan.terms);
        let world = Arc::new(World::new(dice.split(), plan.nodes, crowd, names));
        if let Some(rewrite) = &mode.rewrite {
            world.rewrite_scripts(rewrite);
        }
        if mode.tells {
            world.lock().story = Some(vec![format!("seed {seed}: {plan:?}")]);
        }
        world.lock().recorded = mode.records.then(Vec::new);
        world.lock().keeps_past = plan.faults.iter().any(|fault| fault.rolls_back());
        let count = plan.nodes;
        let mut run = Run {
            nodes: (0..plan.nodes).map(|_| None).collect(),
            world,
            event: EventId::parse("night").expect("a valid id"),
            plan,
            dice,
            lives: 0,
            folder,
            cut: vec![false; count],
            store_until_ms: 0,
            returns: Vec::new(),
        };
        let steps = run.play(seed, &mode.skipped).await;
        run.verdict(steps)
    })
}

impl Run {
    async fn play(&mut self, seed: u64, skipped: &BTreeSet<usize>) -> usize {
        for node in 0..self.plan.nodes {
            self.start(node);
        }
        if let Some(door) = self.door(0) {
            self.create_at(&door).await;
        }
        sleep(Duration::from_millis(BEGIN_MS)).await;
        let wires = self.plan.wires(&mut self.dice);
        self.world.lock().wires = wires;
        for step in 0..self.plan.steps {
            // Dice of its own, so that a step is the same without those before it.
            self.dice = Dice::new(seed.wrapping_mul(1_000_003).wrapping_add(step as u64));
            self.repair(false);
            if !skipped.contains(&step) {
                self.step(step).await;
            }
            if self.is_over() {
                return step + 1;
            }
            let pause = match self.dice.below(10) {
                0..3 => 0,
                3..9 => self.dice.between(1, 500),
                _ => self.dice.between(500, 3000),
            };
            sleep(Duration::from_millis(pause)).await;
        }
        self.settle().await;
        self.plan.steps
    }

    fn is_over(&self) -> bool {
        let inner = self.world.lock();
        inner.oracle.failure.is_some() || inner.crowd.failure.is_some()
    }

    fn verdict(&self, steps: usize) -> RunResult {
        let now_ms = self.world.now_ms();
        let mut inner = self.world.lock();
        let failure = inner.oracle.failure.clone().or(inner.crowd.failure.clone());
        RunResult {
            failure,
            steps,
            story: inner.story.take().unwrap_or_default(),
            recorded: inner.recorded.take().unwrap_or_default(),
            mark: inner.mark.wrapping_add(now_ms),
        }
    }

    pub(super) fn start(&mut self, node: usize) {
        self.lives += 1;
        let folder = self.folder.join(format!("{node}"));
        let started = Node::start(&self.world, &self.event, node, self.lives, folder);
        self.nodes[node] = Some(started);
    }

    /// Creates the event at a node.
    pub(super) async fn create_at(&self, door: &Door) {
        let mut settings = EventSettings::new(self.event.clone(), "Night");
        let admission = self.plan.admission.clone();
        settings.admission = serde_json::from_value(admission).expect("a valid admission");
        if let Some(draw) = self.plan.draw {
            settings = settings.with(&patch(draw.patch(Time(self.world.store_ms()))));
        }
        let created = door.line.create(settings).await;
        self.world
            .tell(|| format!("created at node {}: {created:?}", door.node));
    }

    fn door(&self, node: usize) -> Option<Door> {
        self.nodes[node].as_ref().map(|node| node.door.clone())
    }

    /// Returns a node that is up.
    pub(super) fn some_door(&mut self) -> Option<Door> {
        let node = self.dice.below(self.nodes.len() as u64) as usize;
        self.door(node)
    }

    async fn step(&mut self, step: usize) {
        // Few faults would meet a draw, which is soon over.
        let chance = match self.is_drawing() {
            true => FAULT_CHANCE_DRAWING,
            false => self.plan.fault_chance,
        };
        if self.dice.chance(chance) && !self.plan.faults.is_empty() {
            let fault = self.dice.pick(&self.plan.faults);
            return self.strike(fault).await;
        }
        let are_fans_here = step >= self.plan.fans_from;
        if self.dice.chance(if are_fans_here { 30 } else { 300 }) {
            return self.organise();
        }
        if self.plan.draw.is_some() && self.dice.chance(60) {
            return self.see_to_draw();
        }
        if self.plan.has_seats && self.dice.chance(70) {
            return self.report_seats();
        }
        if !are_fans_here {
            return;
        }
        if self.dice.chance(40) {
            return self.look_up();
        }
        let fan = self.dice.below(self.plan.fans as u64) as usize;
        let Some(door) = self.some_door() else { return };
        let kept = self.world.lock().crowd.fans[fan].clone();
        let roll = self.dice.below(100);
        // A socket closes at its node.
        let held_by = kept.socket.as_ref().filter(|_| closes(&kept, roll));
        let door = held_by.map_or(Some(door), |socket| self.door(socket.node));
        let Some(visit) = door.as_ref().and_then(|door| FanRequest::begin(door, fan)) else {
            return;
        };
        self.world.tell(|| {
            format!(
                "fan {fan} at node {}, {roll} {:?}",
                visit.door.node, kept.state
            )
        });
        self.act(visit, &kept, roll);
    }

    /// Has a fan do something that fits their state.
    fn act(&mut self, visit: FanRequest, fan: &Fan, roll: u64) {
        let has_socket = fan.socket.is_some();
        match fan.state {
            None => drop(tokio::spawn(visit.join())),
            Some(VisitorState::Waiting) => match roll {
                0..35 => drop(tokio::spawn(visit.poll())),
                _ if closes(fan, roll) => drop(tokio::spawn(visit.close())),
                35..75 if !has_socket => drop(tokio::spawn(visit.open())),
                75..82 => drop(tokio::spawn(visit.leave())),
                82..88 => drop(tokio::spawn(visit.join())),
                _ => {}
            },
            Some(VisitorState::Admitted | VisitorState::Shopping) => match roll {
                0..20 => drop(tokio::spawn(visit.poll())),
                20..60 => drop(tokio::spawn(visit.claim())),
                60..80 if fan.state == Some(VisitorState::Shopping) => {
                    drop(tokio::spawn(visit.finish()))
                }
                80..85 => drop(tokio::spawn(visit.leave())),
                85..95 => drop(tokio::spawn(visit.extend())),
                _ => {}
            },
            Some(_) => match roll {
                0..15 => drop(tokio::spawn(visit.poll())),
                15..30 => drop(tokio::spawn(visit.claim_again())),
                30..40 if fan.state == Some(VisitorState::Finished) => {
                    drop(tokio::spawn(visit.finish()))
                }
                40..70 => drop(tokio::spawn(visit.join())),
                _ => {}
            },
        }
    }

    /// Has the organiser do something.
    fn organise(&mut self) {
        let Some(door) = self.some_door() else { return };
        let rolls = if self.plan.draw.is_some() { 7 } else { 4 };
        let roll = self.dice.below(rolls);
        let patch = match roll {
            0 => json!({"paused": self.dice.chance(500)}),
            1 => json!({"admission": {"max_active": self.dice.between(1, 8)}}),
            2 => json!({"admission": {"rate_per_minute": self.dice.pick(&[30, 60, 300])}}),
            4 => json!({"order": "fifo", "beacon": null}),
            5 => DrawPlan::new(&mut self.dice).patch(Time(self.world.store_ms())),
            6 => {
                let opens_after = self.dice.between(500, 10_000) as i64;
                json!({"sale_opens_at": Time(self.world.store_ms() + opens_after)})
            }
            _ => {
                let fan = self.dice.below(self.plan.fans as u64) as usize;
                let visitor = self.world.lock().crowd.fans[fan].visitor;
                if self.dice.chance(200) {
                    tokio::spawn(eject(door, fan, visitor));
                }
                return;
            }
        };
        self.world
            .tell(|| format!("organiser at node {}: {patch}", door.node));
        tokio::spawn(async move {
            let configured = door.line.configure(&door.event, self::patch(patch)).await;
            let configured = configured.map(drop);
            door.world.tell(|| format!("configured: {configured:?}"));
        });
    }

    /// Returns whether the store is in the middle of a draw.
    fn is_drawing(&self) -> bool {
        self.plan.draw.is_some() && self.world.lock().oracle.is_drawing()
    }

    /// Hands in the round of the beacon that the draw waits for, if it is published, and checks what
    /// is published of the draw.
    fn see_to_draw(&mut self) {
        let Some(door) = self.some_door() else { return };
        let now = Time(self.world.store_ms());
        tokio::spawn(async move {
            let hub = door.hub.lock().clone();
            let settings = hub.map(|hub| hub.front().settings.clone());
            if let Some((beacon, round)) = settings.and_then(|it| drawn::round(&it, now)) {
                let given = door.line.give_beacon(&door.event, &beacon, &round).await;
                door.world
                    .tell(|| format!("beacon at node {}: {given:?}", door.node));
            }
        });
    }

    /// Has the checkout report its seats.
    fn report_seats(&mut self) {
        let Some(door) = self.some_door() else { return };
        let available = self.dice.below(u64::from(SEATS)) as u32;
        let seats = Availability {
            capacity: SEATS,
            available,
            held: self.dice.below(2) as u32,
            booked: 0,
            as_of: Time(self.world.store_ms()),
        };
        tokio::spawn(async move {
            let reported = door.line.report(&door.event, seats).await;
            door.world
                .tell(|| format!("{available} seats reported: {reported:?}"));
        });
    }

    /// Has the organiser look a visitor up, a number, and who lives. The oracle knows the answers.
    fn look_up(&mut self) {
        let Some(door) = self.some_door() else { return };
        let number = self.dice.between(1, 2 * self.plan.fans as u64);
        let fan = self.dice.below(self.plan.fans as u64) as usize;
        let visitors = self.world.lock().crowd.visitors();
        tokio::spawn(async move {
            let _ = door.line.find(&door.event, number).await;
            let _ = door.line.peek(&door.event, visitors[fan]).await;
            let _ = door.line.living(&door.event, &visitors).await;
            read_log(&door).await;
        });
    }

    /// Returns whether fans may still come back after a restart of the store, which may be a loss and
    /// for which a draw waits. Time without a store does not count.
    fn has_restarted_lately(&self, unheard_ms: u64) -> bool {
        let since_ms = self.world.now_ms().saturating_sub(RETURN_MS + unheard_ms);
        let restarted_ms = self.world.lock().restarted_ms;
        restarted_ms.is_some_and(|restarted_ms| restarted_ms >= since_ms)
    }

    /// Ends all faults and sees whether everything comes to agree.
    async fn settle(&mut self) {
        self.world.lock().wires = Wires::default();
        self.repair(true);
        self.world
            .tell(|| "the end: everything works again".to_owned());
        let has_died = self.plan.faults.iter().any(|fault| fault.ends_nodes());
        // A draw that was interrupted is taken over as late as that.
        let rest = match has_died || self.plan.draw.is_some() {
            true => REAPED_MS,
            false => SETTLED_MS,
        };
        sleep(Duration::from_millis(rest)).await;
        if let Some(door) = self.some_door() {
            read_log(&door).await;
        }
        if let Some(why) = self.disagreement() {
            self.world.lock().oracle.fail(why);
        }
    }

    /// Returns where nodes, fans and the store disagree.
    fn disagreement(&self) -> Option<String> {
        let stored = self.world.stored()?;
        let store_ms = self.world.store_ms();
        for node in self.nodes.iter().flatten() {
            let name = node.door.node;
            let Some(hub) = node.door.hub.lock().clone() else {
                return Some(format!("node {name} knows no event"));
            };
            if !node.knows_draw(&stored) {
                return Some(format!("node {name} does not know of the draw"));
            }
            let front = hub.front();
            let age_ms = store_ms - front.at.0;
            if front.numbers != stored.numbers || age_ms > SETTLED_MS as i64 {
                return Some(format!(
                    "node {name} shows {} numbers, {age_ms} ms ago; the store has {}",
                    front.numbers, stored.numbers
                ));
            }
        }
        let line_ms = stored.line_ms(store_ms);
        let lapsed = stored.lapses_at();
        if let Some(at) = lapsed.filter(|at| *at < line_ms - LATE_MS as i64) {
            let late_ms = line_ms - at;
            return Some(format!("a slot should have lapsed {late_ms} ms ago"));
        }
        let is_late = stored
            .draw
            .is_due(stored.sale_at + LATE_MS as i64, store_ms);
        let unheard_ms = (store_ms - line_ms).max(0) as u64;
        let is_waited_for = self.has_restarted_lately(unheard_ms);
        if stored.draw.is_undrawn() && is_late && !stored.is_sold_out() && !is_waited_for {
            return Some("the draw is due and not held".to_owned());
        }
        let is_clock_true = !self.plan.faults.contains(&Fault::ClockBack);
        let opens_later = stored.sale_at > store_ms && is_clock_true;
        if stored.draw.stage == HELD && stored.numbers == 0 && opens_later {
            return Some("a draw among no visitors is not to be held again".to_owned());
        }
        let inner = self.world.lock();
        let wrong = inner.crowd.shown_of_another(&stored);
        if let Some(why) = wrong.or_else(|| inner.oracle.reader.unread(&stored)) {
            return Some(why);
        }
        if inner.crowd.excuse.is_some() {
            return None;
        }
        let history = &inner.oracle.history;
        let is_waiting = |fan: &&Fan| {
            let is_told = fan.state == Some(VisitorState::Waiting);
            is_told && stored.waiting.contains(&history.number_of(fan))
        };
        let waiting: Vec<&Fan> = inner.crowd.fans.iter().filter(is_waiting).collect();
        let connected = waiting.iter().filter(|fan| fan.has_socket());
        let connected: BTreeSet<u64> = connected.map(|fan| history.number_of(fan)).collect();
        if *stored.held != connected {
            let held = &stored.held;
            return Some(format!(
                "of those who wait {connected:?} are connected, by the store {held:?}"
            ));
        }
        // After faults a sign of life may count as longer ago or nearer.
        let silent_ms = self.plan.terms.away_ms + LATE_MS;
        let silent = waiting
            .iter()
            .find(|fan| fan.socket.is_none() && fan.heard_ms + silent_ms < self.world.now_ms());
        silent
            .filter(|_| self.plan.faults.is_empty())
            .map(|fan| format!("should have been missed: {fan:?}"))
    }
}

fn patch(fields: Value) -> Patch {
    serde_json::from_value(fields).expect("a valid patch")
}

/// Returns whether a fan closes their socket.
fn closes(fan: &Fan, roll: u64) -> bool {
    fan.socket.is_some() && fan.state == Some(VisitorState::Waiting) && (35..45).contains(&roll)
}
