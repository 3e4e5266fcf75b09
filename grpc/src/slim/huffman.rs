//! The Huffman code of header texts (RFC 7541, appendix B).
//!
//! The code is canonical: symbols in the order of their codes' lengths, and by value within one
//! length, have consecutive codes. So the lengths say it all.

/// The bits of each byte's code; that of the end of a text, the 257th symbol, has 30.
#[rustfmt::skip]
const BITS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11,
    10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8,
    15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5,
    6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
    23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21,
    23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25,
    26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26,
    28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// Bits of the shortest and of the longest code.
const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// All symbols whose codes have one length.
#[derive(Clone, Copy)]
struct Length {
    /// The first code.
    code: u32,
    /// Where its symbol is in `SYMBOLS`.
    at: usize,
    count: u32,
}

/// Bytes in the order of their codes.
const SYMBOLS: [u8; 256] = symbols();
const LENGTHS: [Length; LONGEST + 1] = lengths();

const fn symbols() -> [u8; 256] {
    let mut symbols = [0; 256];
    let (mut at, mut bits) = (0, 1);
    while bits <= LONGEST {
        let mut byte = 0;
        while byte < 256 {
            if BITS[byte] as usize == bits {
                symbols[at] = byte as u8;
                at += 1;
            }
            byte += 1;
        }
        bits += 1;
    }
    symbols
}

const fn lengths() -> [Length; LONGEST + 1] {
    let mut lengths = [Length { code: 0, at: 0, count: 0 }; LONGEST + 1];
    let (mut code, mut at, mut bits) = (0, 0, 1);
    while bits <= LONGEST {
        code <<= 1;
        let (mut count, mut byte) = (0, 0);
        while byte < 256 {
            count += (BITS[byte] as usize == bits) as u32;
            byte += 1;
        }
        lengths[bits] = Length { code, at, count };
        code += count;
        at += count as usize;
        bits += 1;
    }
    lengths
}

/// The text; `None` when the bytes are no code, or are padded with anything but fewer than eight
/// ones. A text has at most 1.6 times the bytes of its code.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(bytes.len() * 8 / SHORTEST);
    let (mut code, mut bits) = (0_u32, 0_usize);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        code = code << 1 | u32::from(bit);
        bits += 1;
        // Longer than any code: 30 ones are the end of a text, which must not be in one.
        let length = LENGTHS.get(bits)?;
        if let Some(nth) = code.checked_sub(length.code).filter(|nth| *nth < length.count) {
            text.push(*SYMBOLS.get(length.at + nth as usize)?);
            (code, bits) = (0, 0);
        }
    }
    (bits < 8 && code == (1 << bits) - 1).then_some(text)
}

/// The code of a text: answers are never written so, but what is read can be checked by it.
#[cfg(any(test, feature = "testing"))]
pub(super) fn encode(text: &[u8]) -> Vec<u8> {
    let code = |byte: &u8| {
        let bits = usize::from(BITS[usize::from(*byte)]);
        let Length { code, at, count } = LENGTHS[bits];
        let nth = SYMBOLS[at..at + count as usize].iter().position(|symbol| symbol == byte);
        (code + nth.expect("each byte has a code") as u32, bits)
    };
    let bits = text
        .iter()
        .map(code)
        .flat_map(|(code, bits)| (0..bits).rev().map(move |at| code >> at & 1 == 1));
    let mut bits: Vec<bool> = bits.collect();
    bits.resize(bits.len().next_multiple_of(8), true);
    bits.chunks(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | u8::from(*bit))).collect()
}

#[cfg(test)]
mod tests {
    use super::decode;

    /// Examples of RFC 7541, appendix C.
    #[test]
    fn the_examples_of_the_standard_are_read() {
        let of = |hex: &str| {
            let bytes = (0..hex.len()).step_by(2);
            decode(
                &bytes
                    .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(of("f1e3c2e5f23a6ba0ab90f4ff").unwrap(), b"www.example.com");
        assert_eq!(of("a8eb10649cbf").unwrap(), b"no-cache");
        assert_eq!(
            of("d07abe941054d444a8200595040b8166e082a62d1bff").unwrap(),
            b"Mon, 21 Oct 2013 20:13:21 GMT"
        );
        assert_eq!(of("").unwrap(), b"");
    }

    #[test]
    fn what_is_no_code_is_refused() {
        assert_eq!(decode(&[0xff]), None, "eight bits of padding");
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff]), None, "the end within a text");
        assert_eq!(decode(&[0b0000_0000]), None, "padding of zeros");
        assert_eq!(decode(&[0b0000_0111]).unwrap(), b"0");
    }
}
