//! Clients of admissions in Redis, where all nodes count them.

use super::event_line::EventLine;
use super::reply::{bytes, list};
use super::script;
use super::store::CallError;
use crate::line::{ClientChange, Clients, Refused, SHARED_MAX, SharedAdmission};
use shared::group_commit::Unavailable;
use shared::ids::VisitorId;
use shared::time::Time;

impl EventLine {
    /// See `Line::clients`.
    pub(super) async fn clients(&self, visitor: VisitorId) -> Result<Option<Clients>, Refused> {
        let key = self.caller.keys.clients(visitor);
        let answer = self.store().send(["GET", &key]).await;
        let answer = answer.map_err(Unavailable::from)?;
        Ok(serde_json::from_slice(bytes(&answer)).ok())
    }

    /// See `Line::set_clients`.
    pub(super) async fn set_clients(&self, change: ClientChange<'_>) -> Result<bool, Refused> {
        let json = |clients| serde_json::to_vec(clients).expect("clients are plain data");
        let visitor = change.visitor.to_string();
        let before = change.before.map(json).unwrap_or_default();
        let after = json(change.after);
        let shared = change.after.shared(change.visitor, change.until);
        let shared = shared.map(|shared| serde_json::to_vec(&shared).unwrap_or_default());
        let (until, max) = (change.until.0.to_string(), SHARED_MAX.to_string());
        let arguments = [
            visitor.as_bytes(),
            before.as_slice(),
            after.as_slice(),
            until.as_bytes(),
            shared.as_deref().unwrap_or_default(),
            max.as_bytes(),
        ];
        match self.caller.call(&script::CLIENTS, &arguments).await {
            Ok(_) => Ok(true),
            Err(CallError::Busy) => Ok(false),
            Err(error) => Err(Unavailable::from(error).into()),
        }
    }

    /// See `Line::shared_admissions`.
    pub(super) async fn shared_admissions(
        &self,
        now: Time,
    ) -> Result<Vec<SharedAdmission>, Refused> {
        let key = self.caller.keys.shared();
        let answer = self.store().send(["HVALS", &key]).await;
        let answer = answer.map_err(Unavailable::from)?;
        let values = list(&answer).unwrap_or_default().iter().map(bytes);
        let all = values.filter_map(|json| serde_json::from_slice::<SharedAdmission>(json).ok());
        Ok(all.filter(|admission| admission.expires_at > now).collect())
    }
}
