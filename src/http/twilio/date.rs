//! Dates as Twilio writes them: its SDKs hand an application a plain string where a date has another spelling.

use jiff::fmt::strtime;

use crate::clock::Timestamp;

/// As Verify writes them: `2026-11-21T08:00:00Z`, without fractions.
pub fn iso(at: Timestamp) -> String {
    at.to_string()
}

/// As the 2010 API writes them: `Sat, 21 Nov 2026 08:00:00 +0000`.
pub fn rfc_2822(at: Timestamp) -> String {
    let written = jiff::Timestamp::from_second(at.0.div_euclid(1000)).ok();
    let written =
        written.and_then(|at| strtime::format("%a, %d %b %Y %H:%M:%S +0000", at.to_zoned(jiff::tz::TimeZone::UTC).datetime()).ok());
    written.unwrap_or_else(|| at.to_string())
}

/// What a caller writes: RFC 3339, or a day alone, which begins at midnight UTC.
pub fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp(at.as_millisecond()));
    }
    let day = text.parse::<jiff::civil::Date>().ok()?;
    let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(midnight.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings() {
        let at = Timestamp(1_692_853_305_999);
        assert_eq!(iso(at), "2023-08-24T05:01:45Z");
        assert_eq!(rfc_2822(at), "Thu, 24 Aug 2023 05:01:45 +0000");
        assert_eq!(parse("2023-08-24T05:01:45Z"), Some(Timestamp(1_692_853_305_000)));
        assert_eq!(parse("2023-08-24T07:01:45+02:00"), Some(Timestamp(1_692_853_305_000)));
        assert_eq!(parse("2023-08-24"), Some(Timestamp(1_692_835_200_000)));
        for wrong in ["", "yesterday", "2023-13-01", "1692853305"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
