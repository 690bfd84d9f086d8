//! Mails: through a real server (aiosmtpd, in `./test mail`), and through one that behaves badly.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use countersign::delivery::provider::{Fault, MessageProvider};
use countersign::delivery::providers::smtp::KIND;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::actors::eventually;
use crate::app::TestApp;
use crate::sample::{CODE, mail, provider};

const REAL: &str = "needs aiosmtpd: ./test mail";

/// aiosmtpd (tests/mail/server.py). Ends with its standard input.
struct Server {
    child: Child,
    said: Arc<Mutex<Vec<Value>>>,
    port: u64,
    directory: TempDir,
    _open: ChildStdin,
}

impl Server {
    fn start(encryption: &str, more: &[&str]) -> Server {
        let python = std::env::var("COUNTERSIGN_TEST_PYTHON").expect(REAL);
        let directory = TempDir::new().expect("a directory");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let (certificate, key) = (directory.path().join("tls.crt"), directory.path().join("tls.key"));
        std::fs::write(&certificate, made.cert.pem()).expect("a file");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail/server.py");
        let mut command = Command::new(python);
        command.arg(script).arg(encryption).arg("--certificate").arg(&certificate).arg("--key").arg(&key).args(more);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python");
        let (open, out) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut lines = BufReader::new(out).lines().map(|line| serde_json::from_str::<Value>(&line.expect("text")).expect("JSON"));
        let port = lines.next().expect("it listens")["port"].as_u64().expect("a port");
        let said = Arc::<Mutex<Vec<Value>>>::default();
        let heard = Arc::clone(&said);
        std::thread::spawn(move || lines.for_each(|line| heard.lock().expect("no test panics with the lock").push(line)));
        Server { child, said, port, directory, _open: open }
    }

    fn settings(&self, more: &str) -> String {
        let certificate = self.directory.path().join("tls.crt");
        format!("host = \"localhost\"\nport = {}\nca_file = \"{}\"\nfrom = \"otp@shop.example\"\n{more}", self.port, certificate.display())
    }

    fn provider(&self, more: &str) -> Arc<dyn MessageProvider> {
        provider(&KIND, &self.settings(more)).expect("a provider")
    }

    /// Everything of one kind that it said so far.
    fn said(&self, what: &str) -> Vec<Value> {
        let said = self.said.lock().expect("no test panics with the lock");
        said.iter().filter(|line| line.get(what).is_some()).cloned().collect()
    }

