//! Paths of every kind.

use std::{fs, path::Path};

use a3s_event_core::state::StateStore;
use a3s_event_state::FileStateStore;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{child, names, refusal, subscriptions};

#[tokio::test]
async fn a_path_that_names_no_file_is_an_error() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("folder")).unwrap();
    fs::write(root.join("folder/inside"), "").unwrap();
    fs::write(root.join("file"), "{}").unwrap();
    for path in [
        Path::new(""),
        Path::new("/"),
        &root.join(".."),
        &root.join("folder"),
        &root.join("folder/"),
        &root.join("missing/"),
        &root.join("file/state.json"),
        &root.join("nul\0byte"),
    ] {
        let store = FileStateStore::new(path);
        refusal(store.load().await, path);
        refusal(store.save(&subscriptions(&["a"])).await, path);
        refusal(FileStateStore::open(path).await, path);
    }
    assert_eq!(fs::read(root.join("file")).unwrap(), b"{}");
    assert_eq!(names(&root.join("folder")), ["inside"]);
    assert!(!root.join("missing").exists());
}

#[tokio::test]
async fn a_name_that_leaves_no_room_for_a_lock_is_an_error() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x".repeat(255));
    let store = FileStateStore::new(&path);
    assert!(store.load().await.unwrap().is_empty());
    refusal(store.save(&subscriptions(&["a"])).await, &path);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_bare_name_is_a_file_in_the_working_folder() {
    if let Some(name) = child::file() {
        let runtime = Runtime::new().unwrap();
        let store = runtime.block_on(FileStateStore::open(name)).unwrap();
        return runtime
            .block_on(store.save(&subscriptions(&["a"])))
            .unwrap();
    }
    let test = "paths::a_bare_name_is_a_file_in_the_working_folder";
    let folder = TempDir::new().unwrap();
    for name in ["state.json", "./other.json", "new/state.json"] {
        let mut command = child::command(test, Path::new(name));
        let done = command.current_dir(folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success() && text.contains("1 passed"), "{text}");
        assert!(folder.path().join(name).is_file());
    }
}

#[cfg(unix)]
mod unix {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, os::unix::fs::symlink, process::Command};

    use super::*;

    #[tokio::test]
    async fn a_name_that_is_not_utf_8_is_fine() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(OsStr::from_bytes(b"state-\xff.json"));
        let store = FileStateStore::open(&path).await.unwrap();
        store.save(&subscriptions(&["a"])).await.unwrap();
        assert_eq!(store.load().await.unwrap(), subscriptions(&["a"]));
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[tokio::test]
    async fn a_link_keeps_pointing_and_its_target_is_replaced() {
        let folder = TempDir::new().unwrap();
        let real = folder.path().join("real");
        fs::create_dir(&real).unwrap();
        let link = folder.path().join("state.json");
        let second = folder.path().join("second.json");
        symlink("second.json", &link).unwrap();
        symlink("real/state.json", &second).unwrap();

        // The target need not exist yet.
        for id in ["a", "b"] {
            let store = FileStateStore::new(&link);
            store.load().await.unwrap();
            store.save(&subscriptions(&[id])).await.unwrap();
            assert_eq!(store.load().await.unwrap(), subscriptions(&[id]));
        }
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("second.json"));
        assert_eq!(
            fs::read_link(&second).unwrap(),
            Path::new("real/state.json")
        );
        assert_eq!(names(&real), ["state.json", "state.json.lock"]);

        // Whoever comes by the other path meets the same lock.
        let owner = FileStateStore::open(&link).await.unwrap();
        let direct = real.join("state.json");
        refusal(FileStateStore::open(&direct).await, &direct);
        drop(owner);
    }

    #[tokio::test]
    async fn a_link_that_is_swapped_in_later_is_not_followed() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("state.json");
        let store = FileStateStore::open(&path).await.unwrap();
        store.save(&subscriptions(&["a"])).await.unwrap();

        let victim = folder.path().join("victim");
        fs::write(&victim, "{}").unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&victim, &path).unwrap();
        store.save(&subscriptions(&["b"])).await.unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"{}");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[tokio::test]
    async fn a_circle_of_links_is_an_error() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("state.json");
        symlink("state.json", &path).unwrap();
        refusal(FileStateStore::new(&path).load().await, &path);
        refusal(FileStateStore::open(&path).await, &path);
    }

    #[tokio::test]
    async fn a_pipe_is_an_error_and_nobody_waits_for_it() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("state.json");
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let store = FileStateStore::new(&path);
        refusal(store.load().await, &path);
        refusal(store.save(&subscriptions(&["a"])).await, &path);
    }
}
