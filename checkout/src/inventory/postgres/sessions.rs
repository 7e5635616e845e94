//! Sessions in Postgres, beside decisions: their admission, and its extension.

use super::Postgres;
use crate::inventory::model::*;
use crate::inventory::personal::Personal;
use shared::time::Time;
use sqlx::{Row as _, query};

impl Postgres {
    pub(super) async fn find_admission(
        &self,
        session: &SessionKey,
    ) -> Result<Option<String>, Refused> {
        let shard = self.shard_of(&session.event).await?;
        let select =
            "select token from fairline.session where event = $1 and key = $2 and not is_over";
        let select = query(select).bind(session.event.as_str());
        let row = shard
            .reader()
            .fetch_optional(select.bind(&session.hash[..]))
            .await?;
        let personal = Personal {
            keys: &shard.keys,
            event: &session.event,
        };
        Ok(row.map(|row| personal.open_token(&session.hash, row.get(0))))
    }

    /// Stores an extension. What nodes have in memory of the session may end earlier: a refusal for
    /// that is decided again on what is stored.
    pub(super) async fn store_extension(
        &self,
        session: &SessionKey,
        token: &str,
        until: Time,
    ) -> Result<(), Refused> {
        let shard = self.shard_of(&session.event).await?;
        let personal = Personal {
            keys: &shard.keys,
            event: &session.event,
        };
        let update = "update fairline.session set token = $3, expires_at = $4
            where event = $1 and key = $2 and not is_over and expires_at < $4";
        let update = query(update)
            .bind(session.event.as_str())
            .bind(&session.hash[..])
            .bind(personal.seal_token(&session.hash, token))
            .bind(until.0);
        shard.reader().fetch(update).await?;
        Ok(())
    }
}
