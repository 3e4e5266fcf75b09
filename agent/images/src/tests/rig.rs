//! Archives, layouts and a store to put them in.

use crate::{Digest, Image, ImageError, Limits, Store};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

pub(super) struct Rig {
    _dir: tempfile::TempDir,
    pub(super) sources: PathBuf,
    pub(super) unpacked: PathBuf,
    /// What nothing may ever touch.
    pub(super) outside: PathBuf,
    pub(super) store: Store,
}

pub(super) fn rig() -> Rig {
    with(Limits { keep_free: 0, ..Limits::default() })
}

pub(super) fn with(limits: Limits) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let [sources, unpacked, outside] =
        ["sources", "unpacked", "outside"].map(|name| dir.path().join(name));
    fs::create_dir(&sources).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    let store = Store::open(sources.clone(), unpacked.clone(), limits).unwrap();
    Rig { _dir: dir, sources, unpacked, outside, store }
}

impl Rig {
    pub(super) fn provide(&self, name: &str) -> Result<Image, ImageError> {
        self.store.provide(name, &|| true)
    }

    /// The error of a name that must not work, of which nothing may stay.
    pub(super) fn refusal(&self, name: &str) -> String {
        let error = self.provide(name).expect_err("it must be refused");
        assert_eq!(self.left(), Vec::<String>::new(), "{error}");
        assert!(!error.is_passing(), "{error}");
        error.to_string()
    }

    /// The refusal of a plain archive.
    pub(super) fn refused(&self, archive: &[u8]) -> String {
        self.put("bad.tar", archive);
        self.refusal("bad")
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.sources.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// What stands unpacked, finished or not.
    pub(super) fn left(&self) -> Vec<String> {
        let names = fs::read_dir(&self.unpacked).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != "known").collect();
        names.sort();
        names
    }

    /// Nothing outside was read into the image, written, or removed.
    pub(super) fn assert_outside_untouched(&self) {
        let names: Vec<_> = fs::read_dir(&self.outside).unwrap().map(|e| e.unwrap()).collect();
        assert_eq!(names.len(), 1);
        assert_eq!(fs::read_to_string(self.outside.join("secret")).unwrap(), "secret");
    }
}

/// An archive under way.
pub(super) struct Archive(tar::Builder<Vec<u8>>);

pub(super) fn archive() -> Archive {
    Archive(tar::Builder::new(Vec::new()))
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(1000);
    header.set_gid(100);
    header.set_mtime(1_000_000_000);
    header.set_size(size);
    header
}

impl Archive {
    /// An entry with its name as it is, however strange.
    pub(super) fn raw(mut self, name: &str, header: &mut tar::Header, data: &[u8]) -> Self {
        if name.len() >= 100 {
            let mut long = self::header(tar::EntryType::GNULongName, 0o644, name.len() as u64 + 1);
            let mut bytes = name.as_bytes().to_vec();
            bytes.push(0);
            long.as_mut_bytes()[..13].copy_from_slice(b"././@LongLink");
            long.set_cksum();
            self.0.append(&long, &*bytes).unwrap();
        }
        let kept = name.len().min(100);
        header.as_mut_bytes()[..kept].copy_from_slice(&name.as_bytes()[..kept]);
        header.set_cksum();
        self.0.append(header, data).unwrap();
        self
    }

    pub(super) fn file(self, name: &str, text: &str) -> Self {
        self.file_mode(name, text, 0o644)
    }

    pub(super) fn file_mode(self, name: &str, text: &str, mode: u32) -> Self {
        let mut header = header(tar::EntryType::Regular, mode, text.len() as u64);
        self.raw(name, &mut header, text.as_bytes())
    }

    /// A layer within an archive of an image.
    pub(super) fn raw_layer(self, name: &str, bytes: &[u8]) -> Self {
        let mut header = header(tar::EntryType::Regular, 0o644, bytes.len() as u64);
        self.raw(name, &mut header, bytes)
    }

