//! A RecordIO stream in two chunks: never a panic, records within the limit, and the same records
//! wherever the stream is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::recordio::Decoder;

const MAX_BYTES: usize = 1000;

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, stream) = input;
    let cut = usize::from(cut).min(stream.len());
    assert_eq!(records(&[stream]), records(&[&stream[..cut], &stream[cut..]]));
});

/// The records, and whether the stream ended in an error.
fn records(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
    let mut decoder = Decoder::new(MAX_BYTES);
    let mut found = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        loop {
            match decoder.next_record() {
                Ok(Some(record)) => {
                    assert!(record.len() <= MAX_BYTES);
                    found.push(record.to_vec());
                }
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}
