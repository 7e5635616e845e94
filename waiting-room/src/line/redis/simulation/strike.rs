//! The faults of a run: how each strikes, and how it ends.

use super::node::Node;
use super::plan::Fault;
use super::run::{Repair, Return, Run};
use crate::line::Line as _;

/// Time after a loss in which nodes report what they know, in ms, with some more to notice it.
const REPORTING_MS: u64 = 9_000;
/// Time within which each node has seen what the store has, in ms.
const SEEN_MS: u64 = 3_000;

impl Run {
    /// Has a fault strike.
    pub(super) async fn strike(&mut self, fault: Fault) {
        let now_ms = self.world.now_ms();
        if self.touches_store(fault) && now_ms < self.store_until_ms {
            return;
        }
        self.world.tell(|| format!("FAULT {fault:?}"));
        match fault {
            Fault::MessagesLost | Fault::MessagesStalled | Fault::MessagesRepeated => {
                let wires = self.plan.wires(&mut self.dice);
                self.world.lock().wires = wires;
            }
            Fault::StoreRestarted => self.stop_store(3_000, Some(0)),
            Fault::StoreStopped => self.stop_store(25_000, Some(0)),
            Fault::StoreRolledBack => {
                let steps = self.some_steps();
                self.stop_store(6_000, Some(steps));
            }
            Fault::StoreStartedEmpty => self.stop_store(6_000, None),
            Fault::StoreFlushed => {
                self.begin_loss();
                self.world.flush_store();
                self.end_loss();
            }
            Fault::FailedOver => {
                self.begin_loss();
                let steps = self.some_steps();
                self.world.fail_over(steps);
                self.end_loss();
            }
            Fault::StoreFrozen => {
                self.world.freeze_store(true);
                self.store_until_ms = self.later(25_000, Repair::Thaw);
            }
            Fault::NodeKilled | Fault::NodeReplaced => self.kill_node(fault),
            Fault::NodeCutOff => self.cut_node(),
            Fault::ClockForward => {
                // A shorter step cannot be told from time that passed.
                let ms = self.dice.between(6_000, 900_000) as i64;
                self.world.step_clock(ms);
            }
            Fault::ClockBack => {
                let ms = self.dice.between(1_000, 900_000) as i64;
                self.world.step_clock(-ms);
            }
            Fault::EventCreatedAgain => self.create_again().await,
        }
    }

    fn touches_store(&self, fault: Fault) -> bool {
        matches!(
            fault,
            Fault::StoreRestarted
                | Fault::StoreStopped
                | Fault::StoreRolledBack
                | Fault::StoreStartedEmpty
                | Fault::StoreFlushed
                | Fault::FailedOver
                | Fault::StoreFrozen
                | Fault::EventCreatedAgain
        )
    }

    /// Returns how many steps are lost: mostly few.
    fn some_steps(&mut self) -> usize {
        let all = self.world.past_steps() as u64;
        let most = self.dice.pick(&[3, 10, 40, all]).max(1);
        self.dice.between(1, most) as usize
    }

    /// Has something repaired at some time within these ms, which is returned.
    fn later(&mut self, ms_max: u64, what: Repair) -> u64 {
        let at_ms = self.world.now_ms() + self.dice.between(1, ms_max);
        self.returns.push(Return { at_ms, what });
        at_ms
    }

    fn stop_store(&mut self, ms_max: u64, steps_back: Option<usize>) {
        if steps_back != Some(0) {
            self.begin_loss();
        }
        self.world.stop_store();
        self.store_until_ms = self.later(ms_max, Repair::Store(steps_back));
    }

    /// Notes that the store is about to lose data. If no node that is left knows all of it, more is
    /// lost than the documents promise.
    fn begin_loss(&mut self) {
        let now_ms = self.world.now_ms();
        let stored = self.world.stored().unwrap_or_default();
        let reachable = self.nodes.iter().flatten();
        let reachable = reachable.filter(|node| !self.cut[node.door.node]);
        let knows_draw = |node: &&Node| node.knows_draw(&stored);
        let informed: Vec<&Node> = reachable.filter(knows_draw).collect();
        let is_draw_known = !informed.is_empty();
        let is_known = informed.iter().any(|node| node.knows_numbers(&stored));
        let mut inner = self.world.lock();
        inner.oracle.history.lose(now_ms);
        if now_ms < inner.troubled_until_ms || self.cut.contains(&true) {
            inner.crowd.excuse("data was lost while a node was away");
        }
        if !is_draw_known && !inner.oracle.is_published() && !inner.crowd.is_anyone_drawn() {
            // Of this draw no one has heard.
            inner.oracle.history.lose_draw();
        } else if !is_known {
            inner
                .crowd
                .excuse("no node knows all numbers that were given");
        }
        let inner = &mut *inner;
        inner.crowd.lost(&inner.oracle.history);
        inner.losing_until_ms = u64::MAX;
    }

