//! One stream of a task, written and cut, by itself.

use super::*;

#[test]
fn a_writer_that_never_stops_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let directory = File::open(dir.path()).unwrap();
    let mut stream = Stream::new("stdout").unwrap();
    let write = stream.writable().unwrap().try_clone_to_owned().unwrap();
    // Less than usual for a user with very many pipes.
    let capacity = rustix::pipe::fcntl_getpipe_size(&write).unwrap();
    let (full, is_full) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        let mut write = File::from(write);
        let block = [b'y'; 4096];
        // As much as the pipe holds, and then until nobody reads any more.
        for _ in 0..capacity / block.len() {
            write.write_all(&block).unwrap();
        }
        full.send(()).unwrap();
        while write.write_all(&block).is_ok() {}
    });
    is_full.recv().unwrap();
    stream.drain(directory.as_fd(), LogPolicy::default(), &mut [0; 1024]);
    assert_eq!(stream.figures(), (capacity as u64, 0));
    drop(stream);
    writer.join().unwrap();
}

#[test]
fn who_prints_more_than_a_stream_may_is_held_up_until_the_next_period() {
    let dir = tempfile::tempdir().unwrap();
    let directory = File::open(dir.path()).unwrap();
    let mut stream = Stream::new("stdout").unwrap();
    let mut write = File::from(stream.writable().unwrap().try_clone_to_owned().unwrap());
    let mut print = |stream: &mut Stream| {
        write.write_all(&[b'y'; 2048]).unwrap();
        stream.carry(directory.as_fd(), LogPolicy::default(), &mut [0; 4096]);
    };
    print(&mut stream);
    assert_eq!(stream.held_until(), None);
    // As if it had been a flood, in a period that lasts.
    (stream.period, stream.in_period) = (Instant::now() + PERIOD, IN_PERIOD - 1);
    print(&mut stream);
    assert_eq!(stream.held_until(), Some(stream.period + PERIOD));
    // Another period.
    stream.period = Instant::now().checked_sub(PERIOD).unwrap();
    print(&mut stream);
    assert_eq!((stream.held_until(), stream.in_period), (None, 2048));
    assert_eq!(stream.figures(), (3 * 2048, 0), "all of it is stored");
}

/// All files of a directory by name, with their contents.
fn files(dir: &tempfile::TempDir) -> std::collections::BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect()
}

/// What of a log is there, in order, and the size of each part.
fn whole(dir: &tempfile::TempDir) -> (Vec<u8>, Vec<usize>) {
    let mut found = files(dir);
    let present = found.remove("stdout").unwrap_or_default();
    let mut parts: Vec<_> = found
        .into_iter()
        .filter_map(|(name, bytes)| Some((Part::parse("stdout", &name)?, bytes)))
        .collect();
    parts.sort();
    let sizes = parts.iter().map(|(part, bytes)| {
        assert_eq!(part.end - part.begin, bytes.len() as u64, "{part:?}");
        bytes.len()
    });
    let sizes = sizes.collect();
    (parts.into_iter().flat_map(|(_, bytes)| bytes).chain(present).collect(), sizes)
}

#[test]
fn a_log_is_cut_between_lines_and_not_a_byte_is_lost_or_doubled() {
    let policy = LogPolicy { part_bytes: 4096, parts: 1000 };
    for turn in [1, 7, 64, 1000, 4096, 70_000] {
        let dir = tempfile::tempdir().unwrap();
        let directory = File::open(dir.path()).unwrap();
        let mut stream = Stream::new("stdout").unwrap();
        let line = |n: usize| format!("{n} {}\n", "x".repeat(n * 31 % 500));
        let text: String = (0..400).map(line).collect();
        for bytes in text.as_bytes().chunks(turn) {
            stream.store(directory.as_fd(), policy, bytes);
        }
        assert!(stream.take_cut() && !stream.take_cut());
        let (all, sizes) = whole(&dir);
        assert_eq!(all, text.as_bytes(), "{turn}");
        assert!(sizes.len() > 10, "{sizes:?}");
        assert!(sizes.iter().all(|size| (4000..5000).contains(size)), "{turn}: {sizes:?}");
        for (name, bytes) in files(&dir).iter().filter(|(name, _)| name.contains('@')) {
            assert!(name.starts_with('.') || bytes.ends_with(b"\n"), "{name}");
        }
        assert_eq!(stream.figures(), (text.len() as u64, 0));
    }
}

