#![cfg(test)]
//! Every page in its states, and what must hold for all of them in all languages. `tests/browser/login-pages.test.js` looks at
//! the same ones.

use std::collections::BTreeSet;
use std::path::Path;

use askama::Template;

use crate::account::model::Method;
use crate::clock::Timestamp;
use crate::http::login::pages::brand::{Brand, BrandSettings};
use crate::http::login::pages::code::{CONFIRM_IDENTIFIER, ConfirmPage, ForgotPage, RecoverPage, VERIFY, VerifyPage};
use crate::http::login::pages::entry::{LoginPage, LogoutPage, ProfilePage, RegisterPage};
use crate::http::login::pages::frame::{Field, Frame, Invalid, Notice, Way};
use crate::http::login::pages::reset::{PasswordPage, ResetPage};
use crate::http::login::pages::security::{CodesPage, IdentifierRow, PasskeyRow, SecurityPage, SessionRow, TotpPage};
use crate::http::login::pages::texts::{Catalogue, SHIPPED, Texts};

const NAME: &str = "<b>Ann</b> O’Hara";
const CSRF: &str = "sample\"token";
const PHONE: Field<'_> = Field { value: "+4915112345678", error: None };
const OPTIONS: &str = r#"{"publicKey":{"challenge":"c2FtcGxl"}}"#;
const SINCE: Timestamp = Timestamp(1_767_225_600_000);

const NOTICES: [Notice; 14] = [
    Notice::AccountCreated,
    Notice::WrongCredentials,
    Notice::SignInAgain,
    Notice::SignedOut,
    Notice::PasswordChanged,
    Notice::Wait(90),
    Notice::Busy,
    Notice::FormExpired,
    Notice::CodeSent,
    Notice::CodeNotSent,
    Notice::PasskeyFailed,
    Notice::Saved,
    Notice::Confirmed,
    Notice::LastOne,
];

fn wrong(value: &str, error: Invalid) -> Field<'_> {
    Field { value, error: Some(error) }
}

fn brand() -> Brand {
    Brand::new(&BrandSettings { name: "Harbour & Sons", ..BrandSettings::default() }).expect("a brand")
}

type Pages = Vec<(String, String)>;

fn add(pages: &mut Pages, name: &str, page: &impl Template) {
    pages.push((name.to_owned(), page.render().expect("a page")));
}

/// All of them, by name.
fn pages(words: &Texts, brand: &Brand) -> Pages {
    let frame = Frame { words, brand, csrf: CSRF, notice: None };
    let mut pages = Vec::new();
    entry(&mut pages, frame);
    proofs(&mut pages, frame);
    passwords(&mut pages, frame);
    security(&mut pages, frame);
    pages
}

fn entry(pages: &mut Pages, frame: Frame<'_>) {
    let empty = Field::default();
    let register = RegisterPage { frame, full_name: empty, phone: empty, needs_phone: true, email: empty, password: None, password_min: 8 };
    add(pages, "register", &register);
    let taken = RegisterPage {
        full_name: Field { value: NAME, error: None },
        phone: wrong(PHONE.value, Invalid::Taken),
        email: wrong("ann@", Invalid::Email),
        password: Some(Invalid::Common),
        needs_phone: false,
        password_min: 15,
        ..register.clone()
    };
    add(pages, "register-errors", &taken);
    let missing = RegisterPage {
        full_name: wrong("", Invalid::Missing),
        phone: wrong("12", Invalid::Phone),
        email: wrong("x", Invalid::TooLong),
        password: Some(Invalid::TooShort(8)),
        ..register
    };
    add(pages, "register-missing", &missing);
    let login = LoginPage { frame, identifier: empty, password: None, may_register: false, by_code: false, passkey: None };
    add(pages, "login", &LoginPage { may_register: true, ..login.clone() });
    let all = LoginPage { identifier: PHONE, may_register: true, by_code: true, passkey: Some(OPTIONS), ..login.clone() };
    add(pages, "login-all-ways", &all);
    let wrong = LoginPage { identifier: wrong("Ann", Invalid::PhoneOrEmail), password: Some(Invalid::Missing), ..login.clone() };
    add(pages, "login-errors", &wrong);
    for notice in NOTICES {
        let page = LoginPage { frame: Frame { notice: Some(notice), ..frame }, ..login.clone() };
        add(pages, &format!("login-notice-{notice:?}").to_lowercase().replace(['(', ')'], ""), &page);
    }
    add(pages, "profile", &ProfilePage { frame, full_name: NAME });
    add(pages, "logout", &LogoutPage { frame });
}

