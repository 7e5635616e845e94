//! Sessions in SQLite, beside decisions: their admission, and its extension.

use super::{Step, Store};
use crate::inventory::model::*;
use crate::inventory::personal::Personal;
use rusqlite::{OptionalExtension as _, params};
use shared::time::Time;

impl Store {
    pub(super) fn find_admission(&self, session: &SessionKey) -> Step<Option<String>> {
        let select = "select token from session where event = ?1 and key = ?2 and not over";
        let mut query = self.db.prepare_cached(select)?;
        let key = params![session.event.as_str(), session.hash];
        let sealed: Option<String> = query.query_row(key, |row| row.get(0)).optional()?;
        let personal = Personal {
            keys: &self.keys,
            event: &session.event,
        };
        Ok(Ok(
            sealed.map(|sealed| personal.open_token(&session.hash, &sealed))
        ))
    }

    pub(super) fn extend_session(
        &mut self,
        session: &SessionKey,
        token: &str,
        until: Time,
    ) -> Step<()> {
        self.write()?;
        let personal = Personal {
            keys: &self.keys,
            event: &session.event,
        };
        let sealed = personal.seal_token(&session.hash, token);
        let update = "update session set token = ?3, expires_at = ?4
            where event = ?1 and key = ?2 and not over and expires_at < ?4";
        let row = params![session.event.as_str(), session.hash, sealed, until.0];
        let extended = self.db.prepare_cached(update)?.execute(row)?;
        if let Some(state) = self.event_states.get_mut(&session.event)
            && extended > 0
        {
            state.visitors.extend_session(&session.hash, until);
        }
        Ok(Ok(()))
    }
}
