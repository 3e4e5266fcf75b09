//! Who asks a server, and what is kept for how long.

use super::*;
use std::io::Write as _;
use std::sync::atomic::AtomicUsize;

const URI: &str = "http://me:secret@h/f";

fn cache(most: u64) -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path().join("c"), most).unwrap();
    (dir, cache)
}

/// Downloads this text, with a tag.
fn download(mut output: File, text: &str) -> Result<Option<Fetched>, Failure> {
    output.write_all(text.as_bytes()).unwrap();
    let marks = Marks { etag: Some("tag".to_owned()), ..Marks::default() };
    Ok(Some(Fetched { bytes: text.len() as u64, sha256: key(text), marks }))
}

fn text((mut file, sha256): (File, String)) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(sha256, key(&text));
    text
}

#[tokio::test]
async fn what_is_as_it_was_is_kept_and_no_uri_is_written_down() {
    let (_dir, cache) = cache(100);
    let got = cache.obtain(URI, async |marks, output| {
        assert_eq!(marks, Marks::default());
        download(output, "one")
    });
    assert_eq!(text(got.await.unwrap()), "one");
    // As another agent finds it.
    let cache = Cache::open(cache.dir.clone(), 100).unwrap();
    let got = cache.obtain(URI, async |marks, _| {
        assert_eq!(marks.etag.as_deref(), Some("tag"));
        Ok(None)
    });
    assert_eq!(text(got.await.unwrap()), "one");
    for entry in std::fs::read_dir(&cache.dir).unwrap().flatten() {
        assert!(!entry.file_name().to_string_lossy().contains("secret"));
        let content = std::fs::read_to_string(entry.path()).unwrap();
        assert!(!content.contains("secret") && !content.contains("h/f"), "{content}");
    }
    let newer = cache.obtain(URI, async |_, output| download(output, "two"));
    assert_eq!(text(newer.await.unwrap()), "two");
}

#[tokio::test]
async fn those_who_want_it_at_one_time_ask_once_also_when_it_fails() {
    let (_dir, cache) = cache(100);
    let asked = AtomicUsize::new(0);
    let (open, gate) = tokio::sync::watch::channel(false);
    let one = async |fails: bool| {
        let mut gate = gate.clone();
        cache
            .obtain(URI, async |_, output| {
                asked.fetch_add(1, Ordering::SeqCst);
                gate.wait_for(|open| *open).await.unwrap();
                match fails {
                    true => Err(Failure::new(Kind::Connect, "no")),
                    false => download(output, "x"),
                }
            })
            .await
    };
    for fails in [true, false] {
        asked.store(0, Ordering::SeqCst);
        open.send(false).unwrap();
        let opening = async {
            // All of them have begun: this is polled last.
            tokio::task::yield_now().await;
            open.send(true).unwrap();
        };
        let (a, b, c, ()) = tokio::join!(one(fails), one(fails), one(fails), opening);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        for got in [a, b, c] {
            assert_eq!(got.is_err(), fails);
        }
    }
}

#[tokio::test]
async fn the_longest_unused_goes_first_and_what_is_too_large_is_not_kept() {
    let (_dir, cache) = cache(8);
    let get = async |uri: &str, content: &'static str| {
        let got = cache.obtain(uri, async |_, output| download(output, content)).await;
        assert_eq!(text(got.unwrap()), content);
    };
    let age = |uri: &str, seconds: u64| {
        let file = File::open(cache.dir.join(key(uri))).unwrap();
        file.set_modified(SystemTime::now() - std::time::Duration::from_secs(seconds)).unwrap();
    };
    let has = |uri: &str| read(&cache.dir.join(key(uri))).is_some();
    get("a", "aaaa").await;
    get("b", "bbbb").await;
    age("a", 200);
    age("b", 100);
    // Used, so the other one is older now.
    cache.obtain("a", async |_, _| Ok(None)).await.unwrap();
    get("c", "cccc").await;
    assert_eq!((has("a"), has("b"), has("c")), (true, false, true));
    get("d", "much too large").await;
    assert_eq!((has("a"), has("c"), has("d")), (true, true, false));
    let left: Vec<_> = std::fs::read_dir(&cache.dir).unwrap().collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

#[tokio::test]
async fn what_is_damaged_or_half_is_not_taken() {
    let (_dir, cache) = cache(100);
    let get = async || {
        let got = cache.obtain(URI, async |marks, output| match marks.etag {
            None => download(output, "whole"),
            Some(_) => Ok(None),
        });
        got.await.unwrap()
    };
    get().await;
    let path = cache.dir.join(key(URI));
    std::fs::write(&path, "who").unwrap();
    assert_eq!(text(get().await), "whole");
    std::fs::write(known_path(&path), "no json").unwrap();
    assert_eq!(text(get().await), "whole");
    cache.forget(URI).await;
    assert_eq!(text(get().await), "whole");
    std::fs::write(cache.dir.join("new-1-1"), "half").unwrap();
    Cache::open(cache.dir.clone(), 100).unwrap();
    assert!(!cache.dir.join("new-1-1").exists());
}

#[tokio::test]
async fn a_cache_that_became_smaller_keeps_no_more() {
    let (_dir, cache) = cache(100);
    let get = async |cache: &Cache, uri: &str| {
        let got = cache.obtain(uri, async |_, output| download(output, "text")).await;
        assert_eq!(text(got.unwrap()), "text");
    };
    let left = || std::fs::read_dir(&cache.dir).unwrap().count();
    get(&cache, "a").await;
    get(&cache, "b").await;
    // Each with what is known of it.
    assert_eq!(left(), 4);
    Cache::open(cache.dir.clone(), 4).unwrap();
    assert_eq!(left(), 2);
    let none = Cache::open(cache.dir.clone(), 0).unwrap();
    assert_eq!(left(), 0);
    get(&cache, "a").await;
    get(&none, "b").await;
    assert_eq!(left(), 0, "what is too large to be kept makes room as well");
}

#[tokio::test]
async fn on_a_short_disk_the_longest_unused_go_until_it_is_not() {
    let (dir, cache) = cache(1 << 20);
    for name in ["a", "b", "c"] {
        let got = cache.obtain(name, async |_, output| download(output, name)).await.unwrap();
        assert_eq!(text(got), name);
    }
    let kept = |name: &str| dir.path().join("c").join(key(name)).exists();
    let hour = std::time::Duration::from_secs(3600);
    let file = File::options().write(true).open(dir.path().join("c").join(key("b"))).unwrap();
    file.set_modified(SystemTime::now() - hour).unwrap();
    cache.make_room(|| false).unwrap();
    assert_eq!(["a", "b", "c"].map(kept), [true; 3]);
    cache.make_room(|| kept("b")).unwrap();
    assert_eq!(["a", "b", "c"].map(kept), [true, false, true]);
    cache.make_room(|| true).unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("c")).unwrap().count(), 0);
}
