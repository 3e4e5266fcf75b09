//! Lists of headers, packed (RFC 7541): read with the peer's table, written without any.

use super::huffman;
use std::borrow::Cow;
use std::collections::VecDeque;

/// What a table's entry counts beyond its texts.
const ENTRY: usize = 32;
/// The most that a peer's table may hold: what it may have before it was told otherwise.
const TABLE: usize = 4_096;

/// The block cannot be read, so nothing behind it can: the connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

type Entry = (Box<[u8]>, Box<[u8]>);
/// Name and value of a header, as they stand in the block where they can.
type Literal<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The peer's table.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The newest first.
    entries: VecDeque<Entry>,
    bytes: usize,
    limit: usize,
    /// What `limit` may be.
    most: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { entries: VecDeque::new(), bytes: 0, limit: TABLE, most: TABLE }
    }
}

impl Decoder {
    /// Gives each header of a block to `each`.
    pub(super) fn read(
        &mut self,
        block: &[u8],
        mut each: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Broken> {
        let mut rest = Rest(block);
        let mut begins = true;
        while let Some(first) = rest.0.first().copied() {
            if first & 0x80 != 0 {
                let index = rest.integer(7)?;
                let (name, value) = self.entry(index)?;
                each(name, value);
            } else if first & 0x40 != 0 {
                let (name, value) = self.literal(&mut rest, 6)?;
                each(&name, &value);
                let (name, value) = (name.into_owned(), value.into_owned());
                self.add(name.into(), value.into());
            } else if first & 0x20 != 0 {
                let limit = rest.integer(5)?;
                if !begins || limit > self.most {
                    return Err(Broken);
                }
                self.limit = limit;
                self.evict(0);
                continue;
            } else {
                let (name, value) = self.literal(&mut rest, 4)?;
                each(&name, &value);
            }
            begins = false;
        }
        Ok(())
    }

    /// What the table holds, as its limit counts it.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The peer knows that it may have no table any more.
    pub(super) fn forget_table(&mut self) {
        *self = Self { entries: VecDeque::new(), bytes: 0, limit: 0, most: 0 };
    }

    fn literal<'s, 'b: 's>(
        &'s self,
        rest: &mut Rest<'b>,
        bits: u32,
    ) -> Result<Literal<'s>, Broken> {
        let name = match rest.integer(bits)? {
            0 => rest.text()?,
            index => Cow::Borrowed(self.entry(index)?.0),
        };
        Ok((name, rest.text()?))
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), Broken> {
        let at = index.checked_sub(1).ok_or(Broken)?;
        if let Some((name, value)) = STATIC.get(at) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let (name, value) = self.entries.get(at - STATIC.len()).ok_or(Broken)?;
        Ok((name, value))
    }

    fn add(&mut self, name: Box<[u8]>, value: Box<[u8]>) {
        let size = name.len() + value.len() + ENTRY;
        self.evict(size);
        // What is bigger than the table empties it.
        if size <= self.limit {
            self.bytes += size;
            self.entries.push_front((name, value));
        }
    }

    /// Makes room for `more` bytes.
    fn evict(&mut self, more: usize) {
        while self.bytes + more > self.limit {
            let Some((name, value)) = self.entries.pop_back() else { return };
            self.bytes -= name.len() + value.len() + ENTRY;
        }
    }
}

/// What was not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn byte(&mut self) -> Result<u8, Broken> {
        let (first, rest) = self.0.split_first().ok_or(Broken)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A number whose first byte has it in its last `bits`. None that we take has more than four
    /// bytes.
    fn integer(&mut self, bits: u32) -> Result<usize, Broken> {
        let most = (1_usize << bits) - 1;
        let first = usize::from(self.byte()?) & most;
        if first < most {
            return Ok(first);
        }
        let mut number = most;
        for shift in [0, 7, 14] {
            let byte = usize::from(self.byte()?);
            number += (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Broken)
    }

    fn text(&mut self) -> Result<Cow<'a, [u8]>, Broken> {
        let is_code = self.0.first().is_some_and(|first| first & 0x80 != 0);
        let len = self.integer(7)?;
        let (text, rest) = self.0.split_at_checked(len).ok_or(Broken)?;
        self.0 = rest;
        if is_code {
            huffman::decode(text).map(Cow::Owned).ok_or(Broken)
        } else {
            Ok(Cow::Borrowed(text))
        }
    }
}

