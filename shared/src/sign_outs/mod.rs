//! Console sessions that were signed out. Their ids are kept until the sessions would have ended
//! anyway: in a file of the data folder, and in the store that nodes share, if there is one.

mod list;

use self::list::List;
pub use self::list::{KEPT_SECONDS, SIGN_OUTS_MAX, SIGN_OUTS_PER_KEY_MAX, SignOut};
use crate::data_dir::replace;
use crate::time::{Clock, Time};
use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time between two requests to the shared store.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// A store of sign-outs that all nodes share. Every operation may be repeated.
#[async_trait]
pub trait Shared: Send + Sync {
    /// Keeps a sign-out. `session` is the signed session itself, for a store that asks for proof;
    /// none if the sign-out is only given back to a store that may have lost it.
    ///
    /// # Errors
    /// If the store does not answer or is full.
    async fn keep(&self, sign_out: &SignOut, session: Option<&str>) -> Result<(), String>;

    /// Returns all sign-outs that are kept, at most `SIGN_OUTS_MAX`.
    ///
    /// # Errors
    /// If the store does not answer.
    async fn all(&self) -> Result<Vec<SignOut>, String>;
}

/// A handle to the sign-outs that this process knows.
#[derive(Clone)]
pub struct SignOuts(Arc<SignOutState>);

struct SignOutState {
    clock: Clock,
    file: Option<PathBuf>,
    /// The version of the list that the file has. Held while the file is written, so that an older
    /// list never replaces a newer one, and one write serves all who wait for it.
    written: Arc<tokio::sync::Mutex<u64>>,
    /// Locked for a look-up or a copy, never across an await.
    list: RwLock<List>,
    shared: OnceLock<Arc<dyn Shared>>,
    /// Sign-outs that the shared store has not taken yet.
    unsent: Mutex<Vec<Unsent>>,
}

/// A sign-out to send, and the signed session that proves it.
#[derive(Clone)]
struct Unsent {
    sign_out: SignOut,
    session: String,
}

impl SignOuts {
    /// Reads the list kept at `path`.
    ///
    /// # Errors
    /// A sentence for the operator when the file cannot be read.
    pub fn open(path: &Path, clock: Clock) -> Result<SignOuts, String> {
        let kept: Vec<SignOut> = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| format!("{} is damaged: {error}", path.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        };
        let mut list = List::default();
        list.merge(kept, clock.now());
        Ok(SignOuts::of(Some(path.to_owned()), clock, list))
    }

    /// Creates a list that is only in memory, for tests.
    pub fn in_memory(clock: Clock) -> SignOuts {
        SignOuts::of(None, clock, List::default())
    }

    fn of(file: Option<PathBuf>, clock: Clock, list: List) -> SignOuts {
        SignOuts(Arc::new(SignOutState {
            clock,
            file,
            written: Arc::new(tokio::sync::Mutex::new(list.version())),
            list: RwLock::new(list),
            shared: OnceLock::new(),
            unsent: Mutex::default(),
        }))
    }

    /// Exchanges sign-outs with a store that all nodes share, from now on.
    pub fn share(&self, store: Arc<dyn Shared>) {
        let _ = self.0.shared.set(store);
    }

    /// Returns whether this session was signed out.
    pub fn contains(&self, session: &SignOut) -> bool {
        self.covering(session).is_some()
    }

    /// Returns the end of the last session of this key that was signed out with all those before
    /// it.
    pub fn ended_until(&self, key: &str) -> Option<Time> {
        self.list().ended_until(key)
    }

    /// Returns all known sign-outs.
    pub fn all(&self) -> Vec<SignOut> {
        self.list().entries()
    }

    /// Signs a session out: on disk, and in the shared store where there is one, before it returns.
    /// May be repeated.
    ///
    /// # Errors
    /// If one of them does not take it. Here the session is signed out all the same, and the other
    /// is told again by `refresh`.
    pub async fn add(&self, sign_out: SignOut, session: &str) -> Result<(), String> {
        self.merge([sign_out.clone()]);
        if !self.contains(&sign_out) {
            return Err(format!(
                "sessions of more than {SIGN_OUTS_MAX} keys were signed out"
            ));
        }
        let written = self.write().await;
        let kept = self.send(&sign_out, session).await;
        if kept.is_err() {
            self.remember(sign_out, session);
        }
        written.and(kept)
    }

