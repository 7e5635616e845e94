//! Console sessions that were signed out. Their ids are kept until the sessions would have ended anyway: in a file of the data
//! folder, and where nodes share a store, there as well.

use crate::context::AppContext;
use crate::time::{Clock, Time};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

/// The most signed-out sessions that are kept. Beyond it a sign-out is refused rather than another one forgotten.
pub const SIGN_OUTS_MAX: usize = 10_000;
/// How long a sign-out is kept beyond the end of its session, for nodes whose clocks differ.
pub const KEPT_SECONDS: u32 = 3600;
/// How often the shared store is asked.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// The length of a session's id: 16 bytes as hex.
const ID_LENGTH: usize = 32;

/// A session that was signed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SignOut {
    /// The id of the session. It opens nothing by itself.
    pub id: String,
    /// When the session would have ended.
    pub expires_at: Time,
}

/// A store of sign-outs that all nodes share. Every operation may be repeated.
#[async_trait]
pub trait Shared: Send + Sync {
    /// Keeps a sign-out. `session` is the signed session itself, for a store that asks for proof; none where the sign-out is only
    /// given back to a store that may have lost it.
    ///
    /// # Errors
    /// When the store does not answer or is full.
    async fn keep(&self, sign_out: &SignOut, session: Option<&str>) -> Result<(), String>;

    /// All sign-outs that are kept, at most `SIGN_OUTS_MAX`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn all(&self) -> Result<Vec<SignOut>, String>;
}

/// A handle to the sign-outs that this process knows.
#[derive(Clone)]
pub struct SignOuts(Arc<Inner>);

struct Inner {
    clock: Clock,
    file: Option<PathBuf>,
    /// Held while the file is written, so that an older list never replaces a newer one.
    writing: Mutex<()>,
    /// The ends of the sessions by their ids. Locked for a look-up or a copy, never across an await.
    known: RwLock<HashMap<String, Time>>,
    shared: OnceLock<Arc<dyn Shared>>,
}

impl SignOuts {
    /// Reads the list kept at `path`.
    ///
    /// # Errors
    /// A sentence for the operator when the file cannot be read.
    pub fn open(path: &Path, clock: Clock) -> Result<SignOuts, String> {
        let list: Vec<SignOut> = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| format!("{} is damaged: {error}", path.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        };
        let all = SignOuts::of(Some(path.to_owned()), clock);
        all.merge(list);
        Ok(all)
    }

    /// A list that is only in memory: for tests.
    pub fn in_memory(clock: Clock) -> SignOuts {
        SignOuts::of(None, clock)
    }

    fn of(file: Option<PathBuf>, clock: Clock) -> SignOuts {
        SignOuts(Arc::new(Inner {
            clock,
            file,
            writing: Mutex::default(),
            known: RwLock::default(),
            shared: OnceLock::new(),
        }))
    }

    /// From now on sign-outs are exchanged with a store that all nodes share.
    pub fn share(&self, store: Arc<dyn Shared>) {
        let _ = self.0.shared.set(store);
    }

    /// Whether the session of this id was signed out.
    pub fn contains(&self, id: &str) -> bool {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        known.contains_key(id)
    }

