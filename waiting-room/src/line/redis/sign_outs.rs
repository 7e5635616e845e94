//! Signed-out console sessions in Redis, where all nodes write and read them.

use super::batch::number;
use super::cache::{bytes, list};
use super::{Redis, script};
use async_trait::async_trait;
use redis::Cmd;
use shared::sign_outs::{KEPT_SECONDS, SIGN_OUTS_MAX, Shared, SignOut};
use shared::time::Time;

const AWAY: &str = "Redis does not answer";

impl Redis {
    fn sign_outs_key(&self) -> String {
        format!("{}:signed-out", self.prefix)
    }
}

#[async_trait]
impl Shared for Redis {
    async fn keep(&self, sign_out: &SignOut, _: Option<&str>) -> Result<(), String> {
        let now = self.clock.hand().map_or(0, |time| time.0);
        let SignOut { key, id, .. } = sign_out;
        let end = sign_out.expires_at.0;
        let kept_ms = i64::from(KEPT_SECONDS) * 1000;
        let arguments = [
            now.to_string(),
            format!("{key}:{}:{end}", id.as_deref().unwrap_or("")),
            end.to_string(),
            SIGN_OUTS_MAX.to_string(),
            kept_ms.to_string(),
            id.as_ref().map_or(format!("{key}:"), |_| String::new()),
        ];
        let key = self.sign_outs_key();
        let arguments = arguments.iter().map(String::as_bytes);
        let kept = script::SIGN_OUT.run(&self.link, &key, arguments).await;
        match kept.map(|value| number(&value)) {
            Ok(1) => Ok(()),
            Ok(_) => Err(format!("more than {SIGN_OUTS_MAX} sign-outs are kept")),
            Err(_) => Err(AWAY.to_owned()),
        }
    }

    async fn all(&self) -> Result<Vec<SignOut>, String> {
        let mut command = Cmd::new();
        command.arg("ZRANGE").arg(self.sign_outs_key());
        command.arg(0).arg(-1);
        let answer = self.link.send(&command).await.map_err(|_| AWAY)?;
        let members = list(&answer).ok_or(AWAY)?.iter().map(bytes);
        Ok(members.filter_map(read).collect())
    }
}

/// A member of the set: the key, the id and the end of a session, or no id.
fn read(member: &[u8]) -> Option<SignOut> {
    let (key, session) = std::str::from_utf8(member).ok()?.split_once(':')?;
    let (id, end) = session.split_once(':')?;
    Some(SignOut {
        key: key.to_owned(),
        id: (!id.is_empty()).then(|| id.to_owned()),
        expires_at: Time(end.parse().ok()?),
    })
}
