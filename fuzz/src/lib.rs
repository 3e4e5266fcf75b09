//! What several targets share: frames of HTTP/2 made of any bytes, so that most of them are nearly
//! right.

/// First words and settings of a client.
pub const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Reads its input as a program that says which frames there are.
pub struct Frames<'a>(&'a [u8]);

impl<'a> Frames<'a> {
    /// All that `input` says.
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// The next byte of the program; 255 when there is none.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 255 };
        self.0 = rest;
        *first
    }

    fn some(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (some, rest) = self.0.split_at(len);
        self.0 = rest;
        some
    }

    fn stream(&mut self) -> u32 {
        // Mostly those that a client may have.
        match self.byte() {
            id @ 0..200 => u32::from(id % 16) * 2 + 1,
            id => u32::from(id) - 200,
        }
    }
}

impl Iterator for Frames<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        Some(match self.byte() % 12 {
            0 => self.some().to_vec(),
            1 => {
                let (kind, flags, stream) = (self.byte() % 12, self.byte(), self.stream());
                frame(kind, flags, stream, self.some())
            }
            // Requests whose whole head is in the standard's table.
            2 => frame(1, 4 | self.byte() & 1, self.stream(), &[0x83, 0x86, 0x84]),
            3 => frame(1, self.byte() & 0x2d, self.stream(), self.some()),
            4 => frame(9, self.byte() & 4, self.stream(), self.some()),
            5 => frame(0, self.byte() & 9, self.stream(), &vec![1; usize::from(self.byte()) << 6]),
            6 => {
                let (stream, high, low) = (self.stream(), self.byte(), self.byte());
                frame(8, 0, stream, &[high, low, 0, low])
            }
            7 => {
                let (name, high, low) = (self.byte() % 8, self.byte(), self.byte());
                frame(4, 0, 0, &[0, name, high, 0, low, low])
            }
            8 => frame(3, 0, self.stream(), &[0, 0, 0, 8]),
            9 => frame(6, self.byte() & 1, 0, b"12345678"),
            10 => frame(4, 1, 0, &[]),
            // The same again and again.
            _ => {
                let one = frame(self.byte() % 10, self.byte(), self.stream(), self.some());
                let most = 60_000 / one.len();
                one.repeat(most.min(1 << (self.byte() % 13)))
            }
        })
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("payloads are short");
    let mut bytes = len.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}
