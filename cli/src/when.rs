//! Points in time and durations as people write and read them: RFC 3339, `now`, `+2h`, `1h30m`.

use proto::Time;
use std::time::{Duration, SystemTime};

/// Seconds of the units of durations.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

/// The present.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::ZERO + since
}

/// Reads `now`, a time from now on (`+2h`), or RFC 3339 (`2026-11-22T03:00:00Z`).
pub(crate) fn time(text: &str) -> Result<Time, String> {
    if text == "now" {
        return Ok(now());
    }
    if let Some(later) = text.strip_prefix('+') {
        return duration(later).map(|later| now() + later);
    }
    rfc_3339(text).ok_or_else(|| {
        format!("'{text}' is no time: 'now', '+2h' or '2026-11-22T03:00:00Z' is needed")
    })
}

/// Reads `1h30m`, `90s`, `2d`: units in falling order, at least a second.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no duration: such as 1h30m, 90s or 2d is needed");
    let (mut rest, mut seconds, mut above) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let count: u64 = rest[..end].parse().map_err(|_| wrong())?;
        let unit = UNITS.iter().find(|(unit, _)| rest[end..].starts_with(unit));
        let (unit, each) = unit.filter(|(_, each)| *each < above).ok_or_else(wrong)?;
        above = *each;
        let more = count.checked_mul(*each).and_then(|more| more.checked_add(seconds));
        // A hundred years are enough, and far from where times end.
        seconds = more.filter(|all| *all <= 36_525 * 86_400).ok_or_else(wrong)?;
        rest = &rest[end + unit.len()..];
    }
    if seconds == 0 { Err(wrong()) } else { Ok(Duration::from_secs(seconds)) }
}

/// As `duration` reads it: `1h30m`; what is less than a second is left out.
pub(crate) fn show_duration(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, each) in UNITS {
        if rest >= each {
            text += &format!("{}{unit}", rest / each);
            rest %= each;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// How far away a time is, in its two greatest units: `in 2h5m`, `3m20s ago`.
pub(crate) fn relative(at: Time, now: Time) -> String {
    let far = if at > now { at.since(now) } else { now.since(at) };
    let each = UNITS.iter().find(|(_, each)| far.as_secs() >= *each).map_or(1, |(_, each)| *each);
    let kept = match each {
        86_400 => 3600,
        3600 => 60,
        _ => 1,
    };
    let shown = show_duration(Duration::from_secs(far.as_secs() / kept * kept));
    if at > now { format!("in {shown}") } else { format!("{shown} ago") }
}

/// RFC 3339 in UTC, to the second.
pub(crate) fn show(time: Time) -> String {
    time.rfc_3339()
}

/// A sentence of a server, with how far away the times in it are: `2026-11-22T03:00:00Z (in 4s)`.
pub(crate) fn with_distances(sentence: &str, now: Time) -> String {
    let word = |word: &str| match rfc_3339(word.trim_end_matches(['.', ',', ';'])) {
        Some(at) => {
            let (time, end) = word.split_at(word.trim_end_matches(['.', ',', ';']).len());
            format!("{time} ({}){end}", relative(at, now))
        }
        None => word.to_owned(),
    };
    sentence.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn rfc_3339(text: &str) -> Option<Time> {
    if !text.is_ascii() || text.len() < 20 {
        return None;
    }
    let field = |from: usize, to: usize| -> Option<u64> {
        let digits = &text[from..to];
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let mark = |at: usize, any: &[u8]| any.contains(&text.as_bytes()[at]);
    let marks = mark(4, b"-") && mark(7, b"-") && mark(10, b"Tt ") && mark(13, b":");
    if !marks || !mark(16, b":") {
        return None;
    }
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    let days = days(year, month, day)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Fractions of a second are read and dropped.
    let rest = match text[19..].strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (zone.len() < fraction.len()).then_some(zone)?
        }
        None => &text[19..],
    };
    let seconds = i64::try_from(days * 86_400 + hour * 3600 + minute * 60 + second).ok()?;
    let utc = u64::try_from(seconds - zone(rest)?).ok()?;
    Some(Time::ZERO + Duration::from_secs(utc))
}

/// Seconds east of UTC: `Z`, `+01:00`.
fn zone(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<i64>().ok())?
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days from 1970-01-01 to a day that the Gregorian calendar has.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    // Years that begin in March, so that the leap day is the last; eras of 400 years.
    let (from_march, shifted) = if month > 2 { (month - 3, year) } else { (month + 9, year - 1) };
    let (era, of_era) = (shifted / 400, shifted % 400);
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let found = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let days = found.checked_sub(719_468)?;
    // A day that the month does not have would be one of the next.
    let midnight = Time::ZERO + Duration::from_secs(days.checked_mul(86_400)?);
    let date = format!("{year:04}-{month:02}-{day:02}T");
    midnight.rfc_3339().starts_with(&date).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            let at = Time::ZERO + Duration::from_secs(seconds);
            assert_eq!(show(at), text);
            assert_eq!(time(text), Ok(at));
        }
        for same in ["2024-03-01T01:29:59.5+01:30", "2024-02-29t19:59:59-04:00"] {
            assert_eq!(show(time(same).unwrap()), "2024-02-29T23:59:59Z", "{same}");
        }
        for wrong in [
            "",
            "soon",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01",
            "1969-12-31T00:00:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+1:00",
            "1970-01-01T00:00:00+01:00",
            "+2",
            "2024-01-01T00:00:00ü",
            "-1h",
        ] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert!(time("+1h").unwrap() > time("now").unwrap());
    }

    #[test]
    fn durations_have_units_in_falling_order() {
        for (text, seconds) in [("90s", 90), ("1h30m", 5400), ("2d", 172_800), ("1d1s", 86_401)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(show_duration(Duration::from_secs(86_401)), "1d1s");
        assert_eq!(show_duration(Duration::from_millis(5)), "0s");
        for wrong in
            ["", "5", "0s", "1m1h", "1h1h", "h", "1w", "1.5h", "99999999999999999999d", "40000d"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn how_far_a_time_is_has_two_units() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        assert_eq!(relative(at(90_061), at(0)), "in 1d1h");
        assert_eq!(relative(at(0), at(3725)), "1h2m ago");
        assert_eq!(relative(at(5), at(5)), "0s ago");
    }

    #[test]
    fn times_in_sentences_say_how_far_away_they_are() {
        let now = time("2026-11-22T03:00:00Z").unwrap();
        for (sentence, expected) in [
            (
                "it ends at 2026-11-22T03:00:04Z (REVIVE ends it).",
                "it ends at 2026-11-22T03:00:04Z (in 4s) (REVIVE ends it).",
            ),
            ("gone at 2026-11-22T01:00:00Z.", "gone at 2026-11-22T01:00:00Z (2h ago)."),
            ("cpus:1; mem:64 and  no time.", "cpus:1; mem:64 and  no time."),
        ] {
            assert_eq!(with_distances(sentence, now), expected);
        }
    }
}
