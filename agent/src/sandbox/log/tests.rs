//! A log is read as one, whatever happens to its files meanwhile.

use super::super::packing;
use super::*;
use std::fs;
use std::path::Path;

fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    fs::write(dir.join(name), bytes).unwrap();
}

/// Three parts and the present file: 'a'..'c' in lines of two bytes.
fn log() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "stdout@0-6", "a\na\na\n");
    write(dir.path(), "stdout@6-10", "b\nb\n");
    write(dir.path(), "stdout@10-12", "c\n");
    write(dir.path(), "stdout", "d\nd\ne");
    dir
}

fn sandbox(dir: &tempfile::TempDir) -> Sandbox {
    Sandbox::open(dir.path()).unwrap()
}

fn read_from(dir: &tempfile::TempDir, at: u64, most: usize) -> String {
    let mut reader = sandbox(dir).into_log("stdout", at);
    let mut all = Vec::new();
    loop {
        let data = reader.read(most).unwrap();
        if data.is_empty() {
            return String::from_utf8(all).unwrap();
        }
        assert!(data.len() <= most);
        all.extend(data);
    }
}

#[test]
fn a_log_is_one_over_all_its_files_packed_or_not() {
    const ALL: &str = "a\na\na\nb\nb\nc\nd\nd\ne";
    let dir = log();
    for packed in [false, true] {
        if packed {
            packing::pack_all(dir.path(), || false).unwrap();
        }
        assert_eq!(sandbox(&dir).log_bounds("stdout").unwrap(), (0, 17));
        for most in [1, 3, 100] {
            for at in 0..=17 {
                assert_eq!(read_from(&dir, at, most), ALL[at as usize..], "{packed} {at} {most}");
            }
        }
        assert_eq!(read_from(&dir, 1_000, 10), "");
    }
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(read_from(&empty, 0, 10), "");
    assert_eq!(sandbox(&empty).log_bounds("stdout").unwrap(), (0, 0));
}

#[test]
fn what_was_removed_is_left_out_and_so_is_what_overlaps() {
    let dir = log();
    fs::remove_file(dir.path().join("stdout@0-6")).unwrap();
    assert_eq!(sandbox(&dir).log_bounds("stdout").unwrap(), (6, 17));
    assert_eq!(read_from(&dir, 0, 100), "b\nb\n".to_owned() + "c\nd\nd\ne");
    fs::remove_file(dir.path().join("stdout@10-12")).unwrap();
    assert_eq!(read_from(&dir, 6, 2), "b\nb\nd\nd\ne");
    // Names that a task made: as many bytes as they say, at the most, and none twice.
    write(dir.path(), "stdout@7-9", "xx");
    write(dir.path(), "stdout@12-14", "yyyyyyyy");
    write(dir.path(), "stdout@14-99", "z");
    assert_eq!(read_from(&dir, 6, 100).len(), 4 + 2 + 1 + 5);
}

#[test]
fn a_packed_part_that_cannot_be_unpacked_is_an_error() {
    let dir = log();
    fs::remove_file(dir.path().join("stdout@0-6")).unwrap();
    write(dir.path(), "stdout@0-6.gz", "no gzip at all");
    let refused = sandbox(&dir).into_log("stdout", 2).read(9);
    assert!(matches!(refused, Err(SandboxError::Io { .. })), "{refused:?}");
    assert!(sandbox(&dir).log_tail("stdout", 1_000).is_err());
}

#[test]
fn a_reader_loses_nothing_when_files_are_cut_packed_and_removed_under_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = sandbox(&dir).into_log("stdout", 0);
    assert_eq!(reader.read(9).unwrap(), b"");
    write(dir.path(), "stdout", "one\n");
    assert_eq!(reader.read(9).unwrap(), b"one\n");
    assert_eq!(reader.read(9).unwrap(), b"");
    // Written before it was cut off, and not seen yet.
    write(dir.path(), "stdout", "one\ntwo\n");
    fs::rename(dir.path().join("stdout"), dir.path().join("stdout@0-8")).unwrap();
    write(dir.path(), "stdout", "three\n");
    packing::pack_all(dir.path(), || false).unwrap();
    fs::remove_file(dir.path().join("stdout@0-8.gz")).unwrap();
    assert_eq!(reader.read(9).unwrap(), b"two\n", "what it has open it can read");
    // The directory has no part left that says where the present file begins.
    write(dir.path(), "stdout@0-8", "one\ntwo\n");
    assert_eq!(reader.read(99).unwrap(), b"three\n");
    assert_eq!((reader.read(9).unwrap(), reader.at()), (Vec::new(), 14));
    // In the middle of a part that is packed meanwhile.
    let mut reader = sandbox(&dir).into_log("stdout", 0);
    assert_eq!(reader.read(3).unwrap(), b"one");
    packing::pack_all(dir.path(), || false).unwrap();
    assert_eq!(reader.read(99).unwrap(), b"\ntwo\n");
    assert_eq!(reader.read(99).unwrap(), b"three\n");
}

