//! The faces of the server. They translate words and status codes, call the engine, and never decide.
//!
//! [`server`] accepts connections, [`room`] says who is worked on, [`frame`] is around every handler, [`problem`] is every failure; [`v1`] is the native
//! API, [`camara`] and [`oauth`] a standard's, [`login`] what people sign in with, [`tutorial`] the well-known tutorials' routes, [`twilio`] Twilio Verify's API, [`dev`] the inbox, [`web_app`] an app of the operator's own, [`not_me`] the
//! page behind a mail's link, [`operation`] health and metrics.

pub mod camara;
pub mod client_token;
pub mod dev;
pub mod extract;
pub mod frame;
pub mod keys;
pub mod login;
pub mod not_me;
pub mod oauth;
pub mod openapi;
pub mod operation;
pub mod page;
pub mod problem;
pub mod room;
pub mod server;
pub mod tls;
pub mod tutorial;
pub mod twilio;
pub mod v1;
pub mod web_app;
pub mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::middleware;

use crate::app::App;
use problem::{Problem, ProblemCode};

/// Every public route.
pub fn public(app: &Arc<App>) -> Router {
    let mut described = v1::router();
    if app.accounts.is_some() {
        described = described.merge(login::json::router(app));
    }
    let (described, openapi) = described.split_for_parts();
    let mut router = described.merge(openapi::router(openapi)).merge(operation::health()).merge(page::router()).merge(webhooks::router());
    if app.login_pages.is_some() {
        router = router.merge(login::pages::handlers::router());
    }
    if app.cancel_links.is_some() {
        router = router.merge(not_me::router());
    }
    if app.tutorial_api {
        router = router.merge(tutorial::router(app));
    }
    if app.twilio.is_some() {
        router = router.merge(twilio::router());
    }
    if let Some(camara) = &app.camara {
        router = router.merge(camara::router(app, &camara.versions)).merge(oauth::router());
    }
    if app.inbox.is_some() {
        router = router.merge(dev::router());
    }
    if let Some((path, directory)) = &app.web_app {
        router = router.merge(web_app::router(path, directory));
    }
    finish(router, app)
}

/// The admin listener's routes.
pub fn admin(app: &Arc<App>) -> Router {
    finish(operation::metrics().merge(operation::health()), app)
}

fn finish(router: Router<Arc<App>>, app: &Arc<App>) -> Router {
    router
        .fallback(|| async { Problem::new(ProblemCode::NotFound) })
        .method_not_allowed_fallback(|| async { Problem::new(ProblemCode::MethodNotAllowed) })
        .layer(middleware::from_fn_with_state(Arc::clone(app), frame::around_routes))
        .with_state(Arc::clone(app))
}