fn proofs(pages: &mut Pages, frame: Frame<'_>) {
    let sms = Way { method: Method::Sms, address: "+49*********78" };
    let others = [
        Way { method: Method::Whatsapp, ..sms },
        Way { method: Method::Call, ..sms },
        Way { method: Method::Email, address: "a***@example.com" },
        Way { method: Method::Totp, address: "" },
        Way { method: Method::Passkey, address: "" },
        Way { method: Method::RecoveryCode, address: "" },
    ];
    let hidden = [("phone", PHONE.value)];
    let verify = VerifyPage {
        frame,
        path: VERIFY,
        hidden: &hidden,
        way: sms,
        is_asked: true,
        error: None,
        resend_in: Some(30),
        passkey: None,
        others: &others,
        may_remember: false,
        back: "/login",
    };
    add(pages, "verify", &verify);
    let wrong = VerifyPage { error: Some(Invalid::Code), resend_in: Some(0), may_remember: true, ..verify.clone() };
    add(pages, "verify-wrong", &wrong);
    let limited = VerifyPage { frame: Frame { notice: Some(Notice::Wait(600)), ..frame }, resend_in: Some(600), ..verify.clone() };
    add(pages, "verify-limited", &limited);
    let unsent = VerifyPage { is_asked: false, ..limited.clone() };
    add(pages, "verify-unsent", &unsent);
    let totp = VerifyPage { way: others[3], resend_in: None, ..verify.clone() };
    add(pages, "verify-totp", &totp);
    let passkey = VerifyPage { way: others[4], resend_in: None, passkey: Some(OPTIONS), ..verify.clone() };
    add(pages, "verify-passkey", &passkey);
    let hidden = [("identifier", "0198")];
    let confirm = VerifyPage { path: CONFIRM_IDENTIFIER, hidden: &hidden, way: others[2], others: &[], back: "/security", ..verify };
    add(pages, "identifier-verify", &confirm);
    add(pages, "recover", &RecoverPage { frame, error: None });
    add(pages, "recover-wrong", &RecoverPage { frame, error: Some(Invalid::Code) });
    let confirm = ConfirmPage { frame, identifier: PHONE.value, then: "security", has_password: true, password: None, ways: &others };
    add(pages, "confirm", &confirm);
    let notice = Some(Notice::WrongCredentials);
    let wrong = ConfirmPage { frame: Frame { notice, ..frame }, password: Some(Invalid::Missing), ways: &[], ..confirm.clone() };
    add(pages, "confirm-wrong", &wrong);
    add(pages, "confirm-without-password", &ConfirmPage { has_password: false, ..confirm });
}

fn passwords(pages: &mut Pages, frame: Frame<'_>) {
    add(pages, "forgot", &ForgotPage { frame, identifier: Field::default() });
    add(pages, "forgot-error", &ForgotPage { frame, identifier: wrong("Ann", Invalid::PhoneOrEmail) });
    let identifier = "a-rather-long-mailbox-name-that-somebody-really-has@mail.a-rather-long-company-name.example";
    let reset = ResetPage { frame, identifier, code: None, password: None, password_min: 8, resend_in: Some(60) };
    add(pages, "reset", &reset);
    let wrong = ResetPage { code: Some(Invalid::Code), password: Some(Invalid::TooShort(15)), password_min: 15, resend_in: None, ..reset };
    add(pages, "reset-errors", &wrong);
    let password = PasswordPage { frame, identifier, has_password: true, current: None, new: None, password_min: 8 };
    add(pages, "password", &password);
    add(pages, "password-errors", &PasswordPage { current: Some(Invalid::Missing), new: Some(Invalid::TooLong), ..password.clone() });
    add(pages, "password-first", &PasswordPage { has_password: false, ..password });
}