    /// Repeats what was not kept, learns what other nodes signed out, and gives the shared store
    /// what it does not have. While it does not answer, what is known stays.
    pub async fn refresh(&self) {
        let is_new = match self.exchange().await {
            Ok(is_new) => is_new,
            Err(error) => {
                tracing::debug!(error, "sign-outs of other nodes are not known just now");
                false
            }
        };
        if let Err(error) = self.write().await
            && is_new
        {
            tracing::error!(error, "sign-outs of other nodes could not be written");
        }
    }

    /// Exchanges sign-outs with the shared store; whether it told any that are new.
    async fn exchange(&self) -> Result<bool, String> {
        let Some(store) = self.0.shared.get() else {
            return Ok(false);
        };
        self.repeat().await;
        let told: HashSet<SignOut> = store.all().await?.into_iter().collect();
        let is_new = self.merge(told.iter().cloned());
        let now = self.0.clock.now();
        let mut missing = self.all();
        missing.retain(|sign_out| sign_out.expires_at > now && !told.contains(sign_out));
        // Those that stand for many come first: they make room in a full store.
        missing.sort_by_key(|sign_out| sign_out.id.is_some());
        for sign_out in missing {
            if store.keep(&sign_out, None).await.is_err() {
                break;
            }
        }
        Ok(is_new)
    }

    async fn send(&self, sign_out: &SignOut, session: &str) -> Result<(), String> {
        match self.0.shared.get() {
            Some(store) => {
                let entry = self.covering(sign_out);
                let entry = entry.as_ref().unwrap_or(sign_out);
                store.keep(entry, Some(session)).await
            }
            None => Ok(()),
        }
    }

    /// Remembers a sign-out to repeat it. No key can crowd out those of another.
    fn remember(&self, sign_out: SignOut, session: &str) {
        let mut unsent = self.unsent();
        let of_key = unsent.iter().filter(|it| it.sign_out.key == sign_out.key);
        let has_room = of_key.count() < SIGN_OUTS_PER_KEY_MAX && unsent.len() < SIGN_OUTS_MAX;
        if has_room && unsent.iter().all(|it| it.sign_out != sign_out) {
            let session = session.to_owned();
            unsent.push(Unsent { sign_out, session });
        }
    }

    /// Tells the shared store what it did not take, until it does or the session has ended by
    /// itself.
    async fn repeat(&self) {
        let unsent = self.unsent().clone();
        for Unsent { sign_out, session } in unsent {
            let is_running = sign_out.expires_at > self.0.clock.now();
            if is_running && let Err(error) = self.send(&sign_out, &session).await {
                tracing::debug!(error, "a sign-out is not kept everywhere yet");
                return;
            }
            self.unsent().retain(|it| it.sign_out != sign_out);
        }
    }

    fn merge(&self, list: impl IntoIterator<Item = SignOut>) -> bool {
        let now = self.0.clock.now();
        let mut known = self.0.list.write();
        known.merge(list, now)
    }

    fn covering(&self, sign_out: &SignOut) -> Option<SignOut> {
        self.list().covering(sign_out)
    }

    fn list(&self) -> RwLockReadGuard<'_, List> {
        self.0.list.read()
    }

    fn unsent(&self) -> MutexGuard<'_, Vec<Unsent>> {
        self.0.unsent.lock()
    }

    /// Writes the whole list if it has changed, so that the file never grows beyond it. Off the
    /// async threads, as it waits for the disk.
    async fn write(&self) -> Result<(), String> {
        let Some(path) = self.0.file.clone() else {
            return Ok(());
        };
        // Held until the write is over, even if the request behind it is given up.
        let mut written = self.0.written.clone().lock_owned().await;
        let (version, entries) = {
            let list = self.list();
            if list.version() == *written {
                return Ok(());
            }
            (list.version(), list.entries())
        };
        let writing = tokio::task::spawn_blocking(move || {
            let bytes = serde_json::to_vec(&entries).unwrap_or_default();
            replace(&path, &bytes)
                .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
            *written = version;
            Ok(())
        });
        writing.await.map_err(|error| error.to_string())?
    }
}

