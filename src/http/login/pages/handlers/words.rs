//! What a page says about a rule that a field breaks.

use crate::account::settings::{AccountSettings, SecondFactor};
use crate::http::login::pages::frame::Invalid;

/// Longest password, in characters.
const PASSWORD_MAX: usize = 256;

/// Fewest characters of a password.
pub fn password_min(settings: &AccountSettings) -> u32 {
    match settings.second_factor {
        SecondFactor::Required => 8,
        SecondFactor::WhenEnrolled => 15,
    }
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
