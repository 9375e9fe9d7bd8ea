//! The list of cases is complete.

use std::{collections::BTreeSet, fs, path::Path};

use a3s_event_testkit::cases;

/// `group::case` of every public function in the sources of the suite.
fn written() -> BTreeSet<String> {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/suite");
    let mut names = BTreeSet::new();
    for file in fs::read_dir(suite).unwrap() {
        let path = file.unwrap().path();
        let group = path.file_stem().unwrap().to_str().unwrap();
        for line in fs::read_to_string(&path).unwrap().lines() {
            if let Some(rest) = line.strip_prefix("pub async fn ") {
                let (case, _) = rest.split_once('(').unwrap();
                names.insert(format!("{group}::{case}"));
            }
        }
    }
    names
}

#[test]
fn every_case_that_is_written_is_listed_once() {
    let listed: Vec<&str> = cases().iter().map(|case| case.name).collect();
    let distinct: BTreeSet<String> = listed.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(distinct.len(), listed.len(), "a case is listed twice");
    assert_eq!(distinct, written());
}
