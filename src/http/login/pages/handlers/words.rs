//! What a page says about a rule that a field breaks.

use crate::account::password::policy;
use crate::account::settings::{AccountSettings, SecondFactor};
use crate::http::login::pages::frame::Invalid;

/// Longest password, in characters.
const PASSWORD_MAX: usize = 256;

/// Fewest characters of a password.
pub fn password_min(settings: &AccountSettings) -> u32 {
    let least = match settings.second_factor {
        SecondFactor::Required => policy::WITH_SECOND_FACTOR_MIN_CHARS,
        SecondFactor::WhenEnrolled => policy::ALONE_MIN_CHARS,
    };
    u32::try_from(least).unwrap_or(u32::MAX)
}

/// What is wrong with a new password that was refused.
pub fn password(password: &str, settings: &AccountSettings) -> Invalid {
    let (characters, least) = (password.chars().count(), password_min(settings));
    if characters == 0 {
        Invalid::Missing
    } else if characters < least as usize {
        Invalid::TooShort(least)
    } else if characters > PASSWORD_MAX {
        Invalid::TooLong
    } else {
        Invalid::Common
    }
}

/// What is wrong with a number or address that was refused.
pub fn identifier(typed: &str, otherwise: Invalid) -> Invalid {
    if typed.trim().is_empty() { Invalid::Missing } else { otherwise }
}
