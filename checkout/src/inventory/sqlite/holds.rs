//! Holds: all of the seats or none, for a while.

use super::{Plan, Step, Store, json, must_change, read_seats};
use crate::inventory::words::*;
use rusqlite::{OptionalExtension as _, params};
use shared::idempotency::Attempt;
use shared::secret::random_id;
use shared::time::Time;
use shared::words::EventId;

impl Plan {
    /// The seats of these ids, if all of them are there and available.
    fn choose_named(&self, ids: &[String]) -> Result<Vec<u32>, Refused> {
        let unknown: Vec<String> = ids
            .iter()
            .filter(|id| self.layout.find(id).is_none())
            .cloned()
            .collect();
        if !unknown.is_empty() {
            return Err(Refused::UnknownSeats(unknown));
        }
        let mut seats: Vec<u32> = ids.iter().filter_map(|id| self.layout.find(id)).collect();
        seats.sort_unstable();
        seats.dedup();
        if seats.len() < ids.len() {
            return Err(Refused::Invalid(vec![(
                "seats".into(),
                "a seat is named twice".into(),
            )]));
        }
        let taken: Vec<String> = seats
            .iter()
            .filter(|seat| self.states.seats[**seat as usize] != SeatState::Available)
            .map(|seat| self.layout.seats[*seat as usize].id.to_string())
            .collect();
        if taken.is_empty() {
            Ok(seats)
        } else {
            Err(Refused::SeatsTaken(taken))
        }
    }
}

impl Store {
    pub(super) fn hold(
        &mut self,
        keys: &Keys,
        event: &EventId,
        wish: Wish,
        attempt: Option<&Attempt>,
        now: Time,
    ) -> Step<Once<Hold>> {
        match self.answered(attempt)? {
            Ok(None) => {}
            Ok(Some(value)) => {
                return Ok(Ok(Once {
                    value,
                    is_replayed: true,
                }));
            }
            Err(refused) => return Ok(Err(refused)),
        }
        let session = match self.session(keys, Some(event))? {
            Ok(session) if session.is_over || session.expires_at <= now => {
                return Ok(Err(Refused::SessionOver));
            }
            Ok(session) => session,
            Err(refused) => return Ok(Err(refused)),
        };
        let wanted = self.choose(&session, &wish)?;
        let chosen = match wanted {
            // Perhaps lapsed holds are in the way: others may take their seats without waiting for the sweep.
            Err(Refused::SeatsTaken(_) | Refused::NotEnoughSeats)
                if self.release_lapsed(now)? > 0 =>
            {
                self.choose(&session, &wish)?
            }
            other => other,
        };
        let seats = match chosen {
            Ok(seats) => seats,
            Err(refused) => return Ok(Err(refused)),
        };
        let value = self.take(&session, &seats, now)?;
        self.keep(attempt, Some(&value), now)?;
        Ok(Ok(Once {
            value,
            is_replayed: false,
        }))
    }

    /// Which seats it would be, without taking them.
    fn choose(&self, session: &Session, wish: &Wish) -> Step<Vec<u32>> {
        let Some(house) = self.houses.get(&session.event) else {
            return Ok(Err(Refused::NoSuchEvent));
        };
        let Some(plan) = &house.plan else {
            return Ok(Err(Refused::NoSuchEvent));
        };
        let count = match wish {
            Wish::Seats(seats) => seats.len() as u32,
            Wish::Best { quantity, .. } => *quantity,
        };
        if count == 0 {
            let field = if matches!(wish, Wish::Seats(_)) {
                "seats"
            } else {
                "best_available.quantity"
            };
            return Ok(Err(Refused::Invalid(vec![(
                field.into(),
                "at least one seat".into(),
            )])));
        }
        if count > house.rules.max_seats_per_order {
            return Ok(Err(Refused::TooManySeats(house.rules.max_seats_per_order)));
        }
        let owned: u32 = self
            .db
            .prepare_cached("select count(*) from seat where event = ?1 and visitor = ?2")?
            .query_row(
                [session.event.as_str(), &session.visitor.to_string()],
                |row| row.get(0),
            )?;
        if owned + count > house.rules.max_seats_per_visitor {
            return Ok(Err(Refused::TooManySeats(
                house.rules.max_seats_per_visitor,
            )));
        }
        match wish {
            Wish::Best { quantity, category } => {
                let known = category.as_ref().map(|id| plan.layout.category(id));
                if known == Some(None) {
                    let field = "best_available.category".to_owned();
                    return Ok(Err(Refused::Invalid(vec![(
                        field,
                        "there is no such category".into(),
                    )])));
                }
                let best = plan.states.best(&plan.layout, *quantity, known.flatten());
                Ok(best.ok_or(Refused::NotEnoughSeats))
            }
            Wish::Seats(ids) => Ok(plan.choose_named(ids)),
        }
    }

