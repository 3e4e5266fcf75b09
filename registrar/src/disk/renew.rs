//! What is whole of a damaged disk, in a fresh database.
//!
//! Deleting a record that cannot be read, or writing over it, works as long as only the record is
//! damaged. Where the database cannot read its own page, it stays damaged for ever, and ends the
//! member whenever a write happens upon it.

use super::load::{Found, Mended};
use super::{Head, PIECE_PARTS, pair, parts_of, put_meta, put_parts, run_key, runs_of};
use crate::DiskError;
use registrar_core::Entry;
use store::{Batch, Storage, Store};

/// Puts what was found and mended into a fresh database in the place of the damaged one. A crash on
/// the way leaves what there was.
pub(super) fn renew(store: Store, found: &Found, mended: &Mended) -> Result<Store, DiskError> {
    tracing::warn!(
        dir = %store.dir().display(),
        "the log is damaged: what is whole of it goes into a fresh database"
    );
    let fresh = store.beside()?;
    let mut batch = Batch::new();
    match (&mended.snapshot, &found.known) {
        (Some((meta, content)), _) => {
            let all = parts_of(content.len());
            for first in (0..all).step_by(PIECE_PARTS as usize) {
                let mut piece = Batch::new();
                put_parts(meta.index, content, first..all.min(first + PIECE_PARTS), &mut piece);
                fresh.commit(piece)?;
            }
            put_meta(meta, content, &mut batch);
        }
        (None, Some(known)) => batch.put(*b"m", known.encode()),
        (None, None) => {}
    }
    let (mut number, mut piece) = (0, Batch::new());
    for run in runs_of(&found.log.entries) {
        number += 1;
        piece.put(run_key(number), Entry::encode_run(run));
        if piece.len() >= PIECE_PARTS as usize {
            fresh.commit(std::mem::replace(&mut piece, Batch::new()))?;
        }
    }
    fresh.commit(piece)?;
    batch.put(*b"t", pair(mended.compacted.0, mended.compacted.1));
    batch.put(*b"b", found.starts.to_le_bytes());
    if mended.forgot {
        batch.put(*b"f", Vec::new());
    }
    let last = found.log.entries.last().map_or(mended.compacted.0, Entry::index);
    let head = Head { last, next_run: number + 1, ..found.head };
    batch.put(*b"h", head.encode(found.commits + 1));
    fresh.commit(batch)?;
    Ok(store.replaced_by(fresh)?)
}
