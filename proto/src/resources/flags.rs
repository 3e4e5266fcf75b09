//! Resources as command lines write and read them. Only what is printed is decided here: nothing
//! is read.

use super::{Piece, Resources};
use std::fmt;

impl Resources {
    /// The form of command lines: `cpus=0.5,mem=64,ports=[31000-31005]`. What is not plain says
    /// behind its name what it is. `nothing` stands where there is none.
    pub fn as_flags(&self, nothing: &'static str) -> impl fmt::Display {
        Flags { all: self, nothing }
    }
}

struct Flags<'a> {
    all: &'a Resources,
    nothing: &'static str,
}

impl fmt::Display for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all.is_empty() {
            return f.write_str(self.nothing);
        }
        for (at, Piece { name, flavor, value }) in self.all.pieces().iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{name}{flavor}={value}")?;
        }
        Ok(())
    }
}
