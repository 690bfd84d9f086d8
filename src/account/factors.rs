//! stand-in
use crate::account::model::*;
use crate::account::second_factor::*;
use crate::account::sign_in::State;
use crate::account::*;
use crate::db::accounts::Flow;
impl Accounts {
    pub(super) fn challenge(&self) -> String {
        String::new()
    }
    pub(super) async fn passkey_request(&self, _: Option<AccountId>, _: &str) -> Result<serde_json::Value, AccountError> {
        tokio::task::yield_now().await;
        Ok(Default::default())
    }
    pub(super) async fn prove_passkey_alone(&self, _: &Visitor, _: &Flow, _: State, _: Proof) -> Result<Proved, AccountError> {
        tokio::task::yield_now().await;
        Ok(Proved::Wrong)
    }
    pub(super) async fn judge_totp(&self, _: &Account, _: &str) -> Result<Judged, AccountError> {
        tokio::task::yield_now().await;
        Ok(Judged::Wrong)
    }
    pub(super) async fn judge_recovery_code(&self, _: &Visitor, _: &Account, _: &str) -> Result<Judged, AccountError> {
        tokio::task::yield_now().await;
        Ok(Judged::Wrong)
    }
    pub(super) async fn judge_passkey(&self, _: &Account, _: &str, _: &serde_json::Value) -> Result<Judged, AccountError> {
        tokio::task::yield_now().await;
        Ok(Judged::Wrong)
    }
}