    async fn mails(&self, count: usize) -> Vec<Value> {
        eventually("the mails are there", async || Some(self.said("mail")).filter(|mails| mails.len() >= count)).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both ways to TLS, with a log-in: what arrives is complete, and one connection carries several mails.
#[tokio::test]
#[ignore = "needs aiosmtpd: ./test mail"]
async fn mails_travel_encrypted_and_complete() {
    for encryption in ["starttls", "tls"] {
        let server = Server::start(encryption, &["--user", "otp", "--password", "sésame"]);
        let log_in = "username = \"otp\"\npassword = \"sésame\"\nreply_to = \"Help <help@shop.example>\"";
        let smtp = server.provider(&format!("encryption = \"{encryption}\"\n{log_in}"));
        let message = mail("ann@example.com");
        let reference = smtp.send(&message).await.expect("it is sent");
        assert_eq!(reference, format!("{}@shop.example", message.envelope.reference));
        smtp.send(&mail("bob@example.com")).await.expect("it is sent");
        let mails = server.mails(2).await;
        assert_eq!((&mails[0]["sender"], &mails[0]["to"]), (&"otp@shop.example".into(), &json!(["ann@example.com"])));
        assert_eq!((&mails[0]["encrypted"], &mails[0]["user"]), (&true.into(), &"otp".into()), "{encryption}");
        assert_eq!(mails[1]["to"], json!(["bob@example.com"]));
        assert_eq!((server.said("connection").len(), server.said("login").len()), (1, 1), "one connection for both");
        let text = mails[0]["mail"].as_str().expect("a mail");
        for line in [
            "From: Countersign <otp@shop.example>",
            "To: ann@example.com",
            "Reply-To: Help <help@shop.example>",
            &format!("Subject: {CODE} is your Countersign code"),
            &format!("Message-ID: <{reference}>"),
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
            CODE,
        ] {
            assert!(text.lines().any(|found| found.trim_end() == line), "{line} is missing in\n{text}");
        }
        assert!(
            text.contains("multipart/alternative")
                && text.contains("text/plain; charset=utf-8")
                && text.contains("text/html; charset=utf-8")
        );
        assert!(text.lines().any(|line| line.starts_with("Date: ")), "{text}");
    }
}

#[tokio::test]
#[ignore = "needs aiosmtpd: ./test mail"]
async fn refusals_mean_what_they_say() {
    let server = Server::start("none", &[]);
    let smtp = server.provider("");
    for (to, fault, code) in [
        ("nobody@example.com", Fault::Rejected, "550 5.1.1"),
        ("later@example.com", Fault::Unavailable, "451 4.7.1"),
        ("relay@example.com", Fault::Unavailable, "550 5.7.1"),
        ("spam@example.com", Fault::Unavailable, "554 5.6.0"),
    ] {
        let error = smtp.send(&mail(to)).await.expect_err(to);
        assert_eq!((error.fault, error.code.as_deref()), (fault, Some(code)), "{to}: {error}");
        assert!(!error.to_string().contains("example.com") && !error.cause.contains("user here"), "{error}");
    }
    smtp.send(&mail("ann@example.com")).await.expect("the connection is good for the next");
    assert!(server.said("connection").len() <= 2, "{:?}", server.said("connection"));
}

/// Whoever cannot be trusted, or does not let us in, gets neither password nor mail.
#[tokio::test]
#[ignore = "needs aiosmtpd: ./test mail"]
async fn nothing_is_said_to_a_server_that_is_not_trusted() {
    for encryption in ["starttls", "tls"] {
        let server = Server::start(encryption, &["--user", "otp", "--password", "sesame"]);
        let log_in = format!("encryption = \"{encryption}\"\nusername = \"otp\"\npassword = ");
        let settings = server.settings(&format!("{log_in}\"sesame\""));
        let untrusting: String = settings.lines().filter(|line| !line.starts_with("ca_file")).map(|line| format!("{line}\n")).collect();
        for (settings, cause) in [
            (untrusting, if encryption == "tls" { "no connection" } else { "its certificate is not trusted, or TLS failed" }),
            (
                settings.replace("localhost", "127.0.0.1"),
                if encryption == "tls" { "no connection" } else { "its certificate is not trusted, or TLS failed" },
            ),
        ] {
            let error = provider(&KIND, &settings).expect("a provider").send(&mail("ann@example.com")).await.expect_err("it is refused");
            assert_eq!((error.fault, error.cause.as_str()), (Fault::Unavailable, cause), "{encryption}");
        }
        assert_eq!(server.said("login").len(), 0, "no password was shown");
        let error = server.provider(&format!("{log_in}\"wrong\"")).send(&mail("ann@example.com")).await.expect_err("it is refused");
        assert_eq!((error.fault, error.cause.as_str()), (Fault::Unavailable, "user name or password were refused"));
        assert_eq!(server.said("mail").len(), 0);
    }
    let plain = Server::start("none", &[]);
    let error = plain.provider("encryption = \"starttls\"").send(&mail("ann@example.com")).await.expect_err("it is refused");
    assert_eq!((error.fault, error.cause.as_str()), (Fault::Unavailable, "it offers no STARTTLS"));
}

/// From a start to the mail, through the whole server.
#[tokio::test]
#[ignore = "needs aiosmtpd: ./test mail"]
async fn a_code_arrives_by_mail() {
    let server = Server::start("starttls", &["--user", "otp", "--password", "sesame"]);
    let settings = server.settings("encryption = \"starttls\"\nusername = \"otp\"\npassword = \"sesame\"");
    let app = TestApp::with(&format!("[service.default]\nbrand = \"Grüße\"\n[provider.mail]\ntype = \"smtp\"\n{settings}")).await;
    let verification = app.client().started(json!({ "to": "ann@example.com", "locale": "de" })).await;
    app.client().sent(&verification).await;
    let mails = server.mails(1).await;
    let code = app.inbox().code(&verification).await;
    assert!(mails[0]["mail"].as_str().expect("a mail").lines().any(|line| line.trim_end() == code), "{}", mails[0]);
    assert_eq!(app.client().check(&verification, &code).await.expect(200)["valid"], true);
}

/// A server that speaks well until it does what a test wants.
struct Bad {
    port: u16,
    connections: Arc<AtomicUsize>,
    texts: Arc<AtomicUsize>,
}

/// What it does with a command or a text: answers, or hangs up.
type Answers = fn(connection: usize, command: &str) -> Option<String>;

impl Bad {
    async fn new(answers: Answers) -> Bad {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (connections, texts) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let bad =
            Bad { port: listener.local_addr().expect("bound").port(), connections: Arc::clone(&connections), texts: Arc::clone(&texts) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(speak(stream, number, answers, Arc::clone(&texts)));
            }
        });
        bad
    }

