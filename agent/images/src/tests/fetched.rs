//! Archives that are no images: unpacked where they are wanted, and nowhere else.

use crate::{ArchiveError, Form, Limits, unpack};
use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 20, keep_free: 0 };

fn unpacked(bytes: &[u8], form: &Form, dir: &Path) -> Result<(), ArchiveError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    unpack(file, form, File::open(dir).unwrap().into(), LIMITS)
}

fn refusal(bytes: &[u8], form: &Form) -> String {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("sandbox");
    fs::create_dir(&dir).unwrap();
    let refusal = unpacked(bytes, form, &dir).unwrap_err();
    assert!(matches!(refusal, ArchiveError::Unfit(_)), "{refusal}");
    let beside: Vec<_> = fs::read_dir(base.path()).unwrap().collect();
    assert_eq!(beside.len(), 1, "it left the directory: {beside:?}");
    refusal.to_string()
}

/// A zip of files and links: name, mode, content.
fn zip(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, mode, content) in entries {
        let options = zip::write::SimpleFileOptions::default().unix_permissions(*mode);
        match mode & 0o170_000 {
            0o120_000 => {
                writer.add_symlink(*name, std::str::from_utf8(content).unwrap(), options).unwrap();
            }
            _ => {
                writer.start_file(*name, options).unwrap();
                writer.write_all(content).unwrap();
            }
        }
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn a_zip_keeps_links_and_modes_but_no_rights() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = zip(&[
        ("a/run", 0o104_755, b"run"),
        ("link", 0o120_777, b"a/run"),
        ("locked", 0o100_000, b"x"),
    ]);
    unpacked(&bytes, &Form::Zip, dir.path()).unwrap();
    let mode = |name: &str| {
        fs::symlink_metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!((mode("a/run"), mode("locked")), (0o755, 0o600));
    assert_eq!(fs::read_link(dir.path().join("link")).unwrap(), Path::new("a/run"));
    assert_eq!(fs::read(dir.path().join("link")).unwrap(), b"run");
}

#[test]
fn a_zip_cannot_leave_its_directory() {
    assert!(refusal(&zip(&[("../out", 0o100_644, b"x")]), &Form::Zip).contains("cannot be"));
    // A link out of it leads to a place in it: what is written behind it stays inside.
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("sandbox");
    fs::create_dir(&dir).unwrap();
    let outside = base.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let target = outside.to_str().unwrap();
    let bytes = zip(&[("l", 0o120_777, target.as_bytes()), ("l/file", 0o100_644, b"x")]);
    unpacked(&bytes, &Form::Zip, &dir).unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(dir.join(target.trim_start_matches('/')).join("file").exists());
}

#[test]
fn bombs_and_what_is_no_archive_are_refused() {
    let large = vec![0; (LIMITS.bytes + 1) as usize];
    let bomb = zip(&[("bomb", 0o100_644, &large)]);
    assert!(bomb.len() < 10_000);
    assert!(refusal(&bomb, &Form::Zip).contains("larger than is allowed (at bomb)"));
    let names: Vec<String> = (0..30).map(|n| format!("f{n}")).collect();
    let many: Vec<(&str, u32, &[u8])> =
        names.iter().map(|name| (name.as_str(), 0o100_644, &b""[..])).collect();
    assert!(refusal(&zip(&many), &Form::Zip).contains("more files"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&large).unwrap();
    let gzip = gzip.finish().unwrap();
    assert!(refusal(&gzip, &Form::Single("f".into())).contains("more than is allowed"));
    for form in [Form::Zip, Form::Tar] {
        refusal(b"", &form);
        refusal(b"this is no archive, and long enough to be looked at", &form);
    }
    let mut torn = zip(&[("f", 0o100_644, b"content that is long enough")]);
    torn.truncate(torn.len() / 2);
    refusal(&torn, &Form::Zip);
}

#[test]
fn what_is_there_is_replaced_and_the_directory_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.path().join("f"), "old").unwrap();
    unpacked(b"new", &Form::Single("f".into()), dir.path()).unwrap();
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"new");
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o700);
    header.set_uid(1);
    header.set_gid(1);
    header.set_size(0);
    builder.append_data(&mut header, "./", &b""[..]).unwrap();
    unpacked(&builder.into_inner().unwrap(), &Form::Tar, dir.path()).unwrap();
    let mode = fs::metadata(dir.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}