#[test]
fn a_tail_is_counted_in_lines_over_all_files() {
    let dir = log();
    for _ in 0..2 {
        let tail = |lines| read_from(&dir, sandbox(&dir).log_tail("stdout", lines).unwrap().0, 99);
        assert_eq!((tail(0), tail(1), tail(2)), (String::new(), "e".into(), "d\ne".into()));
        assert_eq!((tail(3), tail(4)), ("d\nd\ne".into(), "c\nd\nd\ne".into()));
        assert_eq!((tail(6), tail(7)), ("b\nb\nc\nd\nd\ne".into(), "a\nb\nb\nc\nd\nd\ne".into()));
        assert_eq!((tail(9), tail(usize::MAX)), (read_from(&dir, 0, 99), read_from(&dir, 0, 99)));
        packing::pack_all(dir.path(), || false).unwrap();
    }
    write(dir.path(), "stdout", "d\ne\n");
    let tail = |lines| read_from(&dir, sandbox(&dir).log_tail("stdout", lines).unwrap().0, 99);
    assert_eq!((tail(1), tail(3)), ("e\n".into(), "c\nd\ne\n".into()));
    // Lines longer than what is looked at first.
    let long = "x".repeat(3 * BLOCK);
    write(dir.path(), "stdout", format!("d\n{long}\n{long}"));
    assert_eq!(tail(3).len(), 6 * BLOCK + 3);
}

#[test]
fn what_was_written_since_a_time_is_found_by_marks() {
    let dir = log();
    let marks = |marks: &[(u64, u64)]| {
        marks.iter().flat_map(|(at, ms)| parts::mark(*at, *ms)).collect::<Vec<u8>>()
    };
    write(dir.path(), ".stdout@0-6.times", marks(&[(0, 10_000), (2, 20_000), (4, 30_000)]));
    write(dir.path(), ".stdout@6-10.times", marks(&[(6, 40_000)]));
    write(dir.path(), ".stdout@10-12.times", marks(&[(10, 40_500)]));
    write(dir.path(), ".stdout.times", marks(&[(12, 50_000), (14, 60_000)]));
    let since = |ms| sandbox(&dir).log_since("stdout", ms).unwrap();
    assert_eq!([since(0), since(9_999), since(10_000), since(10_999)], [0, 0, 0, 0]);
    // All before the mark at 20 s was written before 11 s.
    assert_eq!([since(11_000), since(19_999), since(20_500), since(21_000)], [2, 2, 2, 4]);
    assert_eq!([since(31_000), since(40_400), since(40_600), since(41_500)], [6, 6, 10, 12]);
    assert_eq!([since(59_999), since(60_999), since(61_000), since(u64::MAX)], [14, 14, 17, 17]);
    // Half a mark at the end, and a file that is none.
    let mut half = marks(&[(12, 50_000), (14, 60_000)]);
    half.truncate(MARK + 5);
    write(dir.path(), ".stdout.times", half);
    assert_eq!([since(50_000), since(51_000)], [12, 17]);
    // What is not there any more is not the answer, whatever marks say.
    fs::remove_file(dir.path().join("stdout@0-6")).unwrap();
    assert_eq!(since(5), 6);
}

#[test]
fn a_log_that_lasted_no_second_is_of_the_time_of_its_file() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "stdout", "a\n");
    let changed = fs::metadata(dir.path().join("stdout")).unwrap().modified().unwrap();
    let changed = changed.duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let since = |ms| sandbox(&dir).log_since("stdout", ms).unwrap();
    assert_eq!((since(changed - 10_000), since(changed), since(changed + 1)), (0, 0, 2));
}

#[test]
fn a_tail_and_its_end_are_of_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stdout");
    std::fs::write(&path, "a\nb\nc\n").unwrap();
    let file = std::fs::File::open(&path).unwrap();
    // Written after the end was seen.
    std::fs::write(&path, "a\nb\nc\nd\ne\nf\n").unwrap();
    assert_eq!(plain_ends(&file, 6, 0, 2).unwrap(), [3, 5]);
    assert_eq!(sandbox(&dir).log_tail("stdout", 2).unwrap(), (8, 12));
}
