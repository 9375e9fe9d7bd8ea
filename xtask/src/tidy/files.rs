//! Rules about files: what lies at the root, the justfile, manifests, and what sources may not have.

use xshell::cmd;

use crate::{
    process::Result,
    project::{Member, Project},
};

/// Everything that may lie at the root.
const ROOT: &str = ".cargo .ci .gitignore CHANGELOG.md Cargo.lock Cargo.toml LICENSE README.md SECURITY.md \
                    benches clippy.toml crates docs justfile tests xtask";

/// The recipes that the specification promises.
const RECIPES: &str = "build test test-v test-one test-integration test-memory test-nats test-types test-store \
                       bench bench-one test-cov cov cov-html cov-table cov-ci lint fmt ci doc";

/// What every manifest takes from that of the root.
const INHERITED: &str = "version edition rust-version license publish";

pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let shell = &project.shell;
    let files = cmd!(shell, "git ls-files --cached --others --exclude-standard").read()?;
    // A file that was deleted stays listed until that is committed.
    let files: Vec<_> = files
        .lines()
        .filter(|path| shell.path_exists(path))
        .collect();

    let mut complaints = stray(&files);
    complaints.extend(justfile(&shell.read_file("justfile")?));
    for member in project.published() {
        let readme = format!("{}/README.md", member.folder);
        if !files.contains(&readme.as_str()) {
            complaints.push(format!("{readme} is missing"));
        }
    }
    // The sources of xtask spell out what others may not write.
    let sources = files
        .iter()
        .filter(|path| path.ends_with(".rs") && !path.starts_with("xtask/"));
    for path in sources {
        complaints.extend(source(path, &shell.read_file(path)?));
    }
    Ok(complaints)
}

fn stray(files: &[&str]) -> Vec<String> {
    let mut entries: Vec<_> = files
        .iter()
        .filter_map(|path| path.split('/').next())
        .collect();
    entries.retain(|entry| !ROOT.split_whitespace().any(|known| known == *entry));
    entries.dedup();
    let complain = |entry| format!("`{entry}` does not belong at the root");
    entries.into_iter().map(complain).collect()
}

/// Every recipe of the specification is there, none besides, and each is one line that calls xtask.
fn justfile(text: &str) -> Vec<String> {
    let promised: Vec<_> = RECIPES.split_whitespace().collect();
    let mut found = Vec::new();
    let mut complaints = Vec::new();
    for recipe in text.trim_end().split("\n\n") {
        let lines = recipe.lines().filter(|line| !line.starts_with('#'));
        if let [head, body @ ..] = &lines.collect::<Vec<_>>()[..] {
            let name = head.split([' ', ':']).next().unwrap_or(head);
            found.push(name);
            if body.len() != 1 || !body[0].trim().starts_with("cargo xtask ") {
                complaints.push(format!("recipe `{name}` is not one line `cargo xtask …`"));
            }
        }
    }
    let missing = promised.iter().filter(|name| !found.contains(name));
    complaints.extend(missing.map(|name| format!("the justfile lacks `{name}`")));
    let besides = found.iter().filter(|name| !promised.contains(name));
    complaints.extend(besides.map(|name| format!("the specification has no recipe `{name}`")));
    complaints
}

pub(super) fn manifest(member: &Member, text: &str) -> Vec<String> {
    let Member {
        name,
        folder,
        description,
        ..
    } = member;
    let inherits = |key: &&str| text.contains(&format!("\n{key}.workspace = true\n"));
    let own: Vec<_> = INHERITED.split(' ').filter(|key| !inherits(key)).collect();
    let at_home = folder
        .strip_prefix("crates/")
        .is_none_or(|folder| folder == name);
    let lints = "\n[lints]\nworkspace = true\n";
    let own = own.join(", ");
    [
        (own.is_empty(), format!("does not inherit {own}")),
        (text.contains(lints), "does not inherit the lints".into()),
        (!text.contains("version = \""), "names a version".into()),
        (!description.is_empty(), "has no description".into()),
        (at_home, format!("lies in {folder}")),
    ]
    .into_iter()
    .filter(|(holds, _)| !holds)
    .map(|(_, complaint)| format!("the manifest of {name} {complaint}"))
    .collect()
}