#[test]
fn a_line_without_end_is_cut_and_only_so_many_parts_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let directory = File::open(dir.path()).unwrap();
    let mut stream = Stream::new("stdout").unwrap();
    let policy = LogPolicy { part_bytes: 4096, parts: 2 };
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
    for piece in bytes.chunks(1000) {
        stream.store(directory.as_fd(), policy, piece);
    }
    let (all, sizes) = whole(&dir);
    assert_eq!(sizes.len(), 2);
    assert!(sizes.iter().all(|size| *size as u64 <= 4096 + LINE), "{sizes:?}");
    assert!(bytes.ends_with(&all) && all.len() < 3 * (4096 + LINE as usize));
    assert!(files(&dir).len() <= 6, "times go with their parts: {:?}", files(&dir).keys());
    // Those that the agent has packed are removed as well.
    let oldest = files(&dir).into_keys().find(|name| name.starts_with("stdout@")).unwrap();
    let packed = dir.path().join(format!("{oldest}.gz"));
    std::fs::rename(dir.path().join(&oldest), &packed).unwrap();
    stream.store(directory.as_fd(), policy, &bytes[..200_000]);
    assert!(!packed.exists());
}

#[test]
fn a_task_that_stands_in_the_way_gets_one_long_file() {
    let dir = tempfile::tempdir().unwrap();
    let directory = File::open(dir.path()).unwrap();
    let mut stream = Stream::new("stdout").unwrap();
    let policy = LogPolicy { part_bytes: 4096, parts: 2 };
    std::fs::create_dir(dir.path().join("stdout@0-4096")).unwrap();
    let lines = "0123456\n".repeat(512);
    stream.store(directory.as_fd(), policy, lines.as_bytes());
    assert!(!stream.take_cut());
    stream.store(directory.as_fd(), policy, lines.as_bytes());
    assert!(stream.take_cut(), "a part later it is tried again");
    assert_eq!(whole(&dir), (lines.repeat(2).into_bytes(), vec![8192]));
    // Without a file there is nothing to be cut, and the next bytes have one again.
    std::fs::remove_file(dir.path().join("stdout@0-8192")).unwrap();
    stream.store(directory.as_fd(), policy, &lines.as_bytes()[..800]);
    std::fs::remove_file(dir.path().join("stdout")).unwrap();
    stream.store(directory.as_fd(), policy, lines.as_bytes());
    assert!(!stream.take_cut());
}

#[test]
fn times_are_marked_each_second_and_begin_with_the_first_byte() {
    let dir = tempfile::tempdir().unwrap();
    let directory = File::open(dir.path()).unwrap();
    let mut stream = Stream::new("stdout").unwrap();
    let policy = LogPolicy { part_bytes: 4096, parts: 2 };
    let mut store = |bytes: &str| stream.store(directory.as_fd(), policy, bytes.as_bytes());
    store("a\n");
    store("b\n");
    assert!(!files(&dir).contains_key(".stdout.times"), "none for what ends at once");
    // waits: for the time between two marks
    std::thread::sleep(MARK_EVERY);
    store("c\n");
    let marks = |name: &str| -> Vec<(u64, u64)> {
        let file = files(&dir).remove(name).unwrap_or_default();
        file.as_chunks().0.iter().map(|bytes| parts::mark_of(*bytes)).collect()
    };
    let [(0, first), (4, second)] = marks(".stdout.times")[..] else {
        panic!("{:?}", marks(".stdout.times"))
    };
    assert!((1000..30_000).contains(&(second - first)), "{first} {second}");
    store(&format!("{}\n", "x".repeat(4096)));
    store("d\n");
    assert_eq!(marks(".stdout@0-4103.times").len(), 2);
    assert_eq!(marks(".stdout.times")[0].0, 4103, "each file but the first begins with one");
}

#[test]
fn a_log_that_its_task_removes_or_renames_is_made_again() {
    let policy = LogPolicy { part_bytes: 4096, parts: 10 };
    for rename in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let directory = File::open(dir.path()).unwrap();
        let mut stream = Stream::new("stdout").unwrap();
        let mut store = |text: &str| stream.store(directory.as_fd(), policy, text.as_bytes());
        store("before\n");
        match rename {
            true => std::fs::rename(dir.path().join("stdout"), dir.path().join("mine")),
            false => std::fs::remove_file(dir.path().join("stdout")),
        }
        .unwrap();
        // It is noticed where it would be cut off at the latest.
        store(&format!("{}\n", "x".repeat(5000)));
        store("after\n");
        assert_eq!(files(&dir)["stdout"], b"after\n", "{rename}");
        for _ in 0..10 {
            store(&format!("{}\n", "y".repeat(5000)));
        }
        assert!(whole(&dir).1.len() >= 9, "and is cut as ever");
    }
}

#[test]
fn a_file_that_is_mostly_holes_is_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let directory = File::open(dir.path()).unwrap();
    // The file system may not take the longest; any beyond the bound will do.
    let sparse = File::create(dir.path().join("stdout")).unwrap();
    if sparse.set_len(FOUND + 1).is_err() {
        println!("not run: this file system has no files of that length");
        return;
    }
    let mut stream = Stream::new("stdout").unwrap();
    stream.store(directory.as_fd(), LogPolicy { part_bytes: 4096, parts: 2 }, b"text\n");
    assert_eq!(stream.figures(), (0, 5));
}
