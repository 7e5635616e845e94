//! Creation, settings and deletion of an event's line.

use super::event_line::EventLine;
use super::policy::{field, json, policy};
use super::reply::Status;
use super::store::CallError;
use super::view_reply::{Definition, DrawStage, EventConstants};
use super::{registry, script};
use crate::line::{EventSettings, Life, Order, Patch, Refused};
use shared::group_commit::Unavailable;
use shared::time::Time;
use std::sync::Arc;

/// Attempts at a change of settings that lost to concurrent changes.
const TRIES_MAX: usize = 20;
/// Time before its end at which an event may be over for another node.
const CLOCKS_APART_SECONDS: u32 = 10;

impl EventLine {
    /// Creates the line in the store, with a seed if it is a draw.
    pub(super) async fn create(&self, settings: &EventSettings, life: Life) -> Result<(), Refused> {
        let mut arguments = vec!["settings".to_owned(), json(settings)];
        arguments.extend(["creation".to_owned(), Life::hex(life.creation)]);
        arguments.extend(["life".to_owned(), Life::hex(life.store)]);
        arguments.extend(policy(settings));
        let is_draw = settings.order == Order::Draw;
        arguments.extend(field("draw", i64::from(is_draw)));
        arguments.extend(["seed".to_owned(), seed()]);
        let arguments: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
        let reply = self.caller.call(&script::CREATE, &arguments).await;
        match reply.map_err(Unavailable::from)?.status {
            Status::Exists => Err(Refused::Exists),
            _ => Ok(()),
        }
    }

    /// Changes the settings; returns them as they were and as they are now.
    pub(super) async fn configure(
        self: &Arc<EventLine>,
        patch: &Patch,
    ) -> Result<(EventSettings, EventSettings), Refused> {
        let known = self.cache().view().cloned();
        for attempt in 0..TRIES_MAX {
            // First from what is known here, which saves an answer: the script compares it.
            let known = known.clone().filter(|_| attempt == 0);
            let is_known = known.is_some();
            let view = match known {
                Some(view) => view,
                None => self.fetch_view().await?,
            };
            let before = (*view.settings).clone();
            let after = before.with(patch);
            let mut mistakes = after.mistakes();
            let is_same_order = !after.is_another_draw(&before);
            mistakes.extend(after.change_mistakes(&before, view.numbers, view.at));
            if !mistakes.is_empty() {
                if is_known {
                    continue;
                }
                return Err(Refused::Invalid(mistakes));
            }
            let mut arguments = vec![json(&before), json(&after)];
            let flags = [is_same_order, after.order == Order::Draw];
            arguments.extend(flags.map(|flag| i64::from(flag).to_string()));
            arguments.push(seed());
            arguments.extend(policy(&after));
            let arguments: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
            match self.caller.call(&script::CONFIGURE, &arguments).await {
                Ok(reply) => {
                    let fields = reply.fields();
                    let definition = Definition {
                        settings: after.clone(),
                        changed_at: fields.time("changed_at"),
                        constants: EventConstants::read(fields),
                    };
                    let draw = DrawStage::from_code(fields.number("draw"));
                    self.cache().configure(definition, draw);
                    self.note_change(&before, view.at).await;
                    return Ok((before, after));
                }
                Err(CallError::Busy) => {}
                Err(CallError::Gone | CallError::Lost) if is_known => {}
                Err(error) => return Err(Unavailable::from(error).into()),
            }
        }
        Err(Unavailable.into())
    }

    /// Lets nodes that do not tick the event any more hear of a change.
    async fn note_change(&self, before: &EventSettings, now: Time) {
        let soon = now.plus_seconds(CLOCKS_APART_SECONDS);
        if before.closes_at.is_some_and(|end| end <= soon) {
            // If that fails, they look within a minute.
            let _ = registry::note_change(self.store()).await;
        }
    }

    /// Deletes the line in the store. If that fails half way, another call completes it, as do the
    /// nodes that know the line.
    pub(super) async fn delete(self: &Arc<EventLine>) -> Result<(), Refused> {
        let creation = self.fetch_view().await?.life.creation;
        let store = &self.caller.store;
        // First the registry, so that no node restores the event.
        let is_marked = registry::mark_removed(store, &self.event, creation).await?;
        // Another node that sees the mark may be faster.
        let is_deleted = registry::delete(store, &self.event, creation).await?;
        (is_marked || is_deleted)
            .then_some(())
            .ok_or(Refused::NoSuchEvent)
    }
}

/// Returns a new seed of a draw.
fn seed() -> String {
    shared::crypto::hex(&shared::crypto::random::<32>())
}

#[cfg(test)]
mod tests {
    use super::super::cache::LineCache;
    use super::*;
    use shared::ids::EventId;

    fn definition(name: &str, changed_at: i64, seed: &str) -> Definition {
        Definition {
            settings: EventSettings::new(EventId::parse("night").unwrap(), name),
            changed_at: Time(changed_at),
            constants: EventConstants {
                seed: seed.to_owned(),
                ..EventConstants::default()
            },
        }
    }

    #[test]
    fn a_late_answer_to_a_change_of_settings_does_not_replace_newer_ones() {
        let mut cache = LineCache::default();
        cache.configure(definition("first", 10, "a"), DrawStage::None);
        cache.configure(definition("third", 30, "c"), DrawStage::Waiting);
        for late in [20, 30] {
            cache.configure(definition("second", late, "b"), DrawStage::None);
            assert_eq!(cache.settings().unwrap().name, "third", "{late}");
            assert_eq!(cache.constants.seed, "c", "{late}");
            assert_eq!(cache.draw, Some(DrawStage::Waiting), "{late}");
        }
    }

    #[test]
    fn numbers_of_one_draw_are_forgotten_with_the_next() {
        let mut cache = LineCache::default();
        cache.configure(definition("one", 10, "a"), DrawStage::Waiting);
        cache.numbers = 5;
        cache.configure(definition("one again", 20, "a"), DrawStage::Waiting);
        assert_eq!(cache.numbers, 5);
        cache.configure(definition("another", 30, "b"), DrawStage::Waiting);
        assert_eq!(cache.numbers, 0);
    }

    /// A node that lost the store before its next tick reported a draw without numbers (seed 5731 of
    /// the simulation).
    #[test]
    fn an_answer_that_tells_of_a_draw_leaves_the_numbers_to_the_next_view() {
        let mut cache = LineCache::default();
        cache.configure(definition("one", 10, "a"), DrawStage::Waiting);
        cache.numbers = 5;
        let mut later = definition("one again", 20, "a");
        later.constants.drawn = "outcome".to_owned();
        cache.configure(later, DrawStage::Drawn);
        assert_eq!(cache.settings().unwrap().name, "one again");
        assert_eq!((cache.numbers, &*cache.constants.drawn), (5, ""));
        assert_eq!(cache.draw, Some(DrawStage::Waiting));
    }
}
