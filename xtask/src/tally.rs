//! What the test binaries report: summed up, and not shown where no test ran.

use std::fmt;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Inside a binary that runs at least one test.
    busy: bool,
}

impl Tally {
    /// Counts in a binary's closing line, and says whether a line of its output is worth showing.
    pub(crate) fn read(&mut self, line: &str) -> bool {
        let line = without_colors(line);
        let is_idle = line == "running 0 tests";
        self.busy |= line.starts_with("running ") && !is_idle;
        let report = line.strip_prefix("test result: ");
        let shown = self.busy || !(is_idle || report.is_some() || line.is_empty());
        if let Some(report) = report {
            self.busy = false;
            self.count(report);
        }
        shown
    }

    fn count(&mut self, report: &str) {
        let counts = report.split_once(". ").map_or("", |(_, counts)| counts);
        for (number, what) in counts.split("; ").filter_map(|count| count.split_once(' ')) {
            let number = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.ignored {
            0 => Ok(()),
            ignored => write!(f, ", {ignored} ignored"),
        }
    }
}

/// Removes what colors a terminal: an escape up to the letter that ends it.
fn without_colors(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let end = part.find(|letter: char| letter.is_ascii_alphabetic());
        text + end.map_or("", |end| &part[end + 1..])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads lines, and compares those shown and the sum.
    fn check(lines: &[&str], shown: &[&str], tally: &str) {
        let mut read = Tally::default();
        let passed_on = lines.iter().copied().filter(|line| read.read(line));
        assert_eq!(passed_on.collect::<Vec<_>>(), shown);
        assert_eq!(read.to_string(), tally);
    }

    #[test]
    fn closing_lines_of_all_binaries_are_summed() {
        let lines = [
            "running 4 tests",
            "test publish::is_stored ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.01s",
            "running 12 tests",
            "",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        ];
        check(&lines, &lines, "13 passed, 2 failed, 1 ignored");
    }

    #[test]
    fn colors_are_looked_through() {
        let result = "test result: \u{1b}[32mok\u{1b}[m\u{1b}(B. 4 passed; 0 failed; 0 ignored";
        let lines = ["running 4 tests", result];
        check(&lines, &lines, "4 passed, 0 failed");
    }

    #[test]
    fn a_line_that_only_mentions_a_result_counts_nothing() {
        let line = "the test result: ok. 4 passed; 1 failed";
        check(&[line], &[line], "0 passed, 0 failed");
    }

    #[test]
    fn binaries_without_selected_tests_are_not_shown() {
        let idle = [
            "",
            "running 0 tests",
            "",
            "test result: ok. 0 passed; 0 failed",
            "",
        ];
        let busy = ["running 1 test", "", "test result: ok. 1 passed; 0 failed"];
        check(
            &[&idle[..], &busy, &idle].concat(),
            &busy,
            "1 passed, 0 failed",
        );
    }
}
