//! Names of durable consumers on the wire.
//!
//! A name may hold any text; JetStream takes one token that is also a folder.
//! Letters, digits and `-` stand for themselves, `_` is doubled, and any other
//! byte is `_` and two hexadecimal digits in upper case. So no two names meet,
//! and a wire name can be read back. What gets too long for the server keeps
//! its beginning and ends with `_h` and the SHA-256 of the whole name; an `h`
//! never follows an escape, so that these meet no other names either.
//! Ephemeral consumers begin with `_e`, probes with `_p`, for the same reason.

use std::fmt::Write as _;

/// Longest name on the wire; the server allows 255 and its files add to it.
const LONGEST: usize = 200;

/// What a hashed name keeps of its beginning.
const KEPT: usize = 100;

/// The name of the durable `name` on the wire.
pub(crate) fn wire_name(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => escaped.push(char::from(byte)),
            b'_' => escaped.push_str("__"),
            _ => {
                escaped.push('_');
                push_hex(&mut escaped, byte);
            }
        }
    }
    if escaped.len() <= LONGEST {
        return escaped;
    }
    escaped.truncate(KEPT);
    // Behind a `_` the mark would read as an escape.
    escaped.truncate(escaped.trim_end_matches('_').len());
    escaped.push_str("_h");
    for &byte in ring::digest::digest(&ring::digest::SHA256, name.as_bytes()).as_ref() {
        push_hex(&mut escaped, byte);
    }
    escaped
}

/// What the description of a durable says, so that its full name can be read
/// on the server and compared.
pub(crate) fn description(name: &str) -> String {
    format!("a3s-event durable {name}")
}

fn push_hex(text: &mut String, byte: u8) {
    // Writing to a string does not fail.
    let _ = write!(text, "{byte:02X}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a name back that was not hashed.
    fn unescaped(wire: &str) -> String {
        let mut bytes = wire.bytes();
        let mut name = Vec::new();
        while let Some(byte) = bytes.next() {
            if byte != b'_' {
                name.push(byte);
                continue;
            }
            match bytes.next().unwrap() {
                b'_' => name.push(b'_'),
                high => {
                    let digits = [high, bytes.next().unwrap()];
                    let digits = std::str::from_utf8(&digits).unwrap();
                    name.push(u8::from_str_radix(digits, 16).unwrap());
                }
            }
        }
        String::from_utf8(name).unwrap()
    }

    #[test]
    fn plain_names_stay_readable() {
        assert_eq!(wire_name("order-worker-7"), "order-worker-7");
        assert_eq!(wire_name("acme.eu"), "acme_2Eeu");
        assert_eq!(wire_name("acme-eu"), "acme-eu");
        assert_eq!(wire_name("a_b"), "a__b");
    }

    #[test]
    fn long_names_differ_where_they_differ_only_at_the_end() {
        let (a, b) = ("x".repeat(300) + "a", "x".repeat(300) + "b");
        assert_ne!(wire_name(&a), wire_name(&b));
        assert!(wire_name(&a).len() <= LONGEST);
        // A short name cannot be written so that it meets a hashed one.
        assert_ne!(wire_name(&wire_name(&a)), wire_name(&a));
    }

    proptest! {
        #[test]
        fn short_names_read_back(name in "\\PC{1,60}") {
            let wire = wire_name(&name);
            prop_assert!(wire.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            if wire.len() <= LONGEST && !wire.contains("_h") {
                prop_assert_eq!(unescaped(&wire), name);
            }
        }
    }
}