    fn provider(&self) -> Arc<dyn MessageProvider> {
        provider(&KIND, &format!("url = \"smtp://127.0.0.1:{}\"\nfrom = \"otp@shop.example\"", self.port)).expect("a provider")
    }
}

async fn speak(stream: TcpStream, number: usize, answers: Answers, texts: Arc<AtomicUsize>) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = tokio::io::BufReader::new(read).lines();
    let mut say = async |text: String| write.write_all(format!("{text}\r\n").as_bytes()).await.ok();
    say(answers(number, "HELLO").unwrap_or("220 bad.test".into())).await?;
    while let Some(line) = lines.next_line().await.ok()? {
        let command = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let answer = answers(number, &command)?;
        let taken = answer.starts_with("354");
        say(answer).await?;
        if taken {
            while lines.next_line().await.ok()?? != "." {}
            texts.fetch_add(1, Ordering::SeqCst);
            say(answers(number, "TEXT")?).await?;
        }
    }
    Some(())
}

fn well(command: &str) -> Option<String> {
    let answer = match command {
        "HELLO" => "220 bad.test",
        "DATA" => "354 go on",
        "QUIT" => "221 bye",
        _ => "250 fine",
    };
    Some(answer.to_owned())
}

/// RFC 5321, 4.2.5: until the text is answered nobody knows; before it was handed over everybody does.
#[tokio::test]
async fn a_lost_connection_is_judged_by_what_was_said_before() {
    let cases: [(Answers, Fault); 7] = [
        (|_, command| if command == "TEXT" { None } else { well(command) }, Fault::Uncertain),
        (|_, command| if command == "DATA" { None } else { well(command) }, Fault::Unavailable),
        (|_, command| if command == "RCPT" { None } else { well(command) }, Fault::Unavailable),
        (|_, command| if command == "MAIL" { None } else { well(command) }, Fault::Unavailable),
        (|_, command| if command == "HELLO" { Some("421 too busy".into()) } else { well(command) }, Fault::Unavailable),
        (|_, command| if command == "TEXT" { Some("451 not now".into()) } else { well(command) }, Fault::Unavailable),
        (
            |_, command| if command == "TEXT" { Some("550 5.2.1 The mailbox of ann@example.com is closed".into()) } else { well(command) },
            Fault::Rejected,
        ),
    ];
    for (index, (answers, fault)) in cases.into_iter().enumerate() {
        let bad = Bad::new(answers).await;
        let error = bad.provider().send(&mail("ann@example.com")).await.expect_err("it fails");
        assert_eq!(error.fault, fault, "case {index}: {error}");
        assert!(!error.to_string().contains("ann@"), "{error}");
    }
}

