//! The workspace as `cargo metadata` describes it.

use std::{
    env,
    path::{Path, PathBuf},
};

use serde_json::Value;
use xshell::{Shell, cmd};

use crate::process::Result;

/// The facade: its features are checked one by one, and the examples are its own.
pub(crate) const FACADE: &str = "a3s-event";
/// The helper that starts servers: who depends on it has tests that need one.
pub(crate) const SERVER_HELPER: &str = "a3s-event-nats-server";

/// The workspace, and a shell that stands at its root.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) shell: Shell,
    pub(crate) target: PathBuf,
    pub(crate) members: Vec<Member>,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// The folder, relative to the root, with `/` between its parts.
    pub(crate) folder: String,
    pub(crate) description: String,
    pub(crate) features: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
    /// (kind, name), where the kind is `example`, `bench`, …
    targets: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Only for tests, examples and benchmarks.
    pub(crate) development: bool,
    /// A member of the workspace rather than a third party's crate.
    pub(crate) member: bool,
}

impl Project {
    pub(crate) fn load() -> Result<Self> {
        let shell = Shell::new()?;
        // Cargo sets it, so that the command works in any folder of the project.
        if let Some(manifest) = env::var_os("CARGO_MANIFEST_DIR") {
            shell.change_dir(Path::new(&manifest).join(".."));
        }
        let metadata = cmd!(shell, "cargo metadata --no-deps --format-version 1").read()?;
        let metadata: Value = serde_json::from_str(&metadata)?;
        shell.change_dir(text(&metadata["workspace_root"]));
        Ok(Self {
            target: PathBuf::from(text(&metadata["target_directory"])),
            members: members(&metadata),
            shell,
        })
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The crates that others may depend on.
    pub(crate) fn published(&self) -> impl Iterator<Item = &Member> {
        let is_published = |member: &&Member| member.folder.starts_with("crates/");
        self.members.iter().filter(is_published)
    }

    /// The crates with tests, examples, or benchmarks that need a nats-server.
    pub(crate) fn server_users(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| {
            let mut needed = member.dependencies.iter();
            member.name == SERVER_HELPER || needed.any(|needed| needed.name == SERVER_HELPER)
        })
    }
}

impl Member {
    /// The names of the targets of one kind.
    pub(crate) fn targets(&self, kind: &str) -> impl Iterator<Item = &str> {
        let of_kind = self.targets.iter().filter(move |(found, _)| found == kind);
        of_kind.map(|(_, name)| name.as_str())
    }
}

/// Reads the members, ordered by name, out of the answer of `cargo metadata`.
pub(crate) fn members(metadata: &Value) -> Vec<Member> {
    let root = Path::new(text(&metadata["workspace_root"]));
    let member = |package: &Value| {
        let folder = Path::new(text(&package["manifest_path"]))
            .parent()
            .unwrap_or(root);
        let folder = folder.strip_prefix(root).unwrap_or(folder);
        let dependency = |dependency: &Value| Dependency {
            name: text(&dependency["name"]).to_owned(),
            development: dependency["kind"] == "dev",
            member: dependency["path"].is_string(),
        };
        let target = |target: &Value| {
            let kind = text(&target["kind"][0]).to_owned();
            (kind, text(&target["name"]).to_owned())
        };
        let features = package["features"].as_object().into_iter();
        Member {
            name: text(&package["name"]).to_owned(),
            folder: folder.to_string_lossy().replace('\\', "/"),
            description: text(&package["description"]).to_owned(),
            features: features.flat_map(|map| map.keys().cloned()).collect(),
            dependencies: list(&package["dependencies"]).map(dependency).collect(),
            targets: list(&package["targets"]).map(target).collect(),
        }
    };
    let mut members: Vec<_> = list(&metadata["packages"]).map(member).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    members
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
