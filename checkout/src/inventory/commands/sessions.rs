//! Commands on sessions: an admission token is exchanged for one session only.

use super::UnitOfWork;
use crate::inventory::model::*;
use crate::inventory::records::{FINISHED, Key, STARTED, SessionRow};
use shared::ids::EventId;

pub(in crate::inventory) fn show(event: &EventId, row: &SessionRow) -> Session {
    Session {
        key: row.key,
        event: event.clone(),
        visitor: row.visitor,
        expires_at: row.expires_at,
        is_over: row.is_over,
    }
}

impl UnitOfWork<'_> {
    /// Opens a session. The unique `jti` decides which request was first, not a look-up beforehand.
    pub(in crate::inventory) fn open_session(
        &mut self,
        new: &NewSession,
    ) -> Result<Once<Session>, Refused> {
        let same = |row: &SessionRow| row.jti == new.jti;
        let known = self.opened.as_ref().or_else(|| {
            let mut own = self.records.sessions.iter();
            own.find(|row| same(row))
        });
        if let Some(known) = known {
            let is_same = known.key == new.key;
            let value = show(&self.event_state.event, known);
            return if is_same {
                Ok(Once {
                    value,
                    is_replayed: true,
                })
            } else {
                Err(Refused::AdmissionUsed)
            };
        }
        self.check_goes_on()?;
        let row = SessionRow {
            key: new.key,
            visitor: new.visitor,
            number: new.number,
            jti: new.jti.clone(),
            token: new.token.clone(),
            expires_at: new.expires_at,
            is_over: false,
            report: if new.is_reported { 0 } else { STARTED },
        };
        let value = show(&self.event_state.event, &row);
        self.records.sessions.reserve_exact(1);
        self.records.sessions.push(row.clone());
        self.changes.new_sessions = vec![row];
        Ok(Once {
            value,
            is_replayed: false,
        })
    }

    pub(in crate::inventory) fn session(&self, key: &Key) -> Result<&SessionRow, Refused> {
        self.records.session(key).ok_or(Refused::NoSession)
    }

    pub(in crate::inventory) fn end_session(&mut self, key: &Key) -> Result<(), Refused> {
        self.session(key)?;
        let own = self
            .records
            .holds
            .iter()
            .filter(|hold| hold.session == *key);
        let holds: Vec<_> = own
            .filter(|hold| hold.state.owns())
            .map(|hold| hold.id.clone())
            .collect();
        for hold in holds {
            // A hold that is being paid, or has been paid, is left as it is.
            let _ = self.release(key, &hold);
        }
        self.close_session(key);
        Ok(())
    }

    /// Ends a session: it makes no more holds, and the waiting room will be told that its slot is
    /// free.
    pub(super) fn close_session(&mut self, key: &Key) {
        let open = self.records.sessions.iter_mut();
        if let Some(row) = open.into_iter().find(|row| row.key == *key && !row.is_over) {
            row.is_over = true;
            row.report = FINISHED;
            self.changes.sessions_over.push(*key);
            // Makes a concurrent hold fail at a node that does not yet know of the end.
            let sequence = self.records.take_sequence();
            self.changes.sequences.push(sequence);
        }
    }
}
