//! `tidy`: the rules of the workspace that no compiler checks.

mod dependencies;
mod files;

use xshell::cmd;

use crate::{
    process::{Result, failure},
    project::Project,
};

pub(crate) fn run(project: &Project) -> Result {
    let shell = &project.shell;
    let mut complaints = files::check(project)?;
    for member in &project.members {
        let manifest = shell.read_file(format!("{}/Cargo.toml", member.folder))?;
        complaints.extend(files::manifest(member, &manifest));
        complaints.extend(dependencies::directions(member));
    }
    println!("third-party crates    direct of limit   total");
    for member in project.published() {
        let name = &member.name;
        let tree = cmd!(
            shell,
            "cargo tree -p {name} --all-features --edges normal,build --prefix none --locked"
        );
        let tree = tree.read()?;
        let mut tree: Vec<_> = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        tree.sort_unstable();
        tree.dedup();
        complaints.extend(dependencies::denied(name, &tree));

        let (direct, limit) = dependencies::budget(member);
        let total = tree
            .iter()
            .filter(|name| project.member(name).is_none())
            .count();
        println!("{name:<22}{direct:>6} of {limit:<5}{total:>8}");
        if direct > limit {
            complaints.push(format!(
                "{name} names more third-party crates than its limit"
            ));
        }
    }
    for complaint in &complaints {
        eprintln!("tidy: {complaint}");
    }
    match complaints.len() {
        0 => Ok(()),
        count => Err(failure(format!("tidy has {count} complaints"))),
    }
}
