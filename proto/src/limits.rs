//! Every limit on what a peer may send, in one place, checked before anything is allocated.

/// Limits on messages from peers. The defaults serve production; tests set what they need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one request body, gRPC message or RecordIO record.
    pub body_bytes: usize,
    /// Nesting of messages, objects and lists.
    pub depth: usize,
    /// Bytes of one name: resources, attributes, roles, capabilities.
    pub name_bytes: usize,
    /// Bytes of one free text or opaque value: messages, commands, data, urls.
    pub text_bytes: usize,
    /// Elements of one list.
    pub list_items: usize,
}

impl Limits {
    /// The defaults, as a constant.
    pub const DEFAULT: Self = Self {
        body_bytes: 4 * 1024 * 1024,
        depth: 64,
        name_bytes: 255,
        text_bytes: 2 * 1024 * 1024,
        list_items: 65_536,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
