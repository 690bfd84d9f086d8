//! The JSON API of accounts: the Express and React tutorial to the letter, and everything that its reader is told to add.

use serde_json::{Value, json};

use crate::actors::{eventually, number, wrong};
use crate::app::TestApp;
use crate::people::{PASSWORD, Person};

/// The tutorial's own walk, by an app without cookies: no token before the code, and `/protected` opens to it only.
#[tokio::test]
async fn the_tutorials_walk() {
    let app = TestApp::with_environment("", &["JWT_SECRET=supersecretkey"]).await;
    let ann = Person::app(&app, 1);
    let body = json!({ "email": ann.email, "password": PASSWORD, "phone": ann.phone });
    let registered = ann.post("/auth/register", body).await;
    assert_eq!(registered.expect(201), json!({ "message": "Registered successfully" }));

    let refused = ann.post("/auth/login", json!({ "email": ann.email, "password": "not the password" })).await;
    assert_eq!(refused.expect(401), json!({ "error": "Invalid credentials" }));
    assert_eq!(ann.login().await.expect(200), json!({ "message": "OTP sent" }));

    let code = ann.newest_code(&ann.phone).await;
    let refused = ann.verify(&wrong(&code, 1)).await;
    assert_eq!(refused.expect(401), json!({ "error": "Invalid or expired OTP" }));
    let signed_in = ann.verify(&code).await.expect(200);
    assert_eq!(signed_in.as_object().expect("an object").keys().collect::<Vec<_>>(), ["token"]);
    assert_eq!(ann.verify(&code).await.expect(401), json!({ "error": "Invalid or expired OTP" }), "once is enough");

    assert!(ann.get("/protected").await.expect(401)["error"].is_string());
    ann.hold(&signed_in["token"]);
    let welcome = ann.get("/protected").await.expect(200);
    assert_eq!(welcome["message"], "Welcome!");
    assert!(welcome["user"]["id"].is_string() && welcome["user"]["exp"].is_i64(), "{welcome}");
    assert_eq!(welcome["user"]["amr"], json!(["pwd", "sms", "mfa"]));
    ann.hold(&json!("nonsense"));
    assert!(ann.get("/protected").await.expect(401)["error"].is_string());
}