/// Puts a header behind `block`, in a form that changes no table.
pub(super) fn put(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if name == b":status" && value == b"200" {
        block.push(0x88);
        return;
    }
    block.push(0);
    put_text(block, name);
    put_text(block, value);
}

fn put_text(block: &mut Vec<u8>, text: &[u8]) {
    const MOST: usize = 127;
    if let Some(len) = u8::try_from(text.len()).ok().filter(|len| usize::from(*len) < MOST) {
        block.push(len);
    } else {
        block.push(MOST as u8);
        let mut left = text.len() - MOST;
        while left > 0x7f {
            block.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        block.push(left as u8);
    }
    block.extend_from_slice(text);
}

/// RFC 7541, appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""),
    ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
    ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
    ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""),
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""),
    ("vary", ""), ("via", ""), ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: String = hex.split_whitespace().collect();
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    fn read(decoder: &mut Decoder, block: &[u8]) -> Result<String, Broken> {
        let mut all = String::new();
        decoder.read(block, |name, value| {
            let text = |bytes| String::from_utf8_lossy(bytes);
            all.push_str(&format!("{}={} ", text(name), text(value)));
        })?;
        Ok(all)
    }

    /// RFC 7541, C.4: three requests on one connection, with Huffman codes and the dynamic table.
    #[test]
    fn the_requests_of_the_standard_are_read() {
        let mut decoder = Decoder::default();
        let first = bytes("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff");
        let base = ":method=GET :scheme=http :path=/ :authority=www.example.com ";
        assert_eq!(read(&mut decoder, &first).unwrap(), base);
        let second = bytes("8286 84be 5886 a8eb 1064 9cbf");
        assert_eq!(read(&mut decoder, &second).unwrap(), format!("{base}cache-control=no-cache "));
        let third = bytes("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf");
        let all = ":method=GET :scheme=https :path=/index.html :authority=www.example.com custom-key=custom-value ";
        assert_eq!(read(&mut decoder, &third).unwrap(), all);
        assert_eq!(decoder.bytes, 164);
    }

    /// RFC 7541, C.6: a table of 256 bytes, whose entries make place for others.
    #[test]
    fn old_entries_make_place() {
        let mut decoder = Decoder::default();
        let mut block = bytes("3f e1 01");
        block.extend(bytes("4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3"));
        assert!(
            read(&mut decoder, &block).unwrap().starts_with(":status=302 cache-control=private ")
        );
        assert_eq!(decoder.bytes, 222);
        let second = read(&mut decoder, &bytes("4883 640e ffc1 c0bf")).unwrap();
        assert!(second.starts_with(":status=307 cache-control=private date=Mon"), "{second}");
        assert_eq!(decoder.bytes, 222);
    }

    #[test]
    fn what_is_written_is_read() {
        let long = "x".repeat(40_000);
        let headers = [(":status", "200"), (":status", "404"), ("a", ""), ("name", long.as_str())];
        let mut block = Vec::new();
        let mut expected = String::new();
        for (name, value) in headers {
            put(&mut block, name.as_bytes(), value.as_bytes());
            expected.push_str(&format!("{name}={value} "));
        }
        let mut decoder = Decoder::default();
        assert_eq!(read(&mut decoder, &block).unwrap(), expected);
        assert_eq!(decoder.bytes, 0);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (block, why) in [
            ("80", "index 0"),
            ("be", "an entry that is not there"),
            ("ff ff ff ff ff 0f", "a number too big"),
            ("ff", "a number without an end"),
            ("00 05 61", "a text without an end"),
            ("82 3f e1 01", "a table's size behind a header"),
            ("3f e2 1f", "a table too big"),
        ] {
            assert_eq!(read(&mut Decoder::default(), &bytes(block)), Err(Broken), "{why}");
        }
    }
}