    fn end_loss(&mut self) {
        let now_ms = self.world.now_ms();
        self.world.lock().losing_until_ms = now_ms + REPORTING_MS;
    }

    /// Notes that a node is about to be away.
    fn begin_trouble(&mut self) {
        let now_ms = self.world.now_ms();
        let mut inner = self.world.lock();
        if now_ms < inner.losing_until_ms {
            inner.crowd.excuse("a node failed before it had reported");
        }
        inner.troubled_until_ms = now_ms + SEEN_MS;
    }

    fn kill_node(&mut self, fault: Fault) {
        let node = self.dice.below(self.nodes.len() as u64) as usize;
        let Some(killed) = self.nodes[node].take() else {
            return;
        };
        self.begin_trouble();
        killed.kill();
        self.cut[node] = false;
        if fault == Fault::NodeReplaced {
            let _ = std::fs::remove_dir_all(self.folder.join(format!("{node}")));
        }
        self.later(15_000, Repair::Node(node));
    }

    fn cut_node(&mut self) {
        let node = self.dice.below(self.nodes.len() as u64) as usize;
        if self.nodes[node].is_none() || self.cut[node] {
            return;
        }
        self.begin_trouble();
        self.cut[node] = true;
        let breaks = self.dice.chance(500);
        self.world.cut(node, true, breaks);
        let now_ms = self.world.now_ms();
        self.world.lock().crowd.cut_off(node, true, now_ms);
        self.later(25_000, Repair::Wire(node));
    }

    async fn create_again(&mut self) {
        let Some(door) = self.some_door() else { return };
        self.world.lock().crowd.is_being_removed = true;
        let removed = door.line.remove(&self.event).await;
        let now_ms = self.world.now_ms();
        if removed.is_err() {
            let crowd = &mut self.world.lock().crowd;
            crowd.is_being_removed = false;
            return crowd.excuse("the event was half removed");
        }
        self.world.lock().begin_anew(now_ms);
        door.forget();
        self.create_at(&door).await;
        if self.plan.draw.is_some() {
            // Of two events of one name nothing tells which was the later one: the first would have
            // its draw still to be held. Nor would nodes restore one that was removed last.
            self.world.lock().forget_past();
        }
    }

    /// Repairs what is due, or everything.
    pub(super) fn repair(&mut self, is_all: bool) {
        let now_ms = self.world.now_ms();
        let is_due = |it: &mut Return| is_all || it.at_ms <= now_ms;
        let due: Vec<Return> = self.returns.extract_if(.., is_due).collect();
        for Return { what, .. } in due {
            self.world.tell(|| format!("REPAIR {what:?}"));
            match what {
                Repair::Node(node) => self.start(node),
                Repair::Wire(node) => {
                    if self.cut[node] {
                        self.cut[node] = false;
                        self.world.cut(node, false, false);
                        let at_ms = now_ms + SEEN_MS;
                        self.world.lock().troubled_until_ms = at_ms;
                        let what = Repair::Reached(node);
                        self.returns.push(Return { at_ms, what });
                    }
                }
                Repair::Reached(node) if !self.cut[node] => {
                    self.world.lock().crowd.cut_off(node, false, now_ms);
                }
                Repair::Reached(_) => {}
                Repair::Store(steps_back) => {
                    self.world.start_store(steps_back);
                    if steps_back != Some(0) {
                        self.end_loss();
                    }
                }
                Repair::Thaw => self.world.freeze_store(false),
            }
        }
        for node in 0..self.nodes.len() {
            if is_all && self.nodes[node].is_none() {
                self.start(node);
            }
        }
    }
}