fn source(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if path.ends_with("/mod.rs") {
        complaints.push(format!("{path}: write `foo.rs`, not `foo/mod.rs`"));
    }
    let mut code = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"));
    let is_lib = path.starts_with("crates/") && path.ends_with("/src/lib.rs");
    if is_lib && code.any(|line| line.split(' ').any(|word| word == "fn")) {
        complaints.push(format!(
            "{path}: a lib.rs holds docs, `mod` and `pub use`, no `fn`"
        ));
    }
    let mut reasons = text.split("#[ignore").skip(1);
    if reasons.any(|reason| !reason.starts_with(" = \"needs nats-server\"]")) {
        complaints.push(format!(
            "{path}: tests are ignored for \"needs nats-server\" only"
        ));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUSTFILE: &str = include_str!("../../../justfile");
    const MANIFEST: &str = include_str!("../../Cargo.toml");

    #[test]
    fn a_justfile_has_the_recipes_of_the_specification_and_delegates() {
        assert_eq!(justfile(JUSTFILE), [""; 0]);
        assert_eq!(
            justfile(&JUSTFILE.replace("\ndoc:", "\ndocs:")),
            [
                "the justfile lacks `doc`",
                "the specification has no recipe `docs`"
            ]
        );
        assert_eq!(
            justfile(&JUSTFILE.replacen("cargo xtask ", "cargo ", 1)).len(),
            1
        );
        assert_eq!(justfile(&format!("{JUSTFILE}    echo done\n")).len(), 1);
    }

    #[test]
    fn unknown_entries_at_the_root_are_stray() {
        let files = ["Cargo.toml", "crates/a/src/lib.rs", "notes/a", "notes/b"];
        assert_eq!(stray(&files), ["`notes` does not belong at the root"]);
    }

    #[test]
    fn manifests_inherit_and_name_no_version() {
        let check = |folder: &str, text: &str| {
            let package = serde_json::json!({
                "name": "xtask",
                "description": "Automation.",
                "manifest_path": format!("/w/{folder}/Cargo.toml"),
            });
            let metadata = serde_json::json!({ "workspace_root": "/w", "packages": [package] });
            manifest(&crate::project::members(&metadata)[0], text)
        };
        assert_eq!(check("xtask", MANIFEST), [""; 0]);
        assert_eq!(check("crates/task", MANIFEST).len(), 1);
        assert_eq!(
            check("xtask", &MANIFEST.replace("[lints]", "[features]")).len(),
            1
        );
        assert_eq!(
            check(
                "xtask",
                &MANIFEST.replace("license.workspace = true", "version = \"1\"")
            ),
            [
                "the manifest of xtask does not inherit license",
                "the manifest of xtask names a version"
            ]
        );
    }

    #[track_caller]
    fn check(path: &str, text: &str, complaints: usize) {
        assert_eq!(source(path, text).len(), complaints);
    }

    #[test]
    fn a_lib_holds_no_function_outside_its_docs() {
        check(
            "crates/a/src/lib.rs",
            "//! fn main() {}\npub use a::b;\n",
            0,
        );
        check("crates/a/src/lib.rs", "pub fn new() {}\n", 1);
        check("crates/a/src/other.rs", "pub fn new() {}\n", 0);
    }

    #[test]
    fn tests_are_ignored_only_for_want_of_a_server() {
        check("tests/it/main.rs", "#[ignore = \"needs nats-server\"]\n", 0);
        check("tests/it/main.rs", "#[ignore = \"slow\"]\n", 1);
        check("tests/it/main.rs", "#[ignore]\n", 1);
    }

    #[test]
    fn modules_are_not_called_mod() {
        check("crates/a/tests/it/mod.rs", "", 1);
    }
}
