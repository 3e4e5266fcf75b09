//! Making a root file system of an image, next to where it will stand: it appears whole, or not at
//! all.

use super::source::{Name, Source};
use super::{CONFIG, Image, ROOT, Store, UNFINISHED, USED, discard};
use crate::Digest;
use crate::blobs::{self, Blobs};
use crate::compression::{self, Bounded};
use crate::digest::Hashing;
use crate::error::Fault;
use crate::layer::{self, Budget, Wanted};
use crate::manifest::{self, Recipe};
use crate::tree::Tree;
use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// What an entry of an archive takes besides its content, extensions included.
const ENTRY_BYTES: u64 = 4096;

impl Store {
    pub(super) fn unpack(
        &self,
        name: &Name<'_>,
        source: &Source,
        wanted: Wanted<'_>,
    ) -> Result<Image, Fault> {
        let unfinished = self.fresh(UNFINISHED);
        let made = self.unpack_into(&unfinished, name, source, wanted);
        let id = match made {
            Ok(id) => id,
            Err(fault) => {
                // What stays is removed before the next collection.
                let _ = discard(&unfinished);
                return Err(fault);
            }
        };
        let image = self.held(id)?;
        image.ok_or_else(|| Fault::Disk {
            doing: "using what was unpacked".into(),
            source: io::ErrorKind::NotFound.into(),
        })
    }

    fn unpack_into(
        &self,
        dir: &Path,
        name: &Name<'_>,
        source: &Source,
        wanted: Wanted<'_>,
    ) -> Result<Digest, Fault> {
        let mut note = None;
        let (blobs, plain) = match source {
            Source::Root(_) => return Err(Fault::Unfit("it needs no unpacking".into())),
            Source::Layout(path) => (Blobs::directory(path)?, None),
            Source::Archive(path) => {
                // Before it is read: if it changes meanwhile, this will not be found again.
                note = Some(self.note(name, path)?);
                let file =
                    File::open(path).map_err(Fault::disk(format!("opening {}", path.display())))?;
                let file = blobs::unpacked(file, &self.unpacked, self.most_read())?;
                let again = file.try_clone().map_err(Fault::disk("opening the archive"))?;
                (Blobs::archive(file)?, Some(again))
            }
        };
        let id = match (manifest::recipe(&blobs, name.tag, name.digest)?, plain) {
            (Some(recipe), _) => self.make_layers(dir, &blobs, &recipe, wanted)?,
            (None, Some(file)) => self.make_plain(dir, name, file, wanted)?,
            (None, None) => return Err(Fault::Unfit("it is no image layout".into())),
        };
        if let Some(note) = note {
            std::fs::write(note, id.to_string()).map_err(Fault::disk("noting what it holds"))?;
        }
        Ok(id)
    }

    /// What may be read of one blob, unpacked.
    fn most_read(&self) -> u64 {
        self.limits.bytes.saturating_add(self.limits.entries.saturating_mul(ENTRY_BYTES))
    }

    fn budget(&self) -> Budget {
        let limits = self.limits;
        Budget {
            bytes: limits.bytes,
            entries: limits.entries,
            keep_free: limits.keep_free,
            unlooked: layer::LOOK_BYTES,
        }
    }

    fn make_layers(
        &self,
        dir: &Path,
        blobs: &Blobs,
        recipe: &Recipe,
        wanted: Wanted<'_>,
    ) -> Result<Digest, Fault> {
        if self.unpacked.join(recipe.id.hex()).join(ROOT).is_dir() {
            return Ok(recipe.id);
        }
        let tree = begin(dir)?;
        let mut budget = self.budget();
        for layer in &recipe.layers {
            let mut packed = layer.open(blobs)?;
            let reading = || Fault::reading(format!("its layer {}", layer.name));
            let content = compression::unpacked(&mut packed).map_err(reading())?;
            let mut content = Hashing::new(Bounded::new(content, self.most_read()));
            layer::apply(&mut content, &tree, &mut budget, wanted)?;
            let unpacked = content.finish().map_err(reading())?;
            layer.check(packed.finish().map_err(reading())?, unpacked)?;
        }
        self.finish(dir, &tree, &recipe.config, &budget, recipe.id)
    }

    /// A root file system as it is, named by what it holds.
    fn make_plain(
        &self,
        dir: &Path,
        name: &Name<'_>,
        file: File,
        wanted: Wanted<'_>,
    ) -> Result<Digest, Fault> {
        use std::io::Seek as _;
        let mut file = file;
        file.seek(io::SeekFrom::Start(0)).map_err(Fault::disk("reading the archive"))?;
        let tree = begin(dir)?;
        let mut budget = self.budget();
        let reader = io::BufReader::with_capacity(128 << 10, file);
        let mut content = Hashing::new(Bounded::new(reader, self.most_read()));
        layer::apply(&mut content, &tree, &mut budget, wanted)?;
        let id = content.finish().map_err(Fault::reading("the archive"))?;
        if let Some(expected) = name.digest.filter(|expected| *expected != id) {
            return Err(Fault::Damaged { what: "the archive".into(), expected, found: id });
        }
        if budget.entries == self.limits.entries {
            return Err(Fault::Unfit("it is an empty archive".into()));
        }
        self.finish(dir, &tree, b"{}", &budget, id)
    }

    /// Gives what was made its name, once it is durable.
    fn finish(
        &self,
        dir: &Path,
        tree: &Tree,
        config: &[u8],
        budget: &Budget,
        id: Digest,
    ) -> Result<Digest, Fault> {
        let bytes = self.limits.bytes - budget.bytes;
        let files = self.limits.entries - budget.entries;
        let whole = bytes.saturating_add(files.saturating_mul(ENTRY_BYTES));
        let doing = "writing its configuration";
        std::fs::write(dir.join(CONFIG), config).map_err(Fault::disk(doing))?;
        std::fs::write(dir.join(USED), whole.to_string()).map_err(Fault::disk(doing))?;
        tree.sync()?;
        let place = self.unpacked.join(id.hex());
        match std::fs::rename(dir, &place) {
            Ok(()) => Ok(id),
            // The same by another name.
            Err(_) if place.join(ROOT).is_dir() => {
                let _ = discard(dir);
                Ok(id)
            }
            Err(source) => Err(Fault::Disk { doing: "giving it its name".into(), source }),
        }
    }
}

fn begin(dir: &Path) -> Result<Tree, Fault> {
    let root = dir.join(ROOT);
    let doing = || Fault::disk(format!("making {}", root.display()));
    std::fs::DirBuilder::new().mode(0o700).create(dir).map_err(doing())?;
    std::fs::DirBuilder::new().mode(0o755).create(&root).map_err(doing())?;
    Tree::open(&root)
}
