//! The records of what frameworks keep: one for each key, so that a write costs what it writes.

use super::fields::{Fields, Reader};
use super::key;
use master_core::RegistryOp;
use proto::{FrameworkId, FrameworkInfo, Limits};
use std::sync::Arc;
use store::Batch;

/// Neither ids nor keys have control characters, so a NUL parts them.
fn entry_key(framework_id: &FrameworkId, name: &str) -> Vec<u8> {
    let mut key = key(b'k', framework_id.as_str());
    key.push(0);
    key.extend_from_slice(name.as_bytes());
    key
}

pub(super) fn write(op: &RegistryOp, batch: &mut Batch) {
    match op {
        RegistryOp::OpenState { info, registered } => {
            let Some(id) = &info.id else { return };
            let fields = Fields::default().message(info).int(registered.as_nanos());
            batch.put(key(b's', id.as_str()), fields.0);
        }
        RegistryOp::PutState { framework_id, key, value, version, write } => {
            let mut fields = Fields::default().int(*version).bytes(value);
            if let Some(write) = write {
                fields = fields.int(*write);
            }
            batch.put(entry_key(framework_id, key), fields.0);
        }
        RegistryOp::DeleteState { framework_id, key: name, version } => {
            batch.delete(entry_key(framework_id, name));
            batch.put(key(b'v', framework_id.as_str()), Fields::default().int(*version).0);
        }
        RegistryOp::ForgetState { framework_id, keys } => {
            keys.iter().for_each(|name| batch.delete(entry_key(framework_id, name)));
            batch.delete(key(b'v', framework_id.as_str()));
            batch.delete(key(b's', framework_id.as_str()));
        }
        _ => {}
    }
}

/// Reads a record of one of these kinds.
pub(super) fn read(
    key: &[u8],
    fields: &mut Reader<'_>,
    limits: &Limits,
) -> Result<RegistryOp, String> {
    let name = key.get(2..).and_then(|name| std::str::from_utf8(name).ok());
    let name = name.ok_or_else(|| "has no readable name".to_owned())?;
    let framework = |id: &str| FrameworkId::new(id).map_err(|error| error.to_string());
    match key.first() {
        Some(b's') => {
            let info: FrameworkInfo = fields.message(limits)?;
            Ok(RegistryOp::OpenState { info, registered: fields.time()? })
        }
        Some(b'k') => {
            let parted = name.split_once('\0').ok_or_else(|| "names no key".to_owned())?;
            let (framework_id, key) = (framework(parted.0)?, Arc::from(parted.1));
            let (version, value) = (fields.int()?, fields.bytes()?.into());
            // Not every write has one.
            let write = if fields.0.is_empty() { None } else { Some(fields.int()?) };
            Ok(RegistryOp::PutState { framework_id, key, value, version, write })
        }
        _ => {
            let (framework_id, key) = (framework(name)?, Arc::from(""));
            Ok(RegistryOp::DeleteState { framework_id, key, version: fields.int()? })
        }
    }
}
