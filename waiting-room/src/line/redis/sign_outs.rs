//! Signed-out console sessions in Redis, where all nodes write and read them.

use super::reply::{Reply, Status, bytes, list};
use super::script;
use super::store::Store;
use async_trait::async_trait;
use shared::sign_outs::{KEPT_SECONDS, SIGN_OUTS_MAX, Shared, SignOut};
use shared::time::Time;

const AWAY: &str = "Redis does not answer";

#[async_trait]
impl Shared for Store {
    async fn keep(&self, sign_out: &SignOut, _: Option<&str>) -> Result<(), String> {
        let SignOut { key, id, .. } = sign_out;
        let end = sign_out.expires_at.0;
        let kept_ms = i64::from(KEPT_SECONDS) * 1000;
        let arguments = [
            self.now(),
            format!("{key}:{}:{end}", id.as_deref().unwrap_or("")),
            end.to_string(),
            SIGN_OUTS_MAX.to_string(),
            kept_ms.to_string(),
            id.as_ref().map_or(format!("{key}:"), |_| String::new()),
        ];
        let set = self.keys.sign_outs();
        let arguments = arguments.iter().map(String::as_bytes);
        let reply = script::SIGN_OUT.run(&self.connection, &set, arguments);
        let reply = reply.await.ok().and_then(Reply::parse).ok_or(AWAY)?;
        if reply.status == Status::Full {
            return Err(format!("more than {SIGN_OUTS_MAX} sign-outs are kept"));
        }
        Ok(())
    }

    async fn all(&self) -> Result<Vec<SignOut>, String> {
        let set = self.keys.sign_outs();
        let answer = self.send(["ZRANGE", &set, "0", "-1"]).await;
        let answer = answer.map_err(|_| AWAY)?;
        let members = list(&answer).ok_or(AWAY)?.iter().map(bytes);
        Ok(members.filter_map(read).collect())
    }
}

/// Reads a member of the set: the key, the id (none: all sessions of the key) and the end of a
/// session.
fn read(member: &[u8]) -> Option<SignOut> {
    let (key, session) = std::str::from_utf8(member).ok()?.split_once(':')?;
    let (id, end) = session.split_once(':')?;
    Some(SignOut {
        key: key.to_owned(),
        id: (!id.is_empty()).then(|| id.to_owned()),
        expires_at: Time(end.parse().ok()?),
    })
}
