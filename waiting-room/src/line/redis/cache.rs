//! Cache of one event's line at this node: the newest front, the pace, the open sockets. When the store forgets, this is
//! what the line is made of again.

use super::batch::number;
use super::registry::fields_of;
use crate::draw::unhex;
use crate::line::bitmap::Snapshot;
use crate::line::event_settings::EventSettings;
use crate::line::throughput::{Flow, Rates};
use crate::line::{DrawState, LineView, Order, Outcome, Phase};
use redis::Value;
use shared::ids::{Availability, VisitorId};
use shared::time::Time;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// Answer of the tick script.
pub(super) struct Told {
    /// The store did not know this node.
    pub(super) is_new_here: bool,
    at: Time,
    pub(super) epoch: u64,
    step: u64,
    revision: u64,
    phase: Phase,
    pub(super) draw: Draw,
    pub(super) numbers: u64,
    keys: u64,
    nodes: u64,
    waiting: u64,
    admitted: u64,
    shopping: u64,
    connected: u64,
    total: Rates,
    head: u64,
    bitmap: Vec<u8>,
    availability: Option<Availability>,
    settings: Option<(EventSettings, EventConstants)>,
    replaced: Vec<VisitorId>,
}

/// Properties that are fixed for the life of an event, or change once.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct EventConstants {
    /// The first epoch: passes of an earlier event of the same name are no use.
    pub(super) born: u64,
    /// The seed of the draw, as hex; empty without one.
    pub(super) seed: String,
    /// The randomness of the beacon, as hex, once it was given.
    pub(super) beacon: String,
    /// Outcome of the draw (JSON), once it was held.
    pub(super) drawn: String,
}

/// How far a draw is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Draw {
    /// First come, first served.
    None,
    /// Before the draw.
    Waiting,
    /// Being drawn.
    Drawing,
    /// Drawn.
    Drawn,
}

/// A visitor's number as this node last heard it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    pub(super) number: u64,
    /// It is that of the arrival, before the draw.
    pub(super) is_provisional: bool,
}

impl Told {
    /// Reads the answer of `tick.lua`; none when it is not one.
    pub(super) fn read(values: &[Value]) -> Option<Told> {
        let count = |at: usize| values.get(at).map_or(0, number);
        let many = |at: usize| u64::try_from(count(at)).unwrap_or(0);
        let totals = list(values.get(13)?)?;
        let total = |at: usize| totals.get(at).map_or(0, number).max(0) as u64;
        let once: Vec<&[u8]> = list(values.get(18)?)?.iter().map(bytes).collect();
        let settings = match bytes(values.get(17)?) {
            [] => None,
            text => {
                let word = |at: usize| {
                    let text = once.get(at).copied().unwrap_or_default();
                    String::from_utf8_lossy(text).into_owned()
                };
                let life = EventConstants {
                    born: word(0).parse().unwrap_or(0),
                    seed: word(1),
                    beacon: word(2),
                    drawn: word(3),
                };
                Some((serde_json::from_slice(text).ok()?, life))
            }
        };
        let replaced = list(values.get(19)?)?.iter().filter_map(visitor).collect();
        Some(Told {
            is_new_here: count(0) == 1,
            at: Time(count(1)),
            epoch: many(2),
            step: many(3),
            revision: many(4),
            phase: *Phase::ALL.get(many(5) as usize)?,
            draw: match count(6) {
                1 => Draw::Waiting,
                2 => Draw::Drawing,
                3 => Draw::Drawn,
                _ => Draw::None,
            },
            numbers: many(7),
            keys: many(20),
            nodes: many(21),
            waiting: many(9),
            admitted: many(10),
            shopping: many(11),
            connected: many(12),
            total: Rates {
                joined: total(0),
                admitted: total(1),
                finished: total(2),
                missed: total(3),
                left: total(4),
            },
            head: many(14),
            bitmap: bytes(values.get(15)?).to_vec(),
            availability: serde_json::from_slice(bytes(values.get(16)?)).ok(),
            settings,
            replaced,
        })
    }
}

