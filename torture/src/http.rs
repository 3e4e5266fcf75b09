//! HTTP/1.1 by hand, with short patience: the one who is asked may be dead, stopped or cut off.

use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than an answer takes on a busy machine, shorter than anybody waits for it.
const PATIENCE: Duration = Duration::from_millis(800);

/// The body of a good answer; none when there is no good answer in time.
pub(crate) async fn get(address: &str, path: &str) -> Option<String> {
    body(&exchange(address, format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n")).await?)
}

/// What day and time somebody who answers believes it to be, as HTTP has it.
pub(crate) async fn date(address: &str) -> Option<String> {
    let request = "GET /health HTTP/1.0\r\nHost: x\r\n\r\n".to_owned();
    let answer = exchange(address, request).await?;
    let date = |line: &str| {
        Some(
            line.split_once(": ")
                .filter(|(name, _)| name.eq_ignore_ascii_case("date"))?
                .1
                .to_owned(),
        )
    };
    answer.lines().find_map(date)
}

/// The same for a POST of JSON.
pub(crate) async fn post(address: &str, path: &str, body: &str) -> Option<String> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.0\r\nHost: x\r\nContent-Type: application/json\r\n");
    self::body(&exchange(address, format!("{head}Content-Length: {length}\r\n\r\n{body}")).await?)
}

async fn exchange(address: &str, request: String) -> Option<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        // Version 1.0: neither chunks nor a connection that is kept.
        stream.read_to_end(&mut answer).await.ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(PATIENCE, exchange).await.ok()?
}

fn body(answer: &str) -> Option<String> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?;
    status.starts_with('2').then(|| body.to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_good_answers_have_a_body() {
        let answer = |status: &str| format!("HTTP/1.1 {status}\r\nA: b\r\n\r\n{{}}");
        assert_eq!(super::body(&answer("200 OK")).as_deref(), Some("{}"));
        assert_eq!(super::body(&answer("307 Temporary Redirect")), None);
        assert_eq!(super::body("HTTP/1.1 200 OK\r\n"), None);
    }
}