    fn take(&mut self, session: &Session, seats: &[u32], now: Time) -> rusqlite::Result<Hold> {
        self.write()?;
        let house = self
            .houses
            .get_mut(&session.event)
            .expect("the seats were chosen in it");
        let plan = house.plan.as_mut().expect("the seats were chosen in it");
        let currency = &house.rules.currency;
        let priced: Vec<SeatPrice> = seats
            .iter()
            .map(|seat| {
                let seat = &plan.layout.seats[*seat as usize];
                let category = &plan.layout.categories[seat.category as usize];
                let price = Money {
                    amount: category.price,
                    currency: currency.clone(),
                };
                SeatPrice {
                    id: seat.id.to_string(),
                    category: category.id.clone(),
                    price,
                }
            })
            .collect();
        let total = priced.iter().map(|seat| seat.price.amount).sum();
        let hold = Hold {
            id: random_id("hold_"),
            event: session.event.clone(),
            state: "active".to_owned(),
            total: Money {
                amount: total,
                currency: currency.clone(),
            },
            seats: priced,
            expires_at: now.plus_seconds(house.rules.hold_seconds),
        };
        let visitor = session.visitor.to_string();
        self.db
            .prepare_cached(
                "insert into hold (event, id, session, visitor, state, seats, total, currency, expires_at, max_expires_at)
                 values (?1, ?2, ?3, ?4, 'active', ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                session.event.as_str(),
                hold.id,
                session.key,
                visitor,
                json(&hold.seats),
                total,
                currency,
                hold.expires_at.0,
                now.plus_seconds(house.rules.hold_max_seconds).0
            ])?;
        let mut update = self.db.prepare_cached(
            "update seat set state = 1, hold = ?3, visitor = ?4 where event = ?1 and seat = ?2 and state = 0",
        )?;
        for seat in seats {
            let rows = update.execute(params![session.event.as_str(), seat, hold.id, visitor])?;
            must_change(rows, 1)?;
            plan.set(*seat, SeatState::Held);
        }
        Ok(hold)
    }

    /// A hold of a visitor whose session this is, and the session.
    pub(super) fn find_hold(&self, keys: &Keys, id: &str) -> Step<(Session, Hold)> {
        let sessions = self.sessions(keys)?;
        if sessions.is_empty() {
            return Ok(Err(Refused::NoSession));
        }
        for session in sessions {
            let found = self
                .db
                .prepare_cached(
                    "select state, seats, total, currency, expires_at from hold
                     where event = ?1 and id = ?2 and visitor = ?3",
                )?
                .query_row(
                    params![session.event.as_str(), id, session.visitor.to_string()],
                    |row| {
                        Ok(Hold {
                            id: id.to_owned(),
                            event: session.event.clone(),
                            state: row.get(0)?,
                            seats: read_seats(&row.get::<_, String>(1)?),
                            total: Money {
                                amount: row.get(2)?,
                                currency: row.get(3)?,
                            },
                            expires_at: Time(row.get(4)?),
                        })
                    },
                )
                .optional()?;
            if let Some(hold) = found {
                return Ok(Ok((session, hold)));
            }
        }
        Ok(Err(Refused::NoSuchHold))
    }

    pub(super) fn release(&mut self, keys: &Keys, id: &str) -> Step<()> {
        let (_, hold) = match self.find_hold(keys, id)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        match hold.state.as_str() {
            "active" => {
                self.end_hold(&hold.event, id, "released")?;
                Ok(Ok(()))
            }
            "converted" => self.cancel_order_of(&hold.event, id),
            _ => Ok(Ok(())),
        }
    }

    /// Ends a hold and frees its seats.
    pub(super) fn end_hold(
        &mut self,
        event: &EventId,
        hold: &str,
        state: &str,
    ) -> rusqlite::Result<u32> {
        self.write()?;
        let rows = self
            .db
            .prepare_cached("update hold set state = ?3 where event = ?1 and id = ?2 and state in ('active', 'converted')")?
            .execute([event.as_str(), hold, state])?;
        must_change(rows, 1)?;
        self.free(event, hold)
    }

    /// Releases holds whose time is over, a bounded number, and says how many seats that freed.
    pub(super) fn release_lapsed(&mut self, now: Time) -> rusqlite::Result<u32> {
        let lapsed: Vec<(EventId, String)> = {
            let mut query = self.db.prepare_cached(
                "select event, id from hold where state = 'active' and expires_at <= ?1 order by expires_at limit 500",
            )?;
            let rows = query.query_map([now.0], |row| {
                Ok((super::sessions::event_of(row, 0)?, row.get(1)?))
            })?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let mut freed = 0;
        for (event, hold) in lapsed {
            freed += self.end_hold(&event, &hold, "expired")?;
        }
        Ok(freed)
    }
}
