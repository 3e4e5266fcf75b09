//! A whole connection over a pipe: there and back, farewells, silence, what a beginning says.

use super::*;
use crate::slim::RequestBody;

/// Answers each request with its body, and then trailers.
#[derive(Clone)]
pub(super) struct Echo;

pub(super) struct Echoed(RequestBody, bool);

impl Body for Echoed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match std::task::ready!(Pin::new(&mut self.0).poll_frame(cx)) {
            None if !std::mem::replace(&mut self.1, true) => {
                Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new()))))
            }
            other => Poll::Ready(other),
        }
    }
}

impl tower::Service<Request<RequestBody>> for Echo {
    type Response = Response<Echoed>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        std::future::ready(Ok(Response::new(Echoed(request.into_body(), false))))
    }
}

/// Reads frames until one of this kind.
async fn until(io: &mut tokio::io::DuplexStream, kind: u8) -> (Head, Vec<u8>) {
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.unwrap();
        let (head, _) = Head::parse(&head).unwrap();
        let mut payload = vec![0; head.len];
        io.read_exact(&mut payload).await.unwrap();
        if head.kind == kind {
            return (head, payload);
        }
    }
}

#[tokio::test]
async fn a_body_goes_there_and_back() {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(Serving::new(server, &hello(), Echo));
    client.write_all(&request(1, 0)).await.unwrap();
    client.write_all(&frame(frame::DATA, frame::END_STREAM, 1, b"abc")).await.unwrap();
    assert_eq!(until(&mut client, frame::DATA).await.1, b"abc");
    let (end, _) = until(&mut client, frame::HEADERS).await;
    assert!(end.has(frame::END_STREAM));
    drop(client);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_longer_than_what_is_sent_at_once_goes_on_by_itself() {
    const PARTS: usize = 60;
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let wide = frame(frame::SETTINGS, 0, 0, &[0, 4, 0, 0x10, 0, 0]);
    let begun = [hello(), wide, frame(frame::WINDOW_UPDATE, 0, 0, &[0, 0x10, 0, 0])].concat();
    // Nothing but the answer itself keeps it going.
    let ever = Duration::from_secs(1 << 20);
    let serving = Serving::new(server, &begun, Echo).with_keep_alive(ever, ever);
    let mut asked = request(1, 0);
    for _ in 0..PARTS {
        asked.extend(frame(frame::DATA, 0, 1, &[7; frame::MAX_PAYLOAD]));
    }
    asked.extend(frame(frame::DATA, frame::END_STREAM, 1, &[]));
    let serving = tokio::spawn(serving);
    let reading = async {
        client.write_all(&asked).await.unwrap();
        let mut left = PARTS * frame::MAX_PAYLOAD;
        while left > 0 {
            left -= until(&mut client, frame::DATA).await.0.len;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reading).await.expect("it goes on");
    drop(client);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_breaks_the_rules_gets_a_farewell() {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(Serving::new(server, &hello(), Echo));
    client.write_all(&request(1, 0)).await.unwrap();
    client.write_all(&request(2, 0)).await.unwrap();
    let (_, farewell) = until(&mut client, frame::GOAWAY).await;
    assert_eq!(farewell, [0, 0, 0, 1, 0, 0, 0, Reason::Protocol as u8]);
    assert!(matches!(serving.await.unwrap(), Err(Ended::Fault(_))));
    // Also when it is wrong from its first byte on.
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(Serving::new(server, &[b'x'; 30], Echo));
    until(&mut client, frame::GOAWAY).await;
    assert!(matches!(serving.await.unwrap(), Err(Ended::Fault(_))));
}

#[tokio::test]
async fn who_is_silent_is_asked_and_then_left() {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let (interval, timeout) = (Duration::from_millis(10), Duration::from_millis(500));
    let serving = Serving::new(server, &hello(), Echo).with_keep_alive(interval, timeout);
    let serving = tokio::spawn(serving);
    // Whatever is said is a sign of life.
    let begin = Instant::now();
    while begin.elapsed() < 2 * timeout {
        until(&mut client, frame::PING).await;
        client.write_all(&frame(frame::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).await.unwrap();
    }
    until(&mut client, frame::PING).await;
    assert!(matches!(serving.await.unwrap(), Err(Ended::Silent)));
}

#[tokio::test]
async fn a_beginning_says_what_is_asked() {
    let begin = async |parts: Vec<Vec<u8>>, open: bool| {
        let (mut client, mut server) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            for part in parts {
                client.write_all(&part).await.unwrap();
                tokio::task::yield_now().await;
            }
            if open {
                std::future::pending::<()>().await;
            }
        });
        crate::slim::begin(&mut server, Duration::from_millis(if open { 50 } else { 60_000 })).await
    };
    let whole = begin(vec![hello(), request(1, 0)], false).await.unwrap();
    assert_eq!(whole.path.as_deref(), Some("/a/b"));
    assert_eq!(whole.bytes, [hello(), request(1, 0)].concat());
    let pieces = [hello(), request(1, 0)].concat().chunks(5).map(<[u8]>::to_vec).collect();
    assert_eq!(begin(pieces, false).await.unwrap().path.as_deref(), Some("/a/b"));
    let other = begin(vec![b"GET / HTTP/1.1\r\n\r\n".to_vec()], true).await.unwrap();
    assert_eq!((other.path, other.bytes.len()), (None, 18));
    let waits = begin(vec![hello()], true).await.unwrap();
    assert_eq!((waits.path, waits.bytes), (None, hello()));
    assert!(begin(vec![], false).await.is_err());
    // Who has not the settings of our client is let go at once, whatever the patience: such a
    // client may wait for ours.
    let (mut client, mut server) = tokio::io::duplex(1 << 16);
    let settings = |frames: u32| {
        let window = crate::tuning::STREAM_WINDOW.to_be_bytes();
        let payload = [&[0, 4][..], &window, &[0, 5], &frames.to_be_bytes()].concat();
        [frame::PREFACE, &frame(frame::SETTINGS, 0, 0, &payload)].concat()
    };
    for words in [hello(), settings(4 << 20), frame::PREFACE.to_vec(), b"PRI".to_vec()] {
        client.write_all(&words).await.unwrap();
        let ever = Duration::from_secs(1 << 20);
        let waited = crate::slim::begin(&mut server, ever);
        let waited = tokio::time::timeout(Duration::from_secs(60), waited).await;
        assert_eq!(waited.expect("it does not wait").unwrap().bytes, words);
    }
    // Who has them is waited for.
    client.write_all(&settings(16_384)).await.unwrap();
    let waited = async {
        tokio::join!(crate::slim::begin(&mut server, Duration::from_secs(60)), async {
            // waits: a client that asks late
            tokio::time::sleep(Duration::from_millis(50)).await;
            client.write_all(&request(1, 0)).await.unwrap();
        })
    };
    assert_eq!(waited.await.0.unwrap().path.as_deref(), Some("/a/b"));
    let broken = begin(vec![hello(), frame(frame::HEADERS, frame::END_HEADERS, 1, &[0x80])], true);
    assert_eq!(broken.await.unwrap().path, None);
}

#[tokio::test]
async fn a_reader_is_woken_when_more_comes() {
    let mut machine = machine(&[request(1, 0)]);
    let mut asked = machine.asked.pop().unwrap();
    let reader = tokio::spawn(async move {
        let frame = poll_fn(|cx| Pin::new(&mut asked.body).poll_frame(cx)).await;
        frame.unwrap().unwrap().into_data().unwrap()
    });
    tokio::task::yield_now().await;
    machine.receive(&frame(frame::DATA, 0, 1, b"now")).unwrap();
    assert_eq!(reader.await.unwrap(), "now");
}