/// A connection that died while it lay idle costs no mail and sends none twice.
#[tokio::test]
async fn a_stale_connection_is_replaced() {
    fn one_mail_each(_: usize, command: &str) -> Option<String> {
        well(command)
    }
    fn dies_after_one(connection: usize, command: &str) -> Option<String> {
        static SEEN: AtomicUsize = AtomicUsize::new(0);
        if connection == 0 && command == "MAIL" && SEEN.fetch_add(1, Ordering::SeqCst) > 0 {
            return None;
        }
        well(command)
    }
    fn tells_us_to_leave(connection: usize, command: &str) -> Option<String> {
        static SEEN: AtomicUsize = AtomicUsize::new(0);
        if connection == 0 && command == "MAIL" && SEEN.fetch_add(1, Ordering::SeqCst) > 0 {
            return Some("421 idle for too long".into());
        }
        well(command)
    }
    for (answers, connections) in [(one_mail_each as Answers, 1), (dies_after_one, 2), (tells_us_to_leave, 2)] {
        let bad = Bad::new(answers).await;
        let smtp = bad.provider();
        for _ in 0..3 {
            smtp.send(&mail("ann@example.com")).await.expect("it is sent");
        }
        assert_eq!((bad.texts.load(Ordering::SeqCst), bad.connections.load(Ordering::SeqCst)), (3, connections));
    }
}

/// A burst shares a few connections.
#[tokio::test]
async fn a_burst_opens_few_connections() {
    let bad = Bad::new(|_, command| well(command)).await;
    let smtp = bad.provider();
    let letter = mail("ann@example.com");
    let sent = futures_util::future::join_all((0..60).map(|_| smtp.send(&letter))).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    assert_eq!(bad.texts.load(Ordering::SeqCst), 60);
    assert!(bad.connections.load(Ordering::SeqCst) <= 16, "{} connections", bad.connections.load(Ordering::SeqCst));
}

#[test]
fn settings_are_checked_and_the_environments_names_are_known() {
    let refused = |toml: &str| provider(&KIND, toml).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused("host = \"mail.example.com\"\nencryption = \"none\"\nfrom = \"a@b.example\"").contains("allow_unencrypted"));
    assert!(refused("host = \"mail.example.com\"\nfrom = \"a@b.example\"\nusername = \"x\"").contains("password"));
    assert!(refused("host = \"mail.example.com\"\nfrom = \"nobody\"").contains("from"));
    assert!(refused("from = \"a@b.example\"").contains("host"));
    assert!(refused("host = \"mail.example.com\"\nport = \"many\"\nfrom = \"a@b.example\"").contains("port"));
    assert!(refused("url = \"http://mail.example.com\"\nfrom = \"a@b.example\"").contains("smtp://"));
    let secret = refused("url = \"imap://otp:hunter2@mail.example.com\"\nfrom = \"a@b.example\"");
    assert!(secret.contains("url") && !secret.contains("hunter2"), "{secret}");
    for good in [
        "host = \"mail.example.com\"\nencryption = \"none\"\nallow_unencrypted = true\nfrom = \"a@b.example\"",
        "host = \"mail.example.com\"\nport = \"2525\"\nfrom = \"Shop <a@b.example>\"",
        "url = \"smtps://otp%40b:p%2Bw+d@mail.example.com\"\nfrom = \"a@b.example\"",
        "host = \"localhost\"\nfrom = \"a@b.example\"",
    ] {
        assert_eq!(refused(good), "", "{good}");
    }
    let environment =
        [("SMTP_HOST", "mail.example.com"), ("SMTP_USER", "otp"), ("SMTP_PASS", "x"), ("SMTP_FROM", "a@b.example"), ("SMTP_PORT", "587")];
    let known = KIND.from_environment(|name| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()));
    assert_eq!(known.keys().collect::<Vec<_>>(), ["from", "host", "password", "port", "username"]);
    assert!(KIND.is_complete(|setting| known.contains_key(setting)));
    assert!(!KIND.is_complete(|setting| setting == "host"));
}
