//! The demo's work: what one task does to its shard, what the reduce step does, and the serial
//! run that both are compared with.

use crate::failure::{Code, Failure};
use std::path::Path;
use std::process::{Command, Stdio};

/// What one task runs: with `LIST` and `OUT` in its environment and its number as an argument, it
/// checksums its shard, compresses it, checks that it can be unpacked, and leaves one line.
pub(super) const SHARD: &str = r#"set -eu
n=$(printf '%05d' "$1")
list="$LIST/$n"
sum=$(xargs -0 cat -- < "$list" | sha256sum | cut -d' ' -f1)
xargs -0 cat -- < "$list" | gzip -n -6 > "$OUT/$n.gz.part"
again=$(gzip -dc "$OUT/$n.gz.part" | sha256sum | cut -d' ' -f1)
[ "$sum" = "$again" ] || { echo "shard $n does not unpack to what was packed" >&2; exit 1; }
mv "$OUT/$n.gz.part" "$OUT/$n.gz"
printf '%s %s %s\n' "$n" "$sum" "$(wc -c < "$OUT/$n.gz")" > "$OUT/$n.sum.part"
mv "$OUT/$n.sum.part" "$OUT/$n.sum"
echo "shard $n: $sum"
"#;

/// The reduce step: all lines in order, and a checksum over them.
pub(super) const REDUCE: &str = r#"set -eu
cat "$OUT"/*.sum | sort > "$OUT/manifest.part"
mv "$OUT/manifest.part" "$OUT/manifest"
sha256sum < "$OUT/manifest" | cut -d' ' -f1 > "$OUT/digest"
cat "$OUT/digest"
"#;

/// Does all shards and the reduce step one after the other in this process' children, and gives
/// the manifest.
pub(super) fn serially(lists: &Path, out: &Path, shards: usize) -> Result<String, Failure> {
    for number in 0..shards {
        step(SHARD, &number.to_string(), lists, out)?;
    }
    step(REDUCE, "", lists, out)?;
    manifest(out)
}

/// The manifest that a reduce step left in `out`.
pub(super) fn manifest(out: &Path) -> Result<String, Failure> {
    let path = out.join("manifest");
    std::fs::read_to_string(&path).map_err(|e| {
        Failure::new(Code::Failed, format!("there is no result in {}: {e}", path.display()))
    })
}

fn step(script: &str, argument: &str, lists: &Path, out: &Path) -> Result<(), Failure> {
    let output = Command::new("/bin/sh")
        .args(["-c", script, "sh", argument])
        .env("LIST", lists)
        .env("OUT", out)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Failure::new(Code::Failed, format!("cannot run /bin/sh: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let message = format!("the serial run of shard {argument} failed ({}): {words}", output.status);
    Err(Failure::new(Code::Failed, message)
        .next("the demo needs xargs, cat, sha256sum, gzip, cut, sort and wc"))
}

#[cfg(test)]
mod tests {
    use super::super::input;
    use super::*;

    #[test]
    fn the_serial_run_is_the_same_twice_and_tells_a_changed_file() {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("a file\nwith 'odd' name");
        let run = |content: &str| {
            std::fs::write(&source, content).unwrap();
            let sources = input::collect(place.path()).unwrap();
            let work = tempfile::tempdir().unwrap();
            let (lists, out) = (work.path().join("lists"), work.path().join("out"));
            std::fs::create_dir_all(&lists).unwrap();
            std::fs::create_dir_all(&out).unwrap();
            input::write_list(&lists.join("00000"), &sources).unwrap();
            serially(&lists, &out, 1).unwrap()
        };
        let first = run("one");
        assert_eq!(first, run("one"));
        assert_ne!(first, run("two"));
    }
}
