use std::fmt;

use super::validate_tokens;
use crate::Result;

/// A checked pattern that selects subjects.
///
/// # Examples
///
/// ```
/// use a3s_event_core::subject::SubjectPattern;
///
/// let pattern = SubjectPattern::parse("events.market.>")?;
/// assert!(pattern.matches("events.market.forex.usd_cny"));
/// assert!(!pattern.matches("events.market"));
/// # Ok::<(), a3s_event_core::EventError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectPattern(String);

impl SubjectPattern {
    /// Checks `pattern` against the rules of [`subject`](crate::subject).
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidSubject`](crate::EventError::InvalidSubject) naming
    /// the rule that is broken.
    pub fn parse(pattern: &str) -> Result<Self> {
        let mut tail_seen = false;
        validate_tokens(pattern, |token| {
            if tail_seen {
                return Err("`>` stands only as the last token");
            }
            tail_seen = token == ">";
            if token.len() > 1 && token.contains(['*', '>']) {
                return Err("`*` and `>` stand only as whole tokens");
            }
            Ok(())
        })?;
        Ok(Self(pattern.to_owned()))
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern selects `subject`. Allocates nothing.
    #[must_use]
    pub fn matches(&self, subject: &str) -> bool {
        matches(&self.0, subject)
    }

    /// Whether the pattern has no wildcard and so selects one subject.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        // A wildcard is a whole token, so its character appears nowhere else.
        !self.0.bytes().any(|byte| matches!(byte, b'*' | b'>'))
    }

    /// Whether some subject is selected by both patterns.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.is_literal() {
            return other.matches(&self.0);
        }
        let (mut ours, mut theirs) = (self.0.split('.'), other.0.split('.'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
                _ => return false,
            }
        }
    }

    /// Whether every subject that `other` selects is selected by this pattern too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if self.is_literal() {
            return self == other;
        }
        let (mut ours, mut theirs) = (self.0.split('.'), other.0.split('.'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) | (Some(">"), Some(_)) => return true,
                (Some(_), Some(">")) => return false,
                (Some("*"), Some(_)) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }
}

impl fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for SubjectPattern {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Whether `pattern` selects `subject`: one walk over the bytes, nothing allocated.
///
/// Both are taken as valid; a malformed one gives some answer and no panic.
///
/// # Examples
///
/// ```
/// use a3s_event_core::subject;
///
/// assert!(subject::matches("events.*.forex", "events.market.forex"));
/// assert!(!subject::matches("events.*", "events.market.forex"));
/// ```
#[must_use]
pub fn matches(pattern: &str, subject: &str) -> bool {
    let (pattern, subject) = (pattern.as_bytes(), subject.as_bytes());
    let (mut at, mut pos) = (0, 0);
    // Invariant: `at` and `pos` stand at the start of a token.
    loop {
        let wildcard_ends = matches!(pattern.get(at + 1), None | Some(b'.'));
        match pattern.get(at) {
            Some(b'>') if at + 1 == pattern.len() => return pos < subject.len(),
            Some(b'*') if wildcard_ends => {
                let start = pos;
                while pos < subject.len() && subject[pos] != b'.' {
                    pos += 1;
                }
                if pos == start {
                    return false;
                }
                at += 1;
            }
            _ => {
                while at < pattern.len() && pattern[at] != b'.' {
                    if subject.get(pos) != Some(&pattern[at]) {
                        return false;
                    }
                    at += 1;
                    pos += 1;
                }
            }
        }
        match (pattern.get(at), subject.get(pos)) {
            (None, None) => return true,
            (Some(b'.'), Some(b'.')) => {
                at += 1;
                pos += 1;
            }
            _ => return false,
        }
    }
}