fn security(pages: &mut Pages, frame: Frame<'_>) {
    let identifiers = [
        IdentifierRow { id: "0198-1", value: PHONE.value, is_confirmed: true },
        IdentifierRow { id: "0198-2", value: "a-rather-long-mailbox-name-that-somebody-has@company.example", is_confirmed: false },
    ];
    let passkeys = [PasskeyRow { id: "0198-3", name: "Key ring", added_at: SINCE }];
    let this = SessionRow { id: "0198-4", agent: "Firefox, Linux", address: "192.0.2.7", seen_at: SINCE, is_this: true };
    let sessions = [
        this,
        SessionRow { id: "0198-5", agent: "Safari, iPhone", address: "2001:db8:85a3:0:0:8a2e:370:7334", is_this: false, ..this },
        SessionRow { id: "0198-6", agent: "Chrome, Android", address: "198.51.100.20", is_this: false, ..this },
    ];
    let bare = SecurityPage {
        frame,
        identifiers: &identifiers[..1],
        new_identifier: Field::default(),
        totp: None,
        passkeys: &[],
        new_passkey: None,
        codes_left: 0,
        sessions: &sessions[..1],
        has_password: false,
    };
    add(pages, "security-bare", &bare);
    let full = SecurityPage {
        identifiers: &identifiers,
        totp: Some(SINCE),
        passkeys: &passkeys,
        new_passkey: Some(OPTIONS),
        codes_left: 7,
        sessions: &sessions,
        has_password: true,
        ..bare
    };
    add(pages, "security", &full);
    let notice = Some(Notice::LastOne);
    let refused = SecurityPage { frame: Frame { notice, ..frame }, new_identifier: wrong("Ann", Invalid::PhoneOrEmail), ..full };
    add(pages, "security-errors", &refused);
    let totp = TotpPage {
        frame,
        qr_svg: QR,
        link: "otpauth://totp/Harbour:Ann?secret=ABC",
        key: "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP",
        error: None,
    };
    add(pages, "totp", &totp);
    add(pages, "totp-wrong", &TotpPage { error: Some(Invalid::Code), ..totp });
    let codes: Vec<_> = (0..10).map(|number| format!("K7Q{number}-9TRB-2MWX-4HJD-6VNC")).collect();
    add(pages, "codes", &CodesPage { frame, codes: &codes });
}

/// Something that looks like one.
const QR: &str = concat!(
    r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 29 29" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h29v29H0z"/>"##,
    r##"<path d="M4 4h7v7H4zM18 4h7v7h-7zM4 18h7v7H4zM13 5h3v2h-3zM14 9h2v3h-2zM5 13h3v2H5zM10 14h4v3h-4zM17 13h3v4h-3zM22 15h3v2h-3zM14 19h2v5h-2zM18 20h3v2h-3zM22 22h3v3h-3z"/></svg>"##
);

fn in_all_languages(mut look: impl FnMut(&Texts, &Pages)) {
    let catalogue = Catalogue::load().expect("every language is whole");
    for (locale, _) in SHIPPED {
        let words = catalogue.of(locale);
        assert_eq!(words.locale, *locale);
        look(words, &pages(words, &brand()));
    }
}

/// Every page in every language: its language and direction, one heading, words everywhere, and nothing that our policy or a
/// screen reader would stumble over. Names stay text (WEB-03).
#[test]
fn every_page_is_whole_in_every_language() {
    in_all_languages(|words, pages| {
        assert!(pages.len() > 40);
        for (name, html) in pages {
            let at = format!("{} {name}", words.locale);
            assert!(html.contains(&format!("<html lang=\"{}\" dir=\"{}\">", words.locale, words.direction)), "{at}");
            assert_eq!(html.matches("<h1>").count(), 1, "{at}");
            assert!(!html.contains("<b>Ann"), "{at}: a name became markup");
            for banned in [" style=", "<style", "onclick", "<script>", "javascript:", "></button>", "></h1>", "></h2>"] {
                assert!(!html.replace("</bdi>", "").contains(banned), "{at}: {banned}");
            }
            let without_its_value = html.split('>').any(|part| part.split('<').next().is_some_and(|text| text.contains("{}")));
            assert!(!without_its_value, "{at}: a place without its value");
        }
    });
}

/// WEB-01, WEB-05: each form posts to a path of this server, with the token, and the token stands nowhere else.
#[test]
fn every_form_posts_its_token() {
    in_all_languages(|words, pages| {
        for (name, html) in pages {
            let at = format!("{} {name}", words.locale);
            for form in html.split("<form").skip(1) {
                let form = form.split("</form>").next().expect("an end");
                assert!(form.contains("method=\"post\" action=\"/"), "{at}: {form}");
                assert!(form.contains("<input type=\"hidden\" name=\"csrf\" value=\"sample&#34;token\">"), "{at}: {form}");
                assert!(form.contains("<button"), "{at}: {form}");
            }
            assert_eq!(html.matches("sample&#34;token").count(), html.matches("<form").count(), "{at}");
        }
    });
}

