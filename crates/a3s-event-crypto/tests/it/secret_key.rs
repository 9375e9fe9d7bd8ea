//! Where keys come from, and what is refused there.

use std::{env, ffi::OsString, fs, path::Path, process::Command};

use a3s_event_core::{EventError, Result, crypto::EventEncryptor};
use a3s_event_crypto::{Aes256GcmEncryptor, SecretKey};
use serde_json::json;
use tempfile::TempDir;

use crate::{KEY, encryptor};

const BASE64: &str = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";
const HEX: &str = "4242424242424242424242424242424242424242424242424242424242424242";
const ZEROS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Checks that `key` is the key of the other tests, by using it.
#[track_caller]
fn assert_is_the_key(key: Result<SecretKey>) {
    let loaded = Aes256GcmEncryptor::with_key("key-1", key.unwrap()).unwrap();
    let envelope = encryptor().encrypt(&json!(1)).unwrap();
    assert_eq!(loaded.decrypt(&envelope).unwrap(), json!(1));
}

#[track_caller]
fn assert_refused(key: Result<SecretKey>) -> String {
    let refusal = key.err().unwrap();
    assert!(
        matches!(refusal, EventError::InvalidOption { .. }),
        "{refusal}"
    );
    refusal.to_string()
}

#[test]
fn every_source_gives_the_same_key() {
    assert_is_the_key(SecretKey::from_slice(&KEY));
    assert_is_the_key(Ok(SecretKey::from(&KEY)));
    assert_is_the_key(SecretKey::from_base64(BASE64));
    assert_is_the_key(SecretKey::from_hex(HEX));
    let mixed = "aB".repeat(32);
    assert_eq!(
        format!("{:?}", SecretKey::from_hex(&mixed)),
        "Ok(SecretKey(..))"
    );
}

#[test]
fn generated_keys_differ() {
    let first = Aes256GcmEncryptor::with_key("key-1", SecretKey::generate().unwrap()).unwrap();
    let second = Aes256GcmEncryptor::with_key("key-1", SecretKey::generate().unwrap()).unwrap();
    let envelope = first.encrypt(&json!(1)).unwrap();
    assert!(second.decrypt(&envelope).is_err());
}

#[test]
fn a_key_of_another_length_is_refused_with_both_lengths() {
    for length in [0, 16, 24, 31, 33, 48] {
        let text = assert_refused(SecretKey::from_slice(&vec![0x42; length]));
        assert!(
            text.contains("32") && text.contains(&length.to_string()),
            "{text}"
        );
    }
}

#[test]
fn a_key_of_zeros_is_refused() {
    assert_refused(SecretKey::from_slice(&[0; 32]));
    assert_refused(SecretKey::from_hex(&"0".repeat(64)));
    assert_refused(SecretKey::from_base64(ZEROS));
}

#[test]
fn base64_is_canonical_and_complete_or_refused() {
    let unpadded = BASE64.trim_end_matches('=');
    for text in [
        "",
        " ",
        unpadded,
        HEX,
        &format!("{BASE64}\n"),
        &format!(" {BASE64}"),
        &format!("{unpadded} "),
        &format!("{unpadded}A"),
        // Bits that encode nothing, and the other alphabet.
        &BASE64.replace("kI=", "kJ="),
        &format!("{}_{}", &BASE64[..20], &BASE64[21..]),
        &"A".repeat(44),
        &"é".repeat(22),
        &"A".repeat(10 << 20),
    ] {
        let error = assert_refused(SecretKey::from_base64(text));
        assert!(text.trim().is_empty() || !error.contains(text), "{error}");
    }
}

#[test]
fn an_error_says_what_is_expected_and_nothing_of_what_was_there() {
    for (refused, reason) in [
        (
            SecretKey::from_base64(&BASE64.replace("kJC", "k*C")),
            "the text is no standard base64",
        ),
        (
            SecretKey::from_base64("QkJC"),
            "a key has 44 characters of base64, this text has 4 bytes",
        ),
        (
            SecretKey::from_hex(&HEX.replace("42", "4?")),
            "the text is not hexadecimal",
        ),
        (
            SecretKey::from_hex("42"),
            "a key has 64 hexadecimal digits, this text has 2 bytes",
        ),
        (
            SecretKey::from_slice(&KEY[..2]),
            "a key has 32 bytes, this one has 2",
        ),
    ] {
        let text = assert_refused(refused);
        assert_eq!(text, format!("invalid option `key`: {reason}"));
    }
}

#[test]
fn hexadecimal_is_complete_or_refused() {
    for text in [
        "",
        BASE64,
        &HEX[1..],
        &format!("{HEX}4"),
        &format!("{}\n", &HEX[1..]),
        &format!("0x{}", &HEX[2..]),
        &HEX.replace("42", "4g"),
        &HEX.replace("42", "+2"),
        &"é".repeat(32),
    ] {
        assert_refused(SecretKey::from_hex(text));
    }
}

