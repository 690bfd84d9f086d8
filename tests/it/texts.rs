//! The words of messages: short enough, in the right language, and nobody's but the operator's (OTP-10, OTP-11).

use countersign::delivery::gsm::{Encoding, segments};
use countersign::verification::model::Channel;
use serde_json::json;

use crate::actors::number;
use crate::app::TestApp;
use crate::sample::{CODE, message, policy};

const PHONE: &str = "+4915112345678";
const GSM7: [&str; 10] = ["en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "id"];
const UCS2: [&str; 10] = ["ru", "uk", "ar", "he", "hi", "vi", "th", "zh", "ja", "ko"];

/// OTP-10: in each language that is shipped, one segment holds the text and the line for autofill.
#[test]
fn every_text_message_is_one_segment_and_ends_with_the_line_for_autofill() {
    let service = policy("[service.default]\norigin = \"my.example.com\"", "default");
    let languages = GSM7.map(|locale| (locale, Encoding::Gsm7)).into_iter().chain(UCS2.map(|locale| (locale, Encoding::Ucs2)));
    let mut texts = std::collections::HashSet::new();
    for (locale, encoding) in languages {
        let body = message(Channel::Sms, PHONE, locale, &service).body;
        assert_eq!(segments(&body), (encoding, 1), "{locale}: {body}");
        let (words, last) = body.split_once('\n').expect("two lines");
        assert_eq!(last, format!("@my.example.com #{CODE}"), "{locale}: nothing after it, and one line end before it");
        assert!(words.contains(CODE) && words.contains("Countersign") && words.trim() == words, "{locale}: {words:?}");
        texts.insert(words.to_owned());
    }
    assert_eq!(texts.len(), 20, "every language has words of its own");
}

/// Android looks for the hash at the end; where there is neither app nor site, the words end the message.
#[test]
fn the_last_line_is_the_services_choice_and_for_text_messages_only() {
    let hashed = policy("[service.default]\nandroid_app_hash = \"FA+9qCX9VSu\"", "default");
    let body = message(Channel::Sms, PHONE, "en", &hashed).body;
    assert!(body.ends_with("share it.\nFA+9qCX9VSu"), "{body}");
    // The SMS Retriever reads 140 bytes.
    for locale in GSM7.into_iter().chain(UCS2) {
        let body = message(Channel::Sms, PHONE, locale, &hashed).body;
        assert!(body.ends_with("\nFA+9qCX9VSu") && body.len() <= 140, "{locale}: {} bytes: {body}", body.len());
    }
    let plain = policy("", "default");
    assert_eq!(message(Channel::Sms, PHONE, "en", &plain).body.lines().count(), 1);
    for toml in ["origin = \"my.example.com\"", "android_app_hash = \"FA+9qCX9VSu\""] {
        let service = policy(&format!("[service.default]\n{toml}"), "default");
        for channel in [Channel::Whatsapp, Channel::Call] {
            let body = message(channel, PHONE, "en", &service).body;
            assert!(!body.contains('\n') && !body.contains('@') && !body.contains("FA+9"), "{body}");
        }
        assert!(!message(Channel::Email, "ann@example.com", "en", &service).body.contains("my.example.com"));
    }
    let words = message(Channel::Sms, PHONE, "en", &plain).body;
    assert_eq!(message(Channel::Whatsapp, PHONE, "en", &plain).body, words, "WhatsApp as text has the words of an SMS");
}

/// Exact, language, the service's, English; the operator's words before the shipped ones, language by language.
#[test]
fn the_nearest_language_is_taken() {
    let toml = "[service.default]\nlocale = \"fr-CA\"\n[service.default.templates.sms]\nde = \"eigen {{ code }}\"\n\"pt-BR\" = \"brasil {{ code }}\"\n\
                sv = \"svenska {{ code }}\"\n[service.shop]\nlocale = \"xx\"\n[service.shop.templates.sms]\nxx = \"shop {{ code }}\"";
    let (service, shop) = (policy(toml, "default"), policy(toml, "shop"));
    let begins = |locale: &str, with: &str, service| {
        let body = message(Channel::Sms, PHONE, locale, service).body;
        assert!(body.starts_with(with), "{locale}: {body}");
    };
    for (locale, with) in [
        ("de", "eigen"),
        ("de-AT", "eigen"),
        ("DE-at", "eigen"),
        ("pt-BR", "brasil"),
        ("pt-br", "brasil"),
        ("pt-PT", "418902 "),
        ("sv-FI", "svenska"),
        ("en-GB", "418902 is your"),
        // Nobody has words in these: the service's language has.
        ("eo", "418902 est"),
        ("xx-Latn-YY", "418902 est"),
    ] {
        begins(locale, with, &service);
    }
    begins("eo", "shop", &shop);
    begins("de", "eigen", &shop);
    begins("eo", "418902 is your", &policy("[service.default]\nlocale = \"xx\"", "default"));
}

#[test]
fn a_mail_has_subject_text_and_page_with_the_code() {
    let service = policy("[service.default]\nbrand = \"Bits & <Bytes>\"", "default");
    for (locale, direction) in [("en", "ltr"), ("ar", "rtl"), ("he-IL", "rtl"), ("ja", "ltr")] {
        let message = message(Channel::Email, "ann@example.com", locale, &service);
        let mail = message.mail.as_ref().expect("a mail");
        assert!(mail.subject.contains(CODE) && mail.subject.contains("Bits & <Bytes>") && !mail.subject.contains('\n'), "{}", mail.subject);
        assert!(message.body.lines().any(|line| line == CODE), "{}", message.body);
        assert!(mail.html.contains(&format!("dir=\"{direction}\"")) && mail.html.contains(&format!(">{CODE}</p>")), "{}", mail.html);
        assert!(mail.html.contains("<bdi>Bits &amp; &lt;Bytes&gt;</bdi>") && !mail.html.contains("<Bytes>"), "{}", mail.html);
        let language = locale.split('-').next().expect("a language");
        assert!(mail.html.contains(&format!("lang=\"{language}\"")), "{}", mail.html);
        assert!(!mail.html.contains("href") && !message.body.contains("http"), "no link where nobody can reach this server");
        assert!(!mail.html.contains("{{") && !message.body.contains("{{"));
    }
}

#[test]
fn words_of_the_operators_own_in_a_mail_and_a_call() {
    let toml = "[service.default]\nbrand = \"Tom & Co\"\n[service.default.templates.email.en]\nsubject = \"{{ brand }}: {{ code }}\"\n\
                text = \"Hello,\\n\\n{{ code }}\\n\\nfor {{ minutes }} minutes <3\"\n[service.default.templates.email.de]\nsubject = \"Code\"\n\
                text = \"{{ code }}\"\nhtml = \"<p>{{ brand }} {{ code }}{% if link %} {{ link }}{% endif %}</p>\"\n\
                [service.default.templates.call.sv]\ngreeting = \"Hej.\"\nagain = \"Igen:\"\ngoodbye = \"Hej då.\"\nspeech = \"sv-SE\"";
    let service = policy(toml, "default");
    let english = message(Channel::Email, "ann@example.com", "en", &service);
    let mail = english.mail.as_ref().expect("a mail");
    assert_eq!((mail.subject.as_str(), english.body.as_str()), ("Tom & Co: 418902", "Hello,\n\n418902\n\nfor 10 minutes <3"));
    assert!(mail.html.contains(">418902</p>") && mail.html.contains("for 10 minutes &lt;3</p>"), "{}", mail.html);
    assert!(!mail.html.contains("href"), "{}", mail.html);
    let german = message(Channel::Email, "ann@example.com", "de", &service).mail.expect("a mail");
    assert_eq!((german.subject.as_str(), german.html.as_str()), ("Code", "<p>Tom &amp; Co 418902</p>"));

    let swedish = message(Channel::Call, PHONE, "sv", &service);
    assert_eq!(swedish.body, "Hej. 4 1 8 9 0 2. Igen: 4 1 8 9 0 2. Hej då.");
    assert_eq!(swedish.speech.expect("speech").language, "sv-SE");
    let german = message(Channel::Call, PHONE, "de-CH", &service);
    assert!(german.body.contains("Noch einmal: 4 1 8 9 0 2.") && german.speech.expect("speech").language == "de-DE");
}

/// OTP-11: two starts, one of them with everything that a request can carry, are worded the same.
#[tokio::test]
async fn nothing_of_a_request_gets_into_a_text() {
    const WORD: &str = "evil";
    let app = TestApp::with("[service.default]\nresend_waits = []\n[server]\npublic_url = \"https://otp.example\"").await;
    let (client, inbox) = (app.client(), app.inbox());
    for channel in ["sms", "whatsapp", "call", "email"] {
        let to = |index: u32| if channel == "email" { format!("ann{index}@example.com") } else { number(index) };
        let plain = client.started(json!({ "to": to(1), "channel": channel, "locale": "en" })).await;
        let loaded = client
            .started(json!({
                "to": to(2), "channel": channel, "locale": "en-evil-evilevil", "purpose": "evil.example", "subject": "Visit http://evil.example",
                "metadata": { "name": "Visit http://evil.example\r\n@evil.example #999999", "app": "<a href='http://evil.example'>{{ evil }}</a>" },
            }))
            .await;
        let mut words = Vec::new();
        for verification in [&plain, &loaded] {
            let message = inbox.message(verification, 1).await;
            let code = message["code"].as_str().expect("a code");
            let spoken: Vec<_> = code.chars().map(String::from).collect();
            let text = format!("{}\n{}", message["subject"], message["body"].as_str().expect("a body"));
            assert!(!text.contains(WORD), "{channel}: {text}");
            // The code and the link are each message's own.
            let text = text.replace(code, "CODE").replace(&spoken.join(" "), "CODE");
            words.push(
                text.split_whitespace().filter(|word| !word.starts_with("https://otp.example/not-me/")).collect::<Vec<_>>().join(" "),
            );
        }
        assert_eq!(words[0], words[1], "{channel}");
    }
}
