//! Why there is no image: the image, the disk, or nobody waits.

use crate::Digest;
use std::io;

/// Why there is no image of a name.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// What was asked for cannot be the name of an image.
    #[error("{name:?} is no name of an image: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Nothing of that name is in the store.
    #[error("there is no image {name:?} in {store} (looked for {looked_for})")]
    Missing {
        /// The name.
        name: String,
        /// The operator's store.
        store: String,
        /// What would have been an image of that name.
        looked_for: String,
    },
    /// Something is there that is no image, or not one for this machine.
    #[error("the image {name:?} cannot be used: {problem}")]
    Unfit {
        /// The name.
        name: String,
        /// Why.
        problem: String,
    },
    /// The content is not what its digest says.
    #[error(
        "{what} of the image {name:?} is damaged: its digest is {found}, and {expected} was promised"
    )]
    Damaged {
        /// The name.
        name: String,
        /// Which part.
        what: String,
        /// What was promised.
        expected: Digest,
        /// What was found.
        found: Digest,
    },
    /// The disk, or the operator's files, could not be worked with: no fault of the image.
    #[error("unpacking the image {name:?}: {doing}: {source}")]
    Disk {
        /// The name.
        name: String,
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody waits for it any more.
    #[error("unpacking the image {name:?} was given up")]
    GivenUp {
        /// The name.
        name: String,
    },
}

impl ImageError {
    /// Whether another attempt may end otherwise without anybody changing the image.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Disk { .. } | Self::GivenUp { .. })
    }
}

/// Why a part of the work ended, before anybody says of which image.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The image is at fault, as a clause.
    Unfit(String),
    Damaged {
        what: String,
        expected: Digest,
        found: Digest,
    },
    Disk {
        doing: String,
        source: io::Error,
    },
    GivenUp,
}

impl Fault {
    pub(crate) fn of(self, name: &str) -> ImageError {
        let name = name.to_owned();
        match self {
            Self::Unfit(problem) => ImageError::Unfit { name, problem },
            Self::Damaged { what, expected, found } => {
                ImageError::Damaged { name, what, expected, found }
            }
            Self::Disk { doing, source } => ImageError::Disk { name, doing, source },
            Self::GivenUp => ImageError::GivenUp { name },
        }
    }

    /// For `map_err`: what was being done.
    pub(crate) fn disk<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |error| Self::Disk { doing: doing.into(), source: error.into() }
    }

    /// For `map_err` of reading what an image brought: data that cannot be understood are its
    /// fault, everything else is the disk's.
    pub(crate) fn reading(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            let what = what.into();
            match error.kind() {
                io::ErrorKind::InvalidData
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::FileTooLarge
                | io::ErrorKind::Other => Self::Unfit(format!("{what}: {error}")),
                _ => Self::Disk { doing: format!("reading {what}"), source: error },
            }
        }
    }
}
