//! The keys by which a file is sealed, checked when it is opened.

use crate::inventory::personal::missing_key;
use rusqlite::{Connection, OptionalExtension as _, params};
use shared::sealing::{SealingKeys, prefix_of};

/// Notes the key that seals personal data from now on.
///
/// # Errors
/// A sentence for the operator if one that sealed some is not known here.
pub(super) fn check(db: &Connection, keys: &SealingKeys) -> Result<(), String> {
    match find_missing(db, keys) {
        Ok(None) => Ok(()),
        Ok(Some(id)) => Err(missing_key(&id)),
        Err(error) => Err(format!("the inventory is damaged: {error}")),
    }
}

fn find_missing(db: &Connection, keys: &SealingKeys) -> rusqlite::Result<Option<String>> {
    if let Some(id) = keys.ids().next() {
        db.execute(
            "insert into personal_key (id) values (?1) on conflict do nothing",
            [id],
        )?;
    }
    let mut query = db.prepare("select id from personal_key")?;
    let used = query.query_map([], |row| row.get(0))?;
    let used: Vec<String> = used.collect::<rusqlite::Result<_>>()?;
    for id in used {
        if keys.ids().any(|known| known == id) {
            continue;
        }
        let prefix = prefix_of(&id);
        let sealed = "select 1 from orders
                where substr(buyer_name, 1, ?2) = ?1 or substr(buyer_email, 1, ?2) = ?1
            union all select 1 from webhook_endpoint where substr(settings, 1, ?2) = ?1 limit 1";
        let length = prefix.chars().count() as i64;
        let sealed = db.query_row(sealed, params![prefix, length], |_| Ok(()));
        if sealed.optional()?.is_some() {
            return Ok(Some(id));
        }
        db.execute("delete from personal_key where id = ?1", [&id])?;
    }
    Ok(None)
}
