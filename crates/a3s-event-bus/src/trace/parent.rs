use std::fmt;

/// A `traceparent` of the W3C: which span of which trace something belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceParent {
    /// Not all zero.
    pub(super) trace_id: [u8; 16],
    /// Not all zero.
    pub(super) span_id: [u8; 8],
    pub(super) flags: u8,
}

impl TraceParent {
    /// Reads a `traceparent`; `None` for what is malformed, which counts as
    /// absent.
    ///
    /// `00-<trace id>-<span id>-<flags>` in lower-case hexadecimal digits. A
    /// version of the future may add a part; what it means is not known here.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (known, rest) = bytes.split_at_checked(55)?;
        let [version] = digits(&known[..2])?;
        let complete = match version {
            0x00 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest[0] == b'-',
        };
        if !complete || [2, 35, 52].iter().any(|&at| known[at] != b'-') {
            return None;
        }
        let parent = Self {
            trace_id: digits(&known[3..35])?,
            span_id: digits(&known[36..52])?,
            flags: digits::<1>(&known[53..])?[0],
        };
        let given = parent.trace_id != [0; 16] && parent.span_id != [0; 8];
        given.then_some(parent)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace_id = u128::from_be_bytes(self.trace_id);
        let span_id = u64::from_be_bytes(self.span_id);
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{:02x}", self.flags)
    }
}

/// Reads exactly `N` bytes of two lower-case digits each.
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::TraceParent;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn only_what_the_standard_allows_is_read() {
        let check = |text: &str, expected: bool| {
            assert_eq!(TraceParent::parse(text).is_some(), expected, "{text}");
        };
        check(GOOD, true);
        check("", false);
        check(&GOOD[..54], false);
        check(&GOOD.to_uppercase(), false);
        check(&GOOD.replace('-', "_"), false);
        check(&format!(" {GOOD}"), false);
        check(&format!("{GOOD}-more"), false);
        check(&format!("cc{}-more", &GOOD[2..]), true);
        check(&format!("cc{}more", &GOOD[2..]), false);
        check(&format!("ff{}", &GOOD[2..]), false);
        check(
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            false,
        );
        check(
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            false,
        );
        check(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-011",
            false,
        );
        check(
            "00-0af7651916cd43dd8448eb211c80319ü-b7ad6b7169203331-01",
            false,
        );
    }

    /// The standard, letter by letter.
    fn is_allowed(text: &str) -> bool {
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let parts: Vec<&str> = text.splitn(5, '-').collect();
        let [version, trace_id, span_id, flags, ..] = parts[..] else {
            return false;
        };
        [version, trace_id, span_id, flags].map(|it| it.chars().count()) == [2, 32, 16, 2]
            && text.chars().take(55).all(|c| hex(c) || c == '-')
            && version != "ff"
            && (version != "00" || parts.len() == 4)
            && trace_id.chars().any(|c| c != '0')
            && span_id.chars().any(|c| c != '0')
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            trace_id in any::<[u8; 16]>().prop_filter("zero", |id| *id != [0; 16]),
            span_id in any::<[u8; 8]>().prop_filter("zero", |id| *id != [0; 8]),
            flags: u8,
        ) {
            let parent = TraceParent { trace_id, span_id, flags };
            prop_assert_eq!(TraceParent::parse(&parent.to_string()), Some(parent));
        }

        #[test]
        fn any_text_is_judged_as_the_standard_says(text in any::<String>()) {
            prop_assert_eq!(TraceParent::parse(&text).is_some(), is_allowed(&text));
        }

        #[test]
        fn so_is_text_that_is_nearly_right(
            at in 0..GOOD.len(),
            by in "[0-9a-fA-F\\-\\r\\n ü]{0,2}",
            version in "00|01|ff|fe",
        ) {
            let mut text = format!("{version}{}", &GOOD[2..]);
            text.replace_range(at..=at, &by);
            prop_assert_eq!(TraceParent::parse(&text).is_some(), is_allowed(&text), "{}", text);
        }
    }
}