/// A label for every field, an existing target for every reference, and no id twice.
#[test]
fn fields_are_labelled_and_references_lead_somewhere() {
    in_all_languages(|words, pages| {
        for (name, html) in pages {
            let at = format!("{} {name}", words.locale);
            let values = |attribute: &str| -> Vec<String> {
                let begin = format!(" {attribute}=\"");
                html.split(&begin).skip(1).map(|part| part.split('"').next().unwrap_or_default().to_owned()).collect()
            };
            let ids: BTreeSet<_> = values("id").into_iter().collect();
            assert_eq!(ids.len(), values("id").len(), "{at}: an id twice");
            for attribute in ["for", "aria-describedby", "aria-labelledby", "aria-controls"] {
                for target in values(attribute).iter().flat_map(|targets| targets.split(' ')) {
                    assert!(ids.contains(target), "{at}: {attribute} {target}");
                }
            }
            for input in html.split("<input").skip(1).map(|input| input.split('>').next().unwrap_or_default()) {
                let fills_itself = input.contains("type=\"hidden\"") || input.contains("type=\"checkbox\"");
                assert!(fills_itself || input.contains(" autocomplete=\""), "{at}: {input}");
                assert!(!input.contains("type=\"password\"") || !input.contains(" value="), "{at}: {input}");
            }
        }
    });
}

/// R1's paths and fields, word for word.
#[test]
fn the_pages_have_the_fields_that_clients_know() {
    let catalogue = Catalogue::load().expect("texts");
    let (words, brand) = (catalogue.of("en"), brand());
    let pages = pages(words, &brand);
    let page = |name: &str| &pages.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no page {name}")).1;
    for (name, action, fields) in [
        ("register", "/register", &["fullname", "phone", "email", "password"][..]),
        ("login", "/login", &["phone", "password"]),
        ("verify", "/verify", &["phone", "code"]),
        ("identifier-verify", "/security/identifiers/verify", &["identifier", "code"]),
        ("forgot", "/forgot", &["identifier"]),
        ("reset", "/reset", &["code", "password"]),
        ("recover", "/recover", &["code"]),
        ("confirm", "/security/confirm", &["password"]),
        ("password", "/security/password", &["current_password", "new_password"]),
        ("totp", "/security/totp", &["code"]),
    ] {
        let form = page(name).split("<form").find(|form| form.contains(&format!("action=\"{action}\"")));
        let form = form.and_then(|form| form.split("</form>").next()).unwrap_or_else(|| panic!("{name} has no form for {action}"));
        for field in fields {
            assert_eq!(form.matches(&format!(" name=\"{field}\"")).count(), 1, "{name}: {field}");
        }
    }
    assert!(page("login-notice-accountcreated").contains(">Account created successfully! You can now login.<"));
    assert!(page("verify-wrong").contains(">Invalid or expired verification code<"));
    assert!(page("profile").contains("&#60;b&#62;Ann"));
    let code = page("verify").split("<input").find(|input| input.contains("name=\"code\"")).expect("a field for the code");
    for attribute in ["autocomplete=\"one-time-code\"", "inputmode=\"numeric\""] {
        assert!(code.contains(attribute), "{code}");
    }
}

/// No language has a sentence of English in it. A few words are the same in several, and are named here.
#[test]
fn translations_are_translated() {
    const SAME: [&str; 6] = ["{} s", "{} min", "Code", "Password", "Passkey", "Passkeys"];
    let flat = |source: &str| -> Vec<(String, String)> {
        let table: toml::Table = source.parse().expect("TOML");
        let groups = table.iter().filter_map(|(group, value)| Some((group, value.as_table()?)));
        groups
            .flat_map(|(group, keys)| {
                keys.iter().map(move |(key, text)| (format!("{group}.{key}"), text.as_str().unwrap_or_default().to_owned()))
            })
            .collect()
    };
    let english = flat(SHIPPED[0].1);
    assert!(english.len() > 100);
    for (locale, source) in &SHIPPED[1..] {
        for ((key, text), (_, original)) in flat(source).iter().zip(&english) {
            assert!(text != original || SAME.contains(&text.as_str()), "{locale} {key}: {text}");
        }
    }
}

/// For the browser's tests: the pages as files.
#[test]
#[ignore = "writes target/login-pages: tests/browser/login-pages.test.js asks for it"]
fn write_every_page() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/login-pages");
    in_all_languages(|words, pages| {
        let directory = directory.join(words.locale);
        std::fs::create_dir_all(&directory).expect("a directory");
        for (name, html) in pages {
            std::fs::write(directory.join(name), html).expect("a file");
        }
    });
    std::fs::write(directory.join("brand.css"), brand().css()).expect("a file");
    let settings = BrandSettings { name: "Plum", accent: Some("#7a2e8e"), accent_dark: Some("#e3a5f2"), ..BrandSettings::default() };
    std::fs::write(directory.join("plum.css"), Brand::new(&settings).expect("a brand").css()).expect("a file");
}
