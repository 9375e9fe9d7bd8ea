use std::env;

/// What `cargo bench -- …` passes to a target that is not criterion's.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    /// Everything once and small, to see that it works (`--test`).
    pub test: bool,
    /// Only what has this text in its name.
    pub filter: Option<String>,
}

impl Arguments {
    /// Reads the command line of this process. Flags of criterion mean nothing
    /// here, and are no error, because cargo passes the same to all targets.
    #[must_use]
    pub fn read() -> Self {
        let mut arguments = Self::default();
        for argument in env::args().skip(1) {
            match argument.as_str() {
                "--test" => arguments.test = true,
                flag if flag.starts_with('-') => {}
                text => arguments.filter = Some(text.to_owned()),
            }
        }
        arguments
    }

    /// Whether `name` is selected.
    #[must_use]
    pub fn selects(&self, name: &str) -> bool {
        self.filter
            .as_deref()
            .is_none_or(|text| name.contains(text))
    }

    /// `count`, or a thousandth of it for a test, at least one.
    #[must_use]
    pub fn scaled(&self, count: usize) -> usize {
        if self.test {
            (count / 1000).max(1)
        } else {
            count
        }
    }
}