/// Runs this test as a child with `value` in the variable: changing the
/// environment of a process with threads is not safe.
#[track_caller]
fn run_with_variable(value: impl Into<OsString>, expected: &str) {
    let test = "secret_key::a_variable_holds_base64_or_is_refused_by_name";
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test])
        .env("A3S_EVENT_TEST_KEY", value.into())
        .env("A3S_EVENT_TEST_EXPECTED", expected)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(
        child.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
fn a_variable_holds_base64_or_is_refused_by_name() {
    match env::var("A3S_EVENT_TEST_EXPECTED").as_deref() {
        Ok("key") => return assert_is_the_key(SecretKey::from_env("A3S_EVENT_TEST_KEY")),
        Ok(_) => {
            let error = assert_refused(SecretKey::from_env("A3S_EVENT_TEST_KEY"));
            assert!(error.contains("A3S_EVENT_TEST_KEY"), "{error}");
            assert!(
                !error.contains("QkJC") && !error.contains("4242"),
                "{error}"
            );
            return;
        }
        Err(_) => {}
    }
    run_with_variable(BASE64, "key");
    for refused in ["", " ", HEX, ZEROS, &format!("{BASE64}\n"), &BASE64[1..]] {
        run_with_variable(refused, "refusal");
    }
    #[cfg(unix)]
    run_with_variable(
        <OsString as std::os::unix::ffi::OsStringExt>::from_vec(vec![0xff; 44]),
        "refusal",
    );
    for name in ["A3S_EVENT_TEST_UNSET", "", "A=B", "A\nB"] {
        let error = assert_refused(SecretKey::from_env(name));
        assert!(!error.contains('\n'), "{error}");
    }
}

/// A file with `content` that only its owner may read.
fn key_file(folder: &TempDir, content: impl AsRef<[u8]>) -> std::path::PathBuf {
    let path = folder.path().join("key");
    fs::write(&path, content).unwrap();
    set_mode(&path, 0o600);
    path
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;

    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

#[test]
fn a_file_holds_base64_and_at_most_one_newline() {
    let folder = TempDir::new().unwrap();
    for content in [BASE64.to_owned(), format!("{BASE64}\n")] {
        assert_is_the_key(SecretKey::from_file(key_file(&folder, &content)));
        assert_is_the_key(SecretKey::from_shared_file(key_file(&folder, content)));
    }
    let bom = format!("\u{feff}{BASE64}");
    for content in [
        &b""[..],
        b"\n",
        HEX.as_bytes(),
        &KEY,
        &[0xff; 44],
        bom.as_bytes(),
        format!("{BASE64}\r\n").as_bytes(),
        format!("{BASE64}\n\n").as_bytes(),
        format!("{BASE64}\n{BASE64}\n").as_bytes(),
        ZEROS.as_bytes(),
        &vec![b'A'; 4096],
        &vec![b'A'; 4097],
    ] {
        let error = assert_refused(SecretKey::from_file(key_file(&folder, content)));
        assert!(error.contains("key`"), "{error}");
        assert!(
            !error.contains("QkJC") && !error.contains("4242"),
            "{error}"
        );
    }
}

#[test]
fn a_file_of_ten_mebibytes_is_refused_by_its_length() {
    let folder = TempDir::new().unwrap();
    let path = key_file(&folder, "");
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(10 << 20).unwrap();
    let error = assert_refused(SecretKey::from_file(&path));
    assert!(error.contains("longer than 4096"), "{error}");
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let folder = TempDir::new().unwrap();
    assert_refused(SecretKey::from_file(folder.path()));
    assert_refused(SecretKey::from_file(folder.path().join("missing")));
    assert_refused(SecretKey::from_file(""));
    assert_refused(SecretKey::from_file("a\0b"));
    let error = assert_refused(SecretKey::from_file(folder.path().join("a\nb")));
    assert!(!error.contains('\n'), "{error}");
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_device_is_refused_without_waiting() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(&pipe)
        .status();
    assert!(made.unwrap().success());
    for special in [
        pipe.as_path(),
        Path::new("/dev/zero"),
        Path::new("/dev/null"),
    ] {
        assert_refused(SecretKey::from_file(special));
        assert_refused(SecretKey::from_shared_file(special));
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_access_is_read_only_when_asked_for() {
    let folder = TempDir::new().unwrap();
    let path = key_file(&folder, BASE64);
    for mode in [0o640, 0o604, 0o644, 0o620, 0o601, 0o666] {
        set_mode(&path, mode);
        let error = assert_refused(SecretKey::from_file(&path));
        assert!(error.contains("0600"), "{error}");
        assert_is_the_key(SecretKey::from_shared_file(&path));
    }
    set_mode(&path, 0o400);
    assert_is_the_key(SecretKey::from_file(&path));
}
