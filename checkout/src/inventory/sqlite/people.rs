//! Personal data in SQLite: buyers page by page, and the deletion of old visits. What has to be
//! looked for is read by a connection of its own, so that no sale waits for it.

use super::read::{event_of, known, visitor};
use super::{Sqlite, Step, Store};
use crate::inventory::engine::{BUYERS_MAX, VISITS_MAX};
use crate::inventory::model::*;
use crate::inventory::personal::{BuyerChange, OrderKey, Personal, StoredBuyer};
use crate::inventory::records::{Key, OrderState};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};
use shared::group_commit::Unavailable;
use shared::sealing::SealingKeys;
use shared::time::Time;

const BUYERS: &str = "select event, id, visitor, created_at, state, buyer_name, buyer_email from orders
    where (event, id) > (?1, ?2) and (buyer_name <> '' or buyer_email <> '') order by event, id limit ?3";

const BUYER: &str =
    "select event, id, visitor, created_at, state, buyer_name, buyer_email from orders
    where event = ?1 and id = ?2";

const SESSIONS: &str =
    "select event, key from session where expires_at < ?1 and report = 0 limit ?2";

const HOLDS: &str = "select event, id from hold h
    where max_expires_at < ?1 and state in ('released', 'expired') and order_id is null and not exists
        (select 1 from session s indexed by session_by_visitor where s.event = h.event and s.visitor = h.visitor)
    limit ?2";

/// Old rows, by their keys.
struct OldVisits {
    sessions: Vec<(String, Key)>,
    holds: Vec<(String, String)>,
}

impl Sqlite {
    /// Reads with a connection of its own, on a thread that may wait.
    pub(super) async fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, Refused> {
        let path = self.path.clone();
        #[cfg(test)]
        let steps = self.steps.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let file = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            #[cfg(test)]
            steps.count_too(&file)?;
            look(&file)
        });
        match looking.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                tracing::error!(%error, "the inventory cannot be read");
                Err(Unavailable.into())
            }
            Err(_) => Err(Unavailable.into()),
        }
    }

    pub(super) async fn list_buyers(
        &self,
        after: Option<&OrderKey>,
    ) -> Result<Vec<StoredBuyer>, Refused> {
        let (event, id) = match after {
            Some(after) => (after.event.as_str().to_owned(), after.id.clone()),
            None => (String::new(), String::new()),
        };
        let keys = self.keys.clone();
        self.look(move |file| {
            let mut query = file.prepare(BUYERS)?;
            let rows = query.query_map(params![event, id, BUYERS_MAX as i64], |row| {
                read_buyer(row, &keys)
            })?;
            rows.collect()
        })
        .await
    }

    pub(super) async fn find_buyer(
        &self,
        order: &OrderKey,
    ) -> Result<Option<StoredBuyer>, Refused> {
        let (keys, order) = (self.keys.clone(), order.clone());
        self.look(move |file| {
            let of = params![order.event.as_str(), order.id];
            file.query_row(BUYER, of, |row| read_buyer(row, &keys))
                .optional()
        })
        .await
    }

    pub(super) async fn delete_visits(&self, kept_ms: i64) -> Result<bool, Refused> {
        let before = self.clock.now().0 - kept_ms;
        let old = self.look(move |file| OldVisits::find(file, before)).await?;
        let most = VISITS_MAX as usize;
        let has_more = old.sessions.len() == most || old.holds.len() == most;
        self.step(move |store, _| store.delete_visits(&old)).await?;
        Ok(has_more)
    }
}

impl OldVisits {
    fn find(file: &Connection, before: i64) -> rusqlite::Result<OldVisits> {
        let limits = params![before, VISITS_MAX];
        let mut sessions = file.prepare(SESSIONS)?;
        let sessions = sessions.query_map(limits, |row| Ok((row.get(0)?, row.get(1)?)))?;
        let sessions = sessions.collect::<rusqlite::Result<_>>()?;
        let mut holds = file.prepare(HOLDS)?;
        let holds = holds.query_map(limits, |row| Ok((row.get(0)?, row.get(1)?)))?;
        let holds = holds.collect::<rusqlite::Result<_>>()?;
        Ok(OldVisits { sessions, holds })
    }
}

impl Store {
    fn delete_visits(&mut self, old: &OldVisits) -> Step<()> {
        if old.sessions.is_empty() && old.holds.is_empty() {
            return Ok(Ok(()));
        }
        self.write()?;
        for (event, key) in &old.sessions {
            self.db
                .prepare_cached("delete from session where event = ?1 and key = ?2")?
                .execute(params![event, key])?;
        }
        for (event, id) in &old.holds {
            self.db
                .prepare_cached("delete from hold where event = ?1 and id = ?2")?
                .execute([event, id])?;
        }
        Ok(Ok(()))
    }

    pub(super) fn set_buyers(&mut self, changes: &[BuyerChange]) -> Step<()> {
        self.write()?;
        for BuyerChange { stored, buyer } in changes {
            let order = &stored.order;
            let personal = Personal {
                keys: &self.keys,
                event: &order.event,
            };
            let sealed = personal.seal_buyer(&order.id, buyer.as_ref());
            self.db
                .prepare_cached(
                    "update orders set buyer_name = ?5, buyer_email = ?6
                     where event = ?1 and id = ?2 and buyer_name = ?3 and buyer_email = ?4",
                )?
                .execute(params![
                    order.event.as_str(),
                    order.id,
                    stored.columns.name,
                    stored.columns.email,
                    sealed.name,
                    sealed.email
                ])?;
            // Read again when the visitor comes.
            if let Some(event_state) = self.event_states.get_mut(&order.event) {
                event_state.visitors.take(stored.visitor);
            }
        }
        Ok(Ok(()))
    }
}

fn read_buyer(row: &Row<'_>, keys: &SealingKeys) -> rusqlite::Result<StoredBuyer> {
    let order = OrderKey {
        event: event_of(row, 0)?,
        id: row.get(1)?,
    };
    let state: String = row.get(4)?;
    let state = known(&OrderState::ALL, |known| known.as_str() == state)?;
    let columns = Buyer {
        name: row.get(5)?,
        email: row.get(6)?,
    };
    let personal = Personal {
        keys,
        event: &order.event,
    };
    Ok(StoredBuyer {
        buyer: personal.open_buyer(&order.id, &columns),
        is_current: personal.is_current(&columns),
        visitor: visitor(row, 2)?,
        created_at: Time(row.get(3)?),
        is_settled: state.is_settled(),
        order,
        columns,
    })
}
