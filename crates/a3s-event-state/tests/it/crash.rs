//! Processes that die while they save.

use std::{fs, path::Path, process::Stdio};

use a3s_event_core::state::StateStore;
use a3s_event_state::FileStateStore;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{child, generation, generation_of, names, refusal, subscriptions};

/// Saves one generation after the other and says each after it is saved.
fn save_forever(path: &Path) -> ! {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let store = FileStateStore::open(path).await.unwrap();
        let first = generation_of(&store.load().await.unwrap()).unwrap_or(0);
        for next in first + 1.. {
            store.save(&generation(next)).await.unwrap();
            child::say(&next.to_string());
        }
        unreachable!()
    })
}

#[test]
fn a_killed_writer_loses_no_acknowledged_generation() {
    if let Some(path) = child::file() {
        save_forever(&path);
    }
    let test = "crash::a_killed_writer_loses_no_acknowledged_generation";
    let runtime = Runtime::new().unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.json");

    let mut last = 0;
    for round in 0..20 {
        let mut writer = child::command(test, &path).spawn().unwrap();
        let mut said = child::listen(writer.stdout.take().unwrap());
        // Wherever in a save the writer is when this one is heard of.
        for acknowledged in said.by_ref().take(1 + round % 5) {
            last = acknowledged.parse().unwrap();
        }
        writer.kill().unwrap();
        // What it said before it died counts.
        for acknowledged in said {
            last = acknowledged.parse().unwrap();
        }
        assert!(!writer.wait().unwrap().success());

        let store = FileStateStore::new(&path);
        let found = runtime.block_on(store.load()).unwrap();
        let found = generation_of(&found).unwrap();
        assert!([last, last + 1].contains(&found), "{found} after {last}");
        last = found;
    }
    assert!(last >= 20);

    let store = runtime.block_on(FileStateStore::open(&path)).unwrap();
    assert_eq!(names(folder.path()), ["state.json", "state.json.lock"]);
    drop(store);
}

/// Saves a state that is larger than the limit which the parent has set.
#[cfg(unix)]
fn save_too_much(path: &Path) {
    let runtime = Runtime::new().unwrap();
    let store = FileStateStore::new(path);
    let text = refusal(runtime.block_on(store.save(&generation(2))), path);
    assert!(text.contains("File too large"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_write_that_is_cut_in_half_leaves_the_file_and_an_orphan_that_is_swept() {
    use std::os::unix::process::ExitStatusExt;

    const SIGXFSZ: i32 = 25;

    if let Some(path) = child::file() {
        return save_too_much(&path);
    }
    let test = "crash::a_write_that_is_cut_in_half_leaves_the_file_and_an_orphan_that_is_swept";
    let runtime = Runtime::new().unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.json");
    let store = runtime.block_on(FileStateStore::open(&path)).unwrap();
    runtime.block_on(store.save(&generation(1))).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(before.len() > 4096);
    drop(store);

    let cut = child::command_after("ulimit -f 2", test, &path).output();
    let cut = cut.unwrap();
    assert_eq!(cut.status.signal(), Some(SIGXFSZ), "{cut:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
    let orphans: Vec<_> = names(folder.path())
        .into_iter()
        .filter(|name| name.ends_with(".tmp"))
        .collect();
    assert_eq!(orphans.len(), 1);
    let torn = fs::read(folder.path().join(&orphans[0])).unwrap();
    assert!(!torn.is_empty() && torn.len() < before.len());

    // Files of others, which the sweep must leave.
    for other in [".other.json.aaaaaa.tmp", ".state.json.tmp", "state.tmp"] {
        fs::write(folder.path().join(other), "").unwrap();
    }
    let store = runtime.block_on(FileStateStore::open(&path)).unwrap();
    assert_eq!(
        names(folder.path()),
        [
            ".other.json.aaaaaa.tmp",
            ".state.json.tmp",
            "state.json",
            "state.json.lock",
            "state.tmp"
        ]
    );
    let found = runtime.block_on(store.load()).unwrap();
    assert_eq!(generation_of(&found), Some(1));
}

#[cfg(unix)]
#[test]
fn a_write_that_the_disk_refuses_is_an_error_and_leaves_nothing_behind() {
    if let Some(path) = child::file() {
        return save_too_much(&path);
    }
    let test = "crash::a_write_that_the_disk_refuses_is_an_error_and_leaves_nothing_behind";
    let runtime = Runtime::new().unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.json");
    let store = runtime.block_on(FileStateStore::open(&path)).unwrap();
    runtime
        .block_on(store.save(&subscriptions(&["a"])))
        .unwrap();
    let before = fs::read(&path).unwrap();
    drop(store);

    // Ignored, the signal becomes an error of the write.
    let limited = child::command_after("trap '' XFSZ; ulimit -f 2", test, &path)
        .stderr(Stdio::inherit())
        .output();
    let limited = limited.unwrap();
    let text = String::from_utf8_lossy(&limited.stdout).into_owned();
    assert!(
        limited.status.success() && text.contains("1 passed"),
        "{text}"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(names(folder.path()), ["state.json", "state.json.lock"]);
}