    /// All that are known.
    pub fn all(&self) -> Vec<SignOut> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .map(|(id, expires_at)| SignOut {
                id: id.clone(),
                expires_at: *expires_at,
            })
            .collect()
    }

    /// Signs a session out: on disk, and in the shared store where there is one, before it returns. May be repeated.
    ///
    /// # Errors
    /// When one of them does not take it. Here the session is signed out all the same, unless there is no room.
    pub async fn add(&self, sign_out: SignOut, session: &str) -> Result<(), String> {
        self.merge(vec![sign_out.clone()]);
        if !self.contains(&sign_out.id) {
            return Err(format!(
                "more than {SIGN_OUTS_MAX} sessions were signed out"
            ));
        }
        self.write().await?;
        match self.0.shared.get() {
            Some(store) => store.keep(&sign_out, Some(session)).await,
            None => Ok(()),
        }
    }

    /// Learns what other nodes signed out, and gives the shared store what it does not have. While it does not answer, what is
    /// known stays.
    pub async fn refresh(&self) {
        let Some(store) = self.0.shared.get() else {
            return;
        };
        let told = match store.all().await {
            Ok(told) => told,
            Err(error) => {
                tracing::debug!(error, "sign-outs of other nodes are not known just now");
                return;
            }
        };
        let now = self.0.clock.now();
        let ids: HashSet<&str> = told.iter().map(|told| told.id.as_str()).collect();
        for sign_out in self.all() {
            let is_needed = sign_out.expires_at > now && !ids.contains(sign_out.id.as_str());
            if is_needed && store.keep(&sign_out, None).await.is_err() {
                break;
            }
        }
        if self.merge(told)
            && let Err(error) = self.write().await
        {
            tracing::error!(error, "sign-outs of other nodes could not be written");
        }
    }

    /// Takes over what is new, and forgets what ended long ago; whether anything was new.
    fn merge(&self, list: Vec<SignOut>) -> bool {
        let now = self.0.clock.now();
        let is_kept = |expires_at: Time| expires_at.plus_seconds(KEPT_SECONDS) > now;
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, expires_at| is_kept(*expires_at));
        let mut is_new = false;
        for SignOut { id, expires_at } in list {
            let is_sound = id.len() == ID_LENGTH && is_kept(expires_at);
            if is_sound && known.len() < SIGN_OUTS_MAX {
                is_new |= known.insert(id, expires_at).is_none();
            }
        }
        is_new
    }

    /// Writes the whole list, so that the file never grows beyond it. Off the async threads: it waits for the disk.
    async fn write(&self) -> Result<(), String> {
        let all = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let Some(path) = &all.0.file else {
                return Ok(());
            };
            let _turn = all.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let list = serde_json::to_vec(&all.all()).unwrap_or_default();
            replace(path, &list)
                .map_err(|error| format!("{} cannot be written: {error}", path.display()))
        });
        written.await.map_err(|error| error.to_string())?
    }
}

/// Replaces a file as a whole: after a crash there is the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Follows what other nodes sign out, until the site's stop signal.
pub async fn follow(site: Arc<AppContext>) {
    loop {
        site.organisers.sign_outs().refresh().await;
        tokio::select! {
            () = tokio::time::sleep(REFRESH_EVERY) => {}
            () = site.stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    fn sign_out(at: usize) -> SignOut {
        SignOut {
            id: format!("{at:032x}"),
            expires_at: NOW.plus_seconds(3600),
        }
    }

    #[tokio::test]
    async fn a_sign_out_is_kept_in_a_private_file_until_its_session_ended_long_ago() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signed-out.json");
        let clock = Clock::manual(NOW);
        let all = SignOuts::open(&path, clock.clone()).unwrap();
        all.add(sign_out(1), "").await.unwrap();
        all.add(sign_out(1), "").await.unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = SignOuts::open(&path, clock.clone()).unwrap();
        assert_eq!(again.all(), [sign_out(1)]);
        clock.advance_ms(2 * 3600 * 1000);
        again.add(sign_out(2), "").await.unwrap_err();
        assert_eq!(again.all(), []);
        fs::write(&path, "broken").unwrap();
        let refused = SignOuts::open(&path, clock).err().unwrap();
        assert!(refused.contains("damaged"), "{refused}");
    }

    #[tokio::test]
    async fn a_full_list_refuses_a_sign_out_and_forgets_none() {
        let all = SignOuts::in_memory(Clock::manual(NOW));
        all.merge((0..SIGN_OUTS_MAX).map(sign_out).collect());
        assert!(all.add(sign_out(SIGN_OUTS_MAX), "").await.is_err());
        all.add(sign_out(7), "").await.unwrap();
        assert_eq!(all.all().len(), SIGN_OUTS_MAX);
    }
}