/// Reads a script's answer as text; empty where it is none.
pub(super) fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::BulkString(bytes) => bytes,
        _ => &[],
    }
}

pub(super) fn list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn visitor(value: &Value) -> Option<VisitorId> {
    let id = bytes(value).try_into().ok()?;
    Some(VisitorId(u128::from_be_bytes(id)))
}

/// State of one line as this node last read it.
#[derive(Default)]
pub(super) struct LineCache {
    /// The newest front, and when it was asked for by this node's own steady clock.
    pub(super) front: Option<(Arc<LineView>, Instant)>,
    /// Its bitmap as the store keeps it, from byte `head` on.
    pub(super) bitmap: Vec<u8>,
    pub(super) head: u64,
    pub(super) inside: u64,
    pub(super) figures: Figures,
    pub(super) life: EventConstants,
    pub(super) draw: Option<Draw>,
    /// Generation of the keys in use; a draw begins another.
    pub(super) keys: u64,
    /// How many nodes tick this line.
    pub(super) nodes: u64,
    /// The highest number that this node heard of.
    pub(super) numbers: u64,
    /// Visitors with open sockets here, and their numbers.
    pub(super) connected: HashMap<VisitorId, Number>,
    /// Visitors whose sockets here were replaced by newer ones elsewhere, until they are taken.
    pub(super) replaced: Vec<VisitorId>,
    flow: Flow,
    settings: Option<Arc<EventSettings>>,
    /// The state comes from a backup file; the store has not answered yet.
    is_noted: bool,
    /// When the last note was written.
    pub(super) noted_at: Option<Instant>,
}

/// The counters as of the newest front.
#[derive(Clone, Copy, Default)]
pub(super) struct Figures {
    pub(super) admitted: u64,
    pub(super) shopping: u64,
    pub(super) away: u64,
    pub(super) total: Rates,
}

impl LineCache {
    /// Builds the state of a first front, as a backup file has it. The settings are asked for again with the first tick.
    pub(super) fn of(front: Arc<LineView>, at: Instant) -> LineCache {
        LineCache {
            settings: Some(front.settings.clone()),
            front: Some((front, at)),
            is_noted: true,
            ..LineCache::default()
        }
    }

    /// The revision whose settings this node has.
    pub(super) fn revision(&self) -> i64 {
        self.front
            .as_ref()
            .filter(|_| !self.is_noted)
            .map_or(-1, |(front, _)| i64::try_from(front.revision).unwrap_or(-1))
    }

    /// The epoch of the newest front; 0 before the first.
    pub(super) fn epoch(&self) -> u64 {
        self.front.as_ref().map_or(0, |(front, _)| front.epoch)
    }

    /// Takes what a tick told, and makes the front of it. None when settings are missing, which a first tick asks for.
    pub(super) fn take(&mut self, told: Told, asked: Instant) -> Option<Arc<LineView>> {
        if let Some((settings, life)) = told.settings {
            self.settings = Some(Arc::new(settings));
            self.life = life;
        }
        let settings = self.settings.clone()?;
        self.measure(told.at, told.total, told.phase);
        self.is_noted = false;
        self.replaced.extend(told.replaced);
        let alive = Snapshot::from_bitmap(told.head, &told.bitmap);
        self.bitmap = told.bitmap;
        self.head = told.head;
        self.inside = told.admitted + told.shopping;
        self.nodes = told.nodes;
        self.draw = Some(told.draw);
        if self.keys != told.keys {
            // The draw gave out numbers anew.
            self.numbers = 0;
            self.keys = told.keys;
        }
        self.numbers = self.numbers.max(told.numbers);
        self.figures = Figures {
            admitted: told.admitted,
            shopping: told.shopping,
            away: told.waiting.saturating_sub(told.connected),
            total: told.total,
        };
        let front = Arc::new(LineView {
            step: told.step,
            revision: told.revision,
            epoch: told.epoch,
            at: told.at,
            phase: told.phase,
            is_undrawn: matches!(told.draw, Draw::Waiting | Draw::Drawing),
            drawn: serde_json::from_str(&self.life.drawn)
                .map_or(0, |outcome: Outcome| outcome.entries),
            alive,
            waiting: told.waiting,
            numbers: told.numbers,
            pace: self.flow.pace(told.at, settings.admission.batch_seconds),
            availability: told.availability,
            settings,
        });
        self.front = Some((front.clone(), asked));
        Some(front)
    }

