//! From a row of another system to a person, or to the reason why not.

use crate::account::identity;
use crate::account::password::foreign::Foreign;
use crate::clock::Timestamp;
use crate::db::import::Person;
use crate::secret::Redacted;
use crate::verification::Destination;
use crate::verification::destination::Country;

/// Longest name that is taken over, in characters.
const NAME_MAX_CHARS: usize = 200;
/// Unix times from here on are milliseconds: as seconds they would be after the year 5000.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// A row that is not taken over.
#[derive(Debug)]
pub struct Refusal {
    /// Counted from 1, without the heading.
    pub row: u64,
    /// Masked.
    pub who: String,
    /// Why.
    pub reason: String,
}

impl Refusal {
    /// Of a row whose number is told later.
    pub fn new(who: String, reason: impl Into<String>) -> Refusal {
        Refusal { row: 0, who, reason: reason.into() }
    }

    /// Of that row.
    pub fn in_row(self, row: u64) -> Refusal {
        Refusal { row, ..self }
    }
}

/// What the columns are called there.
#[derive(clap::Args)]
pub struct Columns {
    /// Column of the name [default: fullname, full_name or name]
    #[arg(long, value_name = "COLUMN")]
    full_name: Option<String>,
    /// Column of the number [default: phone, phone_number or mobile]
    #[arg(long, value_name = "COLUMN")]
    phone: Option<String>,
    /// Column of the address [default: email]
    #[arg(long, value_name = "COLUMN")]
    email: Option<String>,
    /// Column of the hash [default: password or password_hash]
    #[arg(long, value_name = "COLUMN")]
    password: Option<String>,
    /// Column of the time of registration [default: created_at]
    #[arg(long, value_name = "COLUMN")]
    created_at: Option<String>,
}

/// The columns that are there; their names are in the order of the fields.
pub struct Found {
    names: [Option<String>; 5],
}

impl Columns {
    /// Finds them among those of the source.
    pub fn find(&self, there: &[String]) -> Result<Found, String> {
        let usual: [(&Option<String>, &[&str]); 5] = [
            (&self.full_name, &["fullname", "full_name", "name"]),
            (&self.phone, &["phone", "phone_number", "mobile"]),
            (&self.email, &["email"]),
            (&self.password, &["password", "password_hash"]),
            (&self.created_at, &["created_at"]),
        ];
        let mut names = [const { None }; 5];
        for (name, (named, usual)) in names.iter_mut().zip(usual) {
            *name = match named {
                Some(named) if !there.contains(named) => return Err(format!("there is no column \"{named}\"; there is {}", list(there))),
                Some(named) => Some(named.clone()),
                None => usual.iter().find_map(|usual| there.iter().find(|there| there.eq_ignore_ascii_case(usual))).cloned(),
            };
        }
        match names {
            [_, None, None, ..] => {
                Err(format!("there is no column with numbers or addresses; name one with --phone or --email: {}", list(there)))
            }
            names => Ok(Found { names }),
        }
    }
}

fn list(there: &[String]) -> String {
    if there.is_empty() { "no column at all (is it the right table?)".into() } else { there.join(", ") }
}

impl Found {
    /// The columns to read.
    pub fn names(&self) -> Vec<String> {
        self.names.iter().flatten().cloned().collect()
    }

    /// A person, from the values of these columns.
    pub fn person(&self, row: &[Option<String>], region: Option<Country>, now: Timestamp) -> Result<Person, Refusal> {
        let mut values = row.iter();
        let mut next = |column: usize| self.names[column].as_ref().and_then(|_| values.next()?.as_deref()).unwrap_or("").trim();
        let [full_name, phone, email, password, created_at] = [next(0), next(1), next(2), next(3), next(4)];
        let mut identifiers = Vec::new();
        for (value, is_phone) in [(phone, true), (email, false)].into_iter().filter(|(value, _)| !value.is_empty()) {
            let destination = Destination::parse(value, region).map_err(|error| Refusal::new(mask(value), error.to_string()))?;
            let destination = identity(&destination).unwrap_or(destination);
            if destination.is_phone() != is_phone {
                let what = if is_phone { "is not a phone number" } else { "is not a mail address" };
                return Err(Refusal::new(mask(value), what));
            }
            identifiers.push(destination);
        }
        let who = || identifiers.iter().map(Destination::masked).collect::<Vec<_>>().join(" ");
        if identifiers.is_empty() {
            return Err(Refusal::new("nobody".into(), "it has neither a number nor an address"));
        }
        if !password.is_empty() {
            Foreign::parse(password).map_err(|refused| Refusal::new(who(), refused.to_string()))?;
        }
        let full_name: String = full_name.chars().filter(|letter| !letter.is_control()).take(NAME_MAX_CHARS).collect();
        let password = (!password.is_empty()).then(|| Redacted::new(password.to_owned()));
        let created_at = time(created_at).filter(|then| *then <= now).unwrap_or(now);
        Ok(Person { full_name, identifiers, password, created_at })
    }
}

/// RFC 3339, `2024-05-01 12:00:00` (taken for UTC), a date, or a Unix time.
fn time(text: &str) -> Option<Timestamp> {
    if let Ok(number) = text.parse::<i64>() {
        return Some(Timestamp(if number.abs() >= MILLISECONDS_FROM { number } else { number.saturating_mul(1000) }));
    }
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let local = text.parse::<jiff::civil::DateTime>().ok()?;
        local.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    });
    instant.map(|instant| Timestamp(instant.as_millisecond()))
}

/// Enough of what is no number and no address to find the row, and no more.
fn mask(value: &str) -> String {
    let letters: Vec<char> = value.chars().filter(|letter| !letter.is_control()).take(40).collect();
    let shown = if letters.len() >= 8 { 3 } else { 1 };
    letters.iter().enumerate().map(|(place, letter)| if place < shown { *letter } else { '*' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_every_usual_form() {
        let noon = Some(Timestamp(1_714_564_800_000));
        for text in ["2024-05-01T12:00:00Z", "2024-05-01 12:00:00", "2024-05-01T14:00:00+02:00", "1714564800", "1714564800000"] {
            assert_eq!(time(text), noon, "{text}");
        }
        assert_eq!((time(""), time("yesterday")), (None, None));
    }

    /// LOG-02: a report may be passed on.
    #[test]
    fn what_is_no_number_is_masked_too() {
        assert_eq!((mask("0151 1234567"), mask("ann"), mask("")), ("015*********".into(), "a**".into(), String::new()));
        assert_eq!(mask("\u{1b}[31mred"), "[******");
    }
}
