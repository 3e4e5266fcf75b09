//! Durations as people write them: `500ms`, `30s`, `5m`, `1h30m`.
//!
//! A bare number is refused: nobody should have to guess its unit.

use std::time::Duration;

/// The longest that can be written: a hundred years.
const MOST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a duration.
///
/// # Errors
/// A sentence that says what is wrong, to stand behind the field's name.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("must be a duration such as 500ms, 30s, 5m or 1h30m, is '{text}'");
    let mut rest = text;
    let mut millis: u64 = 0;
    let mut last = u64::MAX;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let (_, factor) =
            UNITS.iter().find(|(name, _)| *name == unit).copied().ok_or_else(wrong)?;
        // Largest first and each once, so that `1m30h` is seen as the slip that it is.
        if factor >= last {
            return Err(wrong());
        }
        last = factor;
        let part = number.checked_mul(factor).ok_or_else(wrong)?;
        millis = millis.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    let duration = Duration::from_millis(millis);
    if duration > MOST { Err("must be at most a hundred years".to_owned()) } else { Ok(duration) }
}

/// The shortest form that reads back as the same duration, to the millisecond.
pub(crate) fn show(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, factor) in UNITS.iter().rev() {
        if rest >= *factor {
            text.push_str(&format!("{}{unit}", rest / factor));
            rest %= factor;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them_and_back() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(show(duration), text);
        }
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_none_is_refused_with_examples() {
        for text in
            ["", "5", "s", "5 s", "1m30h", "1s1s", "-5s", "1.5s", "5min", "99999999999999999999s"]
        {
            assert!(parse(text).unwrap_err().contains("30s"), "{text}");
        }
        assert!(parse("40000d").unwrap_err().contains("hundred years"));
    }
}
