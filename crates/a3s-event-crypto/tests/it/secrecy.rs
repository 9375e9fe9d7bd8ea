//! Neither keys nor plaintexts are printed, by anything.

use std::{error::Error, fmt};

use a3s_event_core::{EventError, Result, crypto::EventEncryptor};
use a3s_event_crypto::{Aes256GcmEncryptor, SecretKey};
use serde_json::json;

use crate::{OTHER_KEY, encryptor, event};

/// A key whose bytes differ, and how it could show up in text.
const KEY: [u8; 32] = *b"\x91K\xfe0123456789abcdefghijklmnop!~#";
const PLAINTEXT: &str = "hunter2";

fn forms_of_the_key() -> Vec<String> {
    let hex: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers = format!("{:?}", &KEY[..4]);
    vec![
        hex[..12].to_owned(),
        hex[..12].to_uppercase(),
        "0123456789".to_owned(),
        "kUv+MDEy".to_owned(),
        numbers.trim_matches(['[', ']']).to_owned(),
    ]
}

#[derive(Default)]
struct Printed(String);

impl Printed {
    fn value(&mut self, value: &dyn fmt::Debug) {
        self.0 += &format!("{value:?}\n{value:#?}\n");
    }

    #[track_caller]
    fn error<T>(&mut self, result: Result<T>) {
        let error = result.err().unwrap();
        self.value(&error);
        let mut layer: Option<&dyn Error> = Some(&error);
        while let Some(current) = layer {
            self.0 += &format!("{current}\n");
            layer = current.source();
        }
    }
}

#[test]
fn no_debug_display_or_error_shows_a_key_or_a_plaintext() {
    let mut printed = Printed::default();
    printed.value(&SecretKey::from(&KEY));
    printed.value(&SecretKey::from_slice(&KEY));

    let own = Aes256GcmEncryptor::new("key-1", &KEY);
    own.add_key("key-2", &OTHER_KEY).unwrap();
    printed.value(&own);

    let mut sealed = event(json!({"password": PLAINTEXT}));
    sealed.payload = own.encrypt_event(&sealed).unwrap();
    printed.value(&sealed);
    printed.error(own.decrypt(&sealed.payload));
    printed.error(encryptor().decrypt_event(&sealed));
    sealed.id.clear();
    printed.error(own.decrypt_event(&sealed));
    printed.error(own.decrypt_event(&event(json!({"password": PLAINTEXT}))));
    printed.error(own.decrypt_event(&event(json!(PLAINTEXT))));
    printed.error(own.decrypt(&json!({"encrypted": true, "keyId": 1, "nonce": PLAINTEXT})));

    let deep = (0..200).fold(json!(PLAINTEXT), |inner, _| json!([inner]));
    printed.error(own.encrypt(&deep));
    let spent = Aes256GcmEncryptor::new("key-1", &KEY).with_max_encryptions(0);
    printed.error(spent.encrypt(&json!(PLAINTEXT)));
    let unnamed = Aes256GcmEncryptor::new("", &KEY);
    printed.value(&unnamed);
    printed.error(unnamed.encrypt(&json!(PLAINTEXT)));

    printed.error(own.add_key("key-1", &KEY));
    printed.error(own.add_key("", SecretKey::from(&KEY)));
    printed.error(Aes256GcmEncryptor::with_key("", SecretKey::from(&KEY)));
    printed.error(SecretKey::from_slice(&KEY[1..]));
    printed.error(SecretKey::from_base64(
        "kUv+MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3AhfiM",
    ));
    printed.error(SecretKey::from_base64(
        "kUv+MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3Ahf*M=",
    ));
    let hex: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    printed.error(SecretKey::from_hex(&hex[1..]));
    printed.error(SecretKey::from_hex(&hex.replace('4', "?")));

    for secret in forms_of_the_key()
        .iter()
        .map(String::as_str)
        .chain([PLAINTEXT, "password"])
    {
        assert!(!printed.0.contains(secret), "{secret} in\n{}", printed.0);
    }
    // What was searched is there: ids and status are shown.
    assert!(printed.0.contains("key-1") && printed.0.contains("DecryptOnly"));
}

#[test]
fn the_search_would_find_what_a_careless_debug_prints() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "only printed")]
    struct Careless([u8; 32]);

    let mut printed = Printed::default();
    printed.value(&Careless(KEY));
    let found = forms_of_the_key()
        .into_iter()
        .filter(|form| printed.0.contains(form));
    assert_eq!(found.count(), 1);
}

/// Whether a type implements a trait, answered at compile time: the inherent
/// constant exists only where it does, and wins over that of the trait.
macro_rules! implements {
    ($type:ty: $($bound:tt)+) => {{
        #[allow(dead_code, reason = "used only for types that do not")]
        trait Otherwise {
            const ANSWER: bool = false;
        }
        impl<T: ?Sized> Otherwise for T {}
        struct Probe<T: ?Sized>(std::marker::PhantomData<T>);
        #[allow(dead_code, reason = "exists only for types that implement the trait")]
        impl<T: ?Sized + $($bound)+> Probe<T> {
            const ANSWER: bool = true;
        }
        <Probe<$type>>::ANSWER
    }};
}

#[test]
fn a_secret_key_can_neither_be_copied_nor_compared_nor_written() {
    assert!(implements!([u8; 32]: Clone));
    assert!(!implements!(SecretKey: Clone));
    assert!(!implements!(SecretKey: PartialEq));
    assert!(!implements!(SecretKey: fmt::Display));
    assert!(!implements!(SecretKey: AsRef<[u8]>));
    assert!(!implements!(SecretKey: serde::Serialize));
    assert!(!implements!(Aes256GcmEncryptor: Clone));
    assert!(!implements!(Aes256GcmEncryptor: serde::Serialize));
}

#[test]
fn errors_read_well() {
    let own = encryptor();
    let mut event = event(json!(1));
    event.id = "evt-1".to_owned();
    event.payload = own.encrypt_event(&event).unwrap();
    event.subject.clear();
    let text = own.decrypt_event(&event).unwrap_err().to_string();
    assert_eq!(
        text,
        "authentication failed for event `evt-1` with key `key-1`"
    );

    let text = own.disable_key("key-1").unwrap_err().to_string();
    assert_eq!(
        text,
        "invalid option `key_id`: `key-1` is the active key: rotate to another one first"
    );
    assert!(
        matches!(own.rotate_to("key\n2"), Err(EventError::KeyUnknown { key_id, .. }) if key_id == r"key\n2")
    );
}
