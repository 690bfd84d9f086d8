//! stand-in
/// x
#[derive(Clone)]
pub struct Password(String);
use crate::verification::request::InvalidField;
/// x
#[derive(Debug, thiserror::Error)]
#[error("busy")]
pub struct Busy;
impl Password {
    /// x
    pub fn parse(text: &str) -> Result<Password, InvalidField> {
        Ok(Password(text.to_owned()))
    }
}
/// x
pub enum Verified {
    /// x
    No,
    /// x
    Yes,
    /// x
    YesAnd(String),
}
/// x
pub struct Hasher;
impl Hasher {
    /// x
    pub async fn hash(&self, password: Password) -> Result<String, Busy> {
        tokio::task::yield_now().await;
        Ok(password.0)
    }
    /// x
    pub async fn verify(&self, password: Password, hash: Option<String>) -> Result<Verified, Busy> {
        tokio::task::yield_now().await;
        Ok(if hash.as_deref() == Some(&*password.0) { Verified::Yes } else { Verified::No })
    }
}
/// x
pub mod policy {
    use super::*;
    /// x
    pub fn acceptable(_: &Password, _: bool, _: &[&str]) -> Result<(), InvalidField> {
        Ok(())
    }
}
