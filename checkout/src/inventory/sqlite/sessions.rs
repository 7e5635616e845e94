//! Sessions: a token traded in once, and what the waiting room has yet to hear of it.

use super::{Step, Store};
use crate::inventory::words::*;
use rusqlite::{OptionalExtension as _, Row, params};
use shared::time::Time;
use shared::words::{EventId, VisitorId};

impl Store {
    pub(super) fn open_session(&mut self, new: NewSession) -> Step<Once<Session>> {
        self.write()?;
        // The unique jti decides who was first, not a look beforehand.
        let opened = self
            .db
            .prepare_cached(
                "insert into session (key, event, visitor, number, jti, token, expires_at, report)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) on conflict do nothing",
            )?
            .execute(params![
                new.key,
                new.event.as_str(),
                new.visitor.to_string(),
                new.number as i64,
                new.jti,
                new.token,
                new.expires_at.0,
                i64::from(!new.is_reported)
            ])?;
        if opened == 0 {
            let same = self.session(&vec![new.key], Some(&new.event))?.ok();
            let once = same.map(|value| Once {
                value,
                is_replayed: true,
            });
            return Ok(once.ok_or(Refused::AdmissionUsed));
        }
        let value = Session {
            key: new.key,
            event: new.event,
            visitor: new.visitor,
            expires_at: new.expires_at,
            is_over: false,
        };
        Ok(Ok(Once {
            value,
            is_replayed: false,
        }))
    }

    /// The first of the keys that opens a session, of this event if one is named.
    pub(super) fn session(&self, keys: &Keys, event: Option<&EventId>) -> Step<Session> {
        let sessions = self.sessions(keys)?;
        let fitting = sessions
            .into_iter()
            .find(|session| event.is_none_or(|event| session.event == *event));
        Ok(fitting.ok_or(Refused::NoSession))
    }

    pub(super) fn sessions(&self, keys: &Keys) -> rusqlite::Result<Vec<Session>> {
        let mut query = self.db.prepare_cached(
            "select key, event, visitor, expires_at, over from session where key = ?1",
        )?;
        let mut found = Vec::new();
        for key in keys {
            found.extend(query.query_row([key], read_session).optional()?);
        }
        Ok(found)
    }

    pub(super) fn end_session(&mut self, keys: &Keys, event: &EventId) -> Step<()> {
        let session = match self.session(keys, Some(event))? {
            Ok(session) => session,
            Err(refused) => return Ok(Err(refused)),
        };
        let holds: Vec<String> = {
            let mut query = self.db.prepare_cached(
                "select id from hold where event = ?1 and session = ?2 and state in ('active', 'converted')",
            )?;
            let ids = query.query_map(params![event.as_str(), session.key], |row| row.get(0))?;
            ids.collect::<rusqlite::Result<_>>()?
        };
        for hold in holds {
            // A hold that is being paid, or is paid, stays as it is.
            let _ = self.release(keys, &hold)?;
        }
        self.close_session(&session.key)?;
        Ok(Ok(()))
    }

    /// No more holds; the waiting room will hear that the slot is free.
    pub(super) fn close_session(&mut self, key: &[u8; 32]) -> rusqlite::Result<()> {
        self.write()?;
        self.db
            .prepare_cached("update session set over = 1, report = 2 where key = ?1 and over = 0")?
            .execute([key])?;
        Ok(())
    }

    pub(super) fn reports(&self) -> Step<Vec<Report>> {
        let mut query = self.db.prepare_cached(
            "select key, event, token, report from session where report > 0 limit ?1",
        )?;
        let rows = query.query_map([REPORTS_MAX], |row| {
            Ok(Report {
                key: row.get(0)?,
                event: event_of(row, 1)?,
                token: row.get(2)?,
                is_finished: row.get::<_, i64>(3)? == 2,
            })
        })?;
        rows.collect::<rusqlite::Result<_>>().map(Ok)
    }

    pub(super) fn reported(&mut self, report: &Report) -> Step<()> {
        self.write()?;
        let told = if report.is_finished { 2 } else { 1 };
        self.db
            .prepare_cached("update session set report = 0 where key = ?1 and report = ?2")?
            .execute(params![report.key, told])?;
        Ok(Ok(()))
    }
}

fn read_session(row: &Row<'_>) -> rusqlite::Result<Session> {
    let visitor: String = row.get(2)?;
    Ok(Session {
        key: row.get(0)?,
        event: event_of(row, 1)?,
        visitor: VisitorId::parse(&visitor).expect("sessions are written with a visitor id"),
        expires_at: Time(row.get(3)?),
        is_over: row.get::<_, i64>(4)? == 1,
    })
}

pub(super) fn event_of(row: &Row<'_>, at: usize) -> rusqlite::Result<EventId> {
    let text: String = row.get(at)?;
    Ok(EventId::parse(&text).expect("rows are written with an event id"))
}
