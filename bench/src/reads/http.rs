//! As much of HTTP/1.1 as the benchmark speaks: requests, heads, and bodies that are counted
//! exactly, chunked or not. An answer that ends early is never taken for a whole one.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// Sends a request.
pub(super) fn send(
    stream: &mut TcpStream,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> io::Result<()> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())
}

/// The lines of an answer's head.
pub(super) fn head(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.trim().is_empty() {
            return Ok(lines);
        }
        lines.push(line.trim().to_owned());
    }
}

/// The value of a header.
pub(super) fn header(head: &[String], name: &str) -> Option<String> {
    let of = |line: &String| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    };
    head.iter().find_map(of)
}

/// Reads a whole body, gives each part of it to `take`, and answers with its length without any
/// framing. `part` bytes are read at a time.
pub(super) fn body(
    stream: &mut BufReader<TcpStream>,
    head: &[String],
    mut take: impl FnMut(&[u8]),
) -> io::Result<u64> {
    let mut exactly = |stream: &mut BufReader<TcpStream>, mut length: u64| {
        while length > 0 {
            let part = stream.fill_buf()?;
            if part.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            let taken = part.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            take(&part[..taken]);
            stream.consume(taken);
            length -= taken as u64;
        }
        Ok(())
    };
    if header(head, "transfer-encoding").as_deref() != Some("chunked") {
        let length = header(head, "content-length").and_then(|length| length.parse().ok());
        let length = length.ok_or(io::ErrorKind::InvalidData)?;
        exactly(stream, length)?;
        return Ok(length);
    }
    let mut whole = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let length =
            u64::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
        exactly(stream, length)?;
        let mut end = [0; 2];
        stream.read_exact(&mut end)?;
        if end != *b"\r\n" {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if length == 0 {
            return Ok(whole);
        }
        whole += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// What the other end says, as it is read here.
    fn read(answer: &'static str) -> io::Result<(u64, Vec<u8>)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
        server.join().unwrap();
        let head = head(&mut stream)?;
        let mut all = Vec::new();
        let length = body(&mut stream, &head, |part| all.extend_from_slice(part))?;
        Ok((length, all))
    }

    #[test]
    fn bodies_are_counted_without_their_framing_and_only_whole() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(read(chunked).unwrap(), (13, b"abc0123456789".to_vec()));
        let plain = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(read(plain).unwrap(), (2, b"ok".to_vec()));
        for early in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\n",
        ] {
            assert!(read(early).is_err(), "{early}");
        }
    }
}
