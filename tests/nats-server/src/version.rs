use std::fmt;

/// The version of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 2 in 2.12.8.
    pub major: u32,
    /// 12 in 2.12.8.
    pub minor: u32,
    /// 8 in 2.12.8.
    pub patch: u32,
}

impl Version {
    /// Makes a version to compare with.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Reads the version at the end of a text such as `nats-server: v2.12.8`; what follows a hyphen does not count.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let version = text.trim().rsplit([' ', 'v']).next()?;
        let mut numbers = version.split('-').next()?.split('.').map(str::parse);
        let mut number = || numbers.next()?.ok();
        Some(Self::new(number()?, number()?, number()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_servers_print() {
        let version = Version::new(2, 12, 8);
        for text in ["nats-server: v2.12.8\n", "2.12.8", "v2.12.8-RC.1"] {
            assert_eq!(Version::parse(text), Some(version), "{text}");
        }
        assert_eq!(Version::parse("nats-server: dev"), None);
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(Version::new(2, 9, 10) < Version::new(2, 10, 0));
    }
}
