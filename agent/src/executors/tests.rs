//! Tokens, and streams that nobody reads.

use super::*;
use crate::executors::token::Secret;

fn id(name: &str) -> ContainerId {
    ContainerId::new(name).unwrap()
}

#[test]
fn a_token_is_that_of_one_container_under_one_secret() {
    let (ours, other) = (Secret::new(), Secret::new());
    let token = ours.token(&id("c-1"));
    assert_eq!(ours.holder(&token), Some(id("c-1")));
    assert_eq!(other.holder(&token), None);
    assert_eq!(ours.holder(&token.replace("c-1", "c-2")), None);
    assert_eq!(ours.holder(&token[..token.len() - 1]), None);
    assert_eq!(ours.holder("c-1."), None);
    assert_eq!(ours.holder(""), None);
    let kept = Secret::from_bytes(ours.as_bytes()).unwrap();
    assert_eq!(kept.holder(&token), Some(id("c-1")));
    assert!(Secret::from_bytes(b"short").is_none());
}

#[test]
fn the_mac_is_that_of_rfc_4231() {
    // Its second case has a key of four bytes; ours are 32, and zeros after a key change nothing.
    let mut key = [0; 32];
    key[..4].copy_from_slice(b"Jefe");
    let secret = Secret::from_bytes(&key).unwrap();
    let token = secret.token(&id("what do ya want for nothing?"));
    let wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(token, format!("what do ya want for nothing?.{wanted}"));
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_closed() {
    let streams = Streams::default();
    let (number, mut records) = streams.open(Encoding::Json);
    let (other, _) = streams.open(Encoding::Json);
    assert_ne!(number, other);
    for _ in 0..WAITING {
        streams.send(&id("c"), number, &Event::Shutdown);
    }
    assert!(streams.lock().open.contains_key(&number));
    streams.send(&id("c"), number, &Event::Shutdown);
    assert!(!streams.lock().open.contains_key(&number));
    for _ in 0..WAITING {
        assert_eq!(&records.recv().await.unwrap()[..], b"19\n{\"type\":\"SHUTDOWN\"}");
    }
    assert_eq!(records.recv().await, None);
}