/// Follows the sign-outs of other nodes until the stop signal.
pub async fn follow(sign_outs: SignOuts, stop: CancellationToken) {
    loop {
        sign_outs.refresh().await;
        tokio::select! {
            () = tokio::time::sleep(REFRESH_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    const NOW: Time = Time(1_800_000_000_000);

    fn sign_out(at: usize) -> SignOut {
        SignOut {
            key: "key".to_owned(),
            id: Some(format!("{at:032x}")),
            expires_at: NOW.plus_seconds(3600),
        }
    }

    /// A waiting room that is away until it is told to answer, and takes only sessions.
    #[derive(Default)]
    struct Elsewhere {
        is_there: AtomicBool,
        sessions: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Shared for Elsewhere {
        async fn keep(&self, _: &SignOut, session: Option<&str>) -> Result<(), String> {
            if !self.is_there.load(Ordering::Relaxed) {
                return Err("away".to_owned());
            }
            let session = session.map(str::to_owned);
            self.sessions.lock().extend(session);
            Ok(())
        }

        async fn all(&self) -> Result<Vec<SignOut>, String> {
            Ok(Vec::new())
        }
    }

    #[tokio::test]
    async fn a_sign_out_that_was_not_taken_is_repeated_until_it_is() {
        let clock = Clock::manual(NOW);
        let all = SignOuts::in_memory(clock.clone());
        let store = Arc::new(Elsewhere::default());
        all.share(store.clone());
        for at in 0..2 * SIGN_OUTS_PER_KEY_MAX {
            all.add(sign_out(at), &format!("{at}")).await.unwrap_err();
            all.add(sign_out(at), &format!("{at}")).await.unwrap_err();
            assert!(all.contains(&sign_out(at)));
        }
        let other = SignOut {
            key: "other".to_owned(),
            ..sign_out(1)
        };
        all.add(other.clone(), "other").await.unwrap_err();
        assert_eq!(all.unsent().len(), SIGN_OUTS_PER_KEY_MAX + 1);
        all.refresh().await;
        assert_eq!(all.unsent().len(), SIGN_OUTS_PER_KEY_MAX + 1);
        store.is_there.store(true, Ordering::Relaxed);
        all.refresh().await;
        all.refresh().await;
        let sessions = store.sessions.lock().clone();
        assert_eq!(sessions.len(), SIGN_OUTS_PER_KEY_MAX + 1);
        assert_eq!(sessions[0], "0");
        assert_eq!(sessions.last().unwrap(), "other");

        store.is_there.store(false, Ordering::Relaxed);
        let last = SignOut {
            expires_at: NOW.plus_seconds(3601),
            ..other
        };
        all.add(last, "ends before").await.unwrap_err();
        clock.advance_ms(2 * 3600 * 1000);
        all.refresh().await;
        assert_eq!(all.unsent().len(), 0);
    }

    #[tokio::test]
    async fn a_list_that_could_not_be_written_is_written_later_and_an_unchanged_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/signed-out.json");
        let all = SignOuts::open(&path, Clock::manual(NOW)).unwrap();
        all.add(sign_out(1), "").await.unwrap_err();
        fs::create_dir(path.parent().unwrap()).unwrap();
        all.refresh().await;
        let again = SignOuts::open(&path, Clock::manual(NOW)).unwrap();
        assert_eq!(again.all(), [sign_out(1)]);
        fs::remove_file(&path).unwrap();
        all.add(sign_out(1), "").await.unwrap();
        assert!(!path.exists());
        all.add(sign_out(2), "").await.unwrap();
        assert!(path.exists());
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
}
