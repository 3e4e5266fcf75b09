//! Tokens: who has that of an executor speaks for it.
//!
//! A token is the name of the executor's container and its HMAC-SHA-256 under a secret of the agent,
//! which is in its checkpoint: so tokens outlive the agent's process, and none is kept.

use proto::ContainerId;
use sha2::{Digest, Sha256};
use std::fmt::Write;

const BLOCK: usize = 64;
const BYTES: usize = 32;

/// The agent's secret.
#[derive(Clone)]
pub(crate) struct Secret([u8; BYTES]);

impl Secret {
    /// A new one, of the system's entropy.
    pub(crate) fn new() -> Self {
        let (one, two) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
        let mut bytes = [0; BYTES];
        bytes[..16].copy_from_slice(one.as_bytes());
        bytes[16..].copy_from_slice(two.as_bytes());
        Self(bytes)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The token of an executor.
    pub(crate) fn token(&self, container_id: &ContainerId) -> String {
        let mut token = format!("{container_id}.");
        for byte in self.mac(container_id.as_str()) {
            // A String takes whatever it is given.
            let _ = write!(token, "{byte:02x}");
        }
        token
    }

    /// Whose token this is; none if it is nobody's.
    pub(crate) fn holder(&self, token: &str) -> Option<ContainerId> {
        let (container_id, _) = token.rsplit_once('.')?;
        let container_id = ContainerId::new(container_id).ok()?;
        same(self.token(&container_id).as_bytes(), token.as_bytes()).then_some(container_id)
    }

    /// RFC 2104, with a key that is shorter than a block.
    fn mac(&self, text: &str) -> [u8; 32] {
        let pad = |with: u8| {
            let mut block = [with; BLOCK];
            block.iter_mut().zip(self.0).for_each(|(byte, key)| *byte ^= key);
            block
        };
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
        Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
    }
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
