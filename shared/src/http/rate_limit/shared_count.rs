//! Counts of what went wrong lately, of all processes that have the same store.

use super::{ListChange, SharedLists};
use crate::crypto::Secret;
use std::sync::Arc;

/// Length of a member of a list, in bytes.
const MEMBER_BYTES: usize = 16;

/// Lists by which processes count together, and the secret by which they name things alike, so that
/// the store keeps neither names nor what is counted.
pub struct SharedCount {
    lists: Arc<dyn SharedLists>,
    secret: Secret,
}

impl SharedCount {
    /// Counts with all processes that have the same store and secret.
    pub fn new(lists: Arc<dyn SharedLists>, secret: Secret) -> SharedCount {
        SharedCount { lists, secret }
    }

    /// Adds something to what is counted under a name, if there is something to add, and returns how
    /// much was added within the length of a window; none if the store did not answer. What is added
    /// twice counts once.
    pub async fn count(&self, name: &str, added: Option<&[u8]>, seconds: u32) -> Option<u32> {
        let mac = self.secret.sign(name.as_bytes());
        let list = mac.first_chunk().expect("a signature has 32 bytes");
        let signed = added.map(|added| self.secret.sign(added)[..MEMBER_BYTES].to_vec());
        let window_ms = i64::from(seconds) * 1000;
        let change = ListChange {
            list: u64::from_be_bytes(*list),
            added: signed.into_iter().collect(),
            removed: Vec::new(),
            kept_ms: window_ms,
            newer_than_ms: window_ms,
        };
        let members = self.lists.change(&change).await?;
        // Some stores return the list as it was before the change.
        let is_known = |member: &Vec<u8>| members.iter().any(|known| known.member == *member);
        let unknown = change.added.iter().filter(|member| !is_known(member));
        u32::try_from(members.len() + unknown.count()).ok()
    }
}