    /// Returns the visitors with open sockets here and the numbers to return them to. 0 where only the number of the arrival is known: it says
    /// nothing of the drawn one, which the socket's next question brings.
    pub(super) fn connected_numbers(&self) -> Vec<(VisitorId, u64)> {
        let is_drawn = self.draw == Some(Draw::Drawn);
        let number = |kept: &Number| {
            if kept.is_provisional && is_drawn {
                0
            } else {
                kept.number
            }
        };
        let connected = self.connected.iter();
        connected
            .map(|(visitor, kept)| (*visitor, number(kept)))
            .collect()
    }

    /// Returns this node's state as arguments of `revive.lua`.
    pub(super) fn testimony(&self) -> Option<Vec<Vec<u8>>> {
        let (front, _) = self.front.as_ref()?;
        let numbers = [
            front.epoch,
            front.step,
            front.numbers,
            front.revision,
            self.numbers,
            self.inside,
            self.head,
        ];
        let mut told: Vec<Vec<u8>> = numbers.map(|n| n.to_string().into_bytes()).into();
        told.push(self.bitmap.clone());
        told.push(self.nodes.to_string().into_bytes());
        // A draw that was under way is held again.
        let draw = match self.draw {
            Some(Draw::Waiting | Draw::Drawing) => 1,
            Some(Draw::Drawn) => 3,
            _ => 0,
        };
        let life = &self.life;
        let fields = [
            ("draw", draw.to_string()),
            ("born", life.born.to_string()),
            ("seed", life.seed.clone()),
            ("beacon", life.beacon.clone()),
            ("has_beacon", u8::from(!life.beacon.is_empty()).to_string()),
            ("drawn", life.drawn.clone()),
        ];
        for (name, value) in fields {
            told.extend([name.as_bytes().to_vec(), value.into_bytes()]);
        }
        told.extend(
            fields_of(&front.settings)
                .into_iter()
                .map(String::into_bytes),
        );
        Some(told)
    }

    /// Every node measures for itself, by the counters that all of them see.
    fn measure(&mut self, at: Time, total: Rates, phase: Phase) {
        if self.front.is_none() || self.is_noted {
            self.flow.total = total;
        }
        let news = total.since(&self.flow.total);
        self.flow.count(at, news);
        self.flow.total = total;
        if phase != Phase::Open {
            self.flow.stop_measuring();
        }
    }

    /// How the draw stands, if there is one.
    pub(super) fn draw_state(&self) -> Option<DrawState> {
        let (front, _) = self.front.as_ref()?;
        let settings = &front.settings;
        (settings.order == Order::Draw).then(|| DrawState {
            seed: unhex(&self.life.seed).unwrap_or_default(),
            named: settings.beacon.clone(),
            round: serde_json::from_str(&self.life.beacon).ok(),
            outcome: serde_json::from_str(&self.life.drawn).ok(),
        })
    }

    /// Returns the rates of the last 60 seconds.
    pub(super) fn per_minute(&self, at: Time) -> Rates {
        self.flow.last_minute(at)
    }

    /// How many are ahead of a number, by the newest front. Who came after it was taken is counted as still there.
    pub(super) fn ahead(&self, number: u64) -> u64 {
        self.front.as_ref().map_or(0, |(front, _)| {
            let later = number.saturating_sub(front.numbers + 1);
            front.alive.ahead(number) + later
        })
    }
}