    pub(super) fn dir(self, name: &str, mode: u32) -> Self {
        self.raw(name, &mut header(tar::EntryType::Directory, mode, 0), b"")
    }

    pub(super) fn kind(self, name: &str, kind: tar::EntryType) -> Self {
        self.raw(name, &mut header(kind, 0o644, 0), b"")
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.link(name, target, tar::EntryType::Symlink)
    }

    pub(super) fn hard_link(self, name: &str, target: &str) -> Self {
        self.link(name, target, tar::EntryType::Link)
    }

    fn link(self, name: &str, target: &str, kind: tar::EntryType) -> Self {
        let mut header = header(kind, 0o777, 0);
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        self.raw(name, &mut header, b"")
    }

    /// A file that says to be larger than it is.
    pub(super) fn boast(self, name: &str, size: u64) -> Self {
        self.raw(name, &mut header(tar::EntryType::Regular, 0o644, size), b"")
    }

    /// Attributes of the next entry.
    pub(super) fn pax(self, attributes: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (key, value) in attributes {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length += 1;
            }
            text += &format!("{length} {key}={value}\n");
        }
        let mut header = header(tar::EntryType::XHeader, 0o644, text.len() as u64);
        self.raw("attributes", &mut header, text.as_bytes())
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// The files of an OCI layout, or of what `docker save` writes.
#[derive(Clone, Default)]
pub(super) struct Files(pub(super) BTreeMap<String, Vec<u8>>);

pub(super) fn hex(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()
}

impl Files {
    fn blob(&mut self, bytes: &[u8]) -> String {
        self.0.insert(format!("blobs/sha256/{}", hex(bytes)), bytes.to_vec());
        format!("sha256:{}", hex(bytes))
    }

    /// An image layout; of each layer the archive, and how it is kept.
    pub(super) fn layout(layers: &[(&[u8], &[u8])], config: &str, name: &str) -> Self {
        let mut files = Self::default();
        files.0.insert("oci-layout".into(), b"{\"imageLayoutVersion\":\"1.0.0\"}".to_vec());
        let diff_ids: Vec<String> =
            layers.iter().map(|(plain, _)| format!("\"sha256:{}\"", hex(plain))).collect();
        let architecture = crate::settings::architecture();
        let config = format!(
            "{{\"os\":\"linux\",\"architecture\":\"{architecture}\",\"config\":{config},\
             \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[{}]}}}}",
            diff_ids.join(",")
        );
        let config = files.blob(config.as_bytes());
        let layers: Vec<String> = layers
            .iter()
            .map(|(_, kept)| format!("{{\"digest\":\"{}\"}}", files.blob(kept)))
            .collect();
        let manifest = format!(
            "{{\"schemaVersion\":2,\"config\":{{\"digest\":\"{config}\"}},\"layers\":[{}]}}",
            layers.join(",")
        );
        let manifest = files.blob(manifest.as_bytes());
        let index = format!(
            "{{\"manifests\":[{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
             \"digest\":\"{manifest}\",\"annotations\":{{\"org.opencontainers.image.ref.name\":\
             \"{name}\"}}}}]}}"
        );
        files.0.insert("index.json".into(), index.into_bytes());
        files
    }

    pub(super) fn put(&self, rig: &Rig, name: &str) {
        for (file, bytes) in &self.0 {
            rig.put(&format!("{name}/{file}"), bytes);
        }
    }

    pub(super) fn archived(&self) -> Vec<u8> {
        let mut archive = archive();
        for (name, bytes) in &self.0 {
            let mut header = header(tar::EntryType::Regular, 0o644, bytes.len() as u64);
            archive = archive.raw(name, &mut header, bytes);
        }
        archive.done()
    }
}

pub(super) fn read(image: &Image, path: &str) -> String {
    fs::read_to_string(image.root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(super) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
