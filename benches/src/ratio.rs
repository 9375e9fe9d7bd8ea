use crate::Arguments;

/// Rounds of a comparison; the two sides take turns within each.
const ROUNDS: usize = 9;

/// Costs beside each other, printed as a table with a goal per row.
///
/// The sides of a row take turns in the same process, and the ratio is the
/// median of the ratios of the rounds: what disturbs the machine disturbs both
/// sides.
#[derive(Debug)]
pub struct Table {
    arguments: Arguments,
}

/// What a comparison should come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// Ours costs at most this multiple of the other.
    AtMost(f64),
    /// Ours runs at this fraction of the other's rate at least.
    AtLeast(f64),
    /// Ours costs at most this many nanoseconds more than the other.
    More(f64),
    /// Measured and stated.
    Stated,
}

/// What several rounds of one comparison gave.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Outcome {
    ours: f64,
    other: f64,
    lowest: f64,
    median: f64,
    highest: f64,
}

impl Table {
    /// Prints the head of a table.
    #[must_use]
    pub fn new(question: &str, arguments: &Arguments) -> Self {
        print(&format!("\n{question}\n"));
        print(&cells(
            [
                "what",
                "ours",
                "beside",
                "ratio",
                "of all rounds",
                "goal",
                "",
            ]
            .map(str::to_owned),
        ));
        print("| --- | --- | --- | --- | --- | --- | --- |");
        Self {
            arguments: arguments.clone(),
        }
    }

    /// Compares two ways of doing the same, in one or several figures: each side
    /// does a round of work and returns its figures, in nanoseconds.
    ///
    /// A row that the command line does not select is not run.
    pub fn compare<const FIGURES: usize>(
        &self,
        name: &str,
        figures: [(&str, Goal); FIGURES],
        mut ours: impl FnMut() -> [f64; FIGURES],
        mut other: impl FnMut() -> [f64; FIGURES],
    ) {
        if !self.arguments.selects(name) {
            return;
        }
        // One that is not counted: the first touch of memory costs more than the work.
        let (mut rounds, warm_up) = (Vec::new(), (ours(), other()));
        if self.arguments.test {
            rounds.push(warm_up);
        } else {
            rounds.extend((0..ROUNDS).map(|_| (ours(), other())));
        }
        for (figure, (what, goal)) in figures.into_iter().enumerate() {
            let pairs = rounds
                .iter()
                .map(|(ours, other)| (ours[figure], other[figure]));
            let (name, outcome) = ([name, what].join(" "), Outcome::of(pairs.collect(), goal));
            let verdict = self.verdict(goal.is_met(outcome.median));
            print(&outcome.row(name.trim(), goal, verdict));
        }
    }

    /// States one exact figure, with a limit where there is one.
    pub fn figure(&self, name: &str, unit: &str, limit: Option<f64>, figure: f64) {
        let verdict = self.verdict(limit.map(|limit| figure <= limit));
        let limit = limit.map_or_else(|| "stated".to_owned(), |limit| format!("at most {limit}"));
        let figure = format!("{figure:.1} {unit}");
        print(&cells(
            [name, &figure, "", "", "", &limit, verdict].map(str::to_owned),
        ));
    }

    const fn verdict(&self, met: Option<bool>) -> &'static str {
        match met {
            None => "",
            // Once and small says nothing.
            Some(_) if self.arguments.test => "not measured",
            Some(true) => "met",
            Some(false) => "missed",
        }
    }
}

impl Outcome {
    fn of(rounds: Vec<(f64, f64)>, goal: Goal) -> Self {
        let mut compared: Vec<f64> = rounds
            .iter()
            .map(|&(ours, other)| goal.compare(ours, other))
            .collect();
        Self {
            median: median(&mut compared),
            lowest: compared[0],
            highest: compared[compared.len() - 1],
            ours: median(&mut rounds.iter().map(|round| round.0).collect::<Vec<_>>()),
            other: median(&mut rounds.iter().map(|round| round.1).collect::<Vec<_>>()),
        }
    }

    fn row(&self, name: &str, goal: Goal, verdict: &str) -> String {
        let compared = |value: f64| match goal {
            Goal::More(_) => format!("{value:+.0} ns"),
            _ => format!("{value:.2}"),
        };
        cells([
            name.to_owned(),
            duration(self.ours),
            duration(self.other),
            compared(self.median),
            format!("{} to {}", compared(self.lowest), compared(self.highest)),
            goal.text(),
            verdict.to_owned(),
        ])
    }
}

impl Goal {
    fn compare(self, ours: f64, other: f64) -> f64 {
        match self {
            Self::AtMost(_) | Self::Stated => ours / other,
            Self::AtLeast(_) => other / ours,
            Self::More(_) => ours - other,
        }
    }

    fn is_met(self, compared: f64) -> Option<bool> {
        match self {
            Self::AtMost(limit) | Self::More(limit) => Some(compared <= limit),
            Self::AtLeast(limit) => Some(compared >= limit),
            Self::Stated => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("at most {limit:.2}"),
            Self::AtLeast(limit) => format!("rate at least {limit:.2}"),
            Self::More(limit) => format!("at most {limit:.0} ns more"),
            Self::Stated => "stated".to_owned(),
        }
    }
}

/// Sorts `values`, of which there is one at least, and returns the middle one.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The values at the given shares of all measured ones, such as 0.99.
///
/// # Panics
///
/// When nothing was measured.
#[must_use]
pub fn quantiles<const SHARES: usize>(
    mut measured: Vec<u64>,
    shares: [f64; SHARES],
) -> [f64; SHARES] {
    measured.sort_unstable();
    let last = measured.len() - 1;
    shares.map(|share| measured[(last as f64 * share) as usize] as f64)
}

fn duration(nanos: f64) -> String {
    match nanos {
        1e6.. => format!("{:.2} ms", nanos / 1e6),
        1e3.. => format!("{:.2} µs", nanos / 1e3),
        _ => format!("{nanos:.1} ns"),
    }
}

fn cells(cells: [String; 7]) -> String {
    format!("| {} |", cells.join(" | "))
}

#[allow(clippy::print_stdout, reason = "the table is what the program is for")]
fn print(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_the_ratios() {
        // The medians of the sides alone would give 30 / 20.
        let rounds = vec![(10.0, 20.0), (30.0, 10.0), (40.0, 40.0)];
        let outcome = Outcome::of(rounds, Goal::AtMost(1.0));
        assert_eq!(
            (outcome.lowest, outcome.median, outcome.highest),
            (0.5, 1.0, 3.0)
        );
        assert_eq!((outcome.ours, outcome.other), (30.0, 20.0));
    }

    #[test]
    fn a_rate_is_the_other_way_round_and_a_difference_is_in_nanoseconds() {
        assert_eq!(Goal::AtLeast(0.9).compare(10.0, 8.0), 0.8);
        assert_eq!(Goal::AtLeast(0.9).is_met(0.8), Some(false));
        assert_eq!(Goal::More(5.0).compare(14.0, 10.0), 4.0);
        assert_eq!(Goal::More(5.0).is_met(4.0), Some(true));
        assert_eq!(Goal::Stated.is_met(4.0), None);
    }

    #[test]
    fn quantiles_are_measured_values() {
        let measured = (1..=1000).rev().collect();
        assert_eq!(
            quantiles(measured, [0.0, 0.5, 0.99, 1.0]),
            [1.0, 500.0, 990.0, 1000.0]
        );
    }
}
