//! An app of the operator's own under a path: its files, its page for everything else, and nothing outside of it.

use crate::app::TestApp;

#[tokio::test]
async fn the_app_is_handed_out_and_nothing_beside_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = directory.path().join("dist");
    std::fs::create_dir_all(files.join("assets")).expect("a directory");
    std::fs::write(files.join("index.html"), "<!doctype html><title>An app</title>").expect("a file");
    std::fs::write(files.join("assets/index.js"), "export {}").expect("a file");
    std::fs::write(directory.path().join("secret.txt"), "secret").expect("a file");
    let app = TestApp::with(&format!("[web_app]\ndirectory = \"{}\"", files.display())).await;
    let stranger = app.stranger();
    for path in ["/app", "/app/", "/app/welcome", "/app/no/such.file"] {
        let page = stranger.get(path).await;
        assert_eq!((page.status, page.body.contains("An app")), (200, true), "{path}");
        assert_eq!(page.header("cache-control"), Some("no-cache"), "{path}");
        assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("script-src 'self'")));
    }
    let script = stranger.get("/app/assets/index.js").await;
    assert_eq!((script.status, script.header("content-type")), (200, Some("text/javascript")));
    assert_eq!(script.header("cache-control"), Some("public, max-age=3600"));
    for path in
        ["/app/../secret.txt", "/app/%2e%2e/secret.txt", "/app/..%2fsecret.txt", "/app//etc/passwd", "/app/assets/..%5c..%5csecret.txt"]
    {
        assert!(!stranger.get(path).await.body.contains("secret"), "{path}");
    }
    assert_eq!(stranger.get("/apple").await.status, 404);
}
