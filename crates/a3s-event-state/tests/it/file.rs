//! What is saved, loaded and left alone.

use std::{collections::HashMap, fs, path::PathBuf};

use a3s_event_core::state::StateStore;
use a3s_event_state::FileStateStore;
use tempfile::TempDir;

use crate::{Subscriptions, names, refusal, subscriptions};

fn state_file() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.json");
    (folder, path)
}

#[tokio::test]
async fn what_was_saved_is_loaded_by_the_next_store() {
    let (_folder, path) = state_file();
    for ids in [
        &["a", "b"][..],
        &["c"],
        &[],
        &["ü", "🦀", "with \"quotes\"\n"],
    ] {
        let store = FileStateStore::new(&path);
        store.save(&subscriptions(ids)).await.unwrap();
        assert_eq!(store.load().await.unwrap(), subscriptions(ids));
        drop(store);
        let next = FileStateStore::open(&path).await.unwrap();
        assert_eq!(next.load().await.unwrap(), subscriptions(ids));
    }
}

#[tokio::test]
async fn a_missing_file_or_folder_is_an_empty_state_and_loading_creates_nothing() {
    let (folder, path) = state_file();
    assert!(FileStateStore::new(&path).load().await.unwrap().is_empty());
    let deeper = folder.path().join("a/b/state.json");
    assert!(FileStateStore::new(deeper).load().await.unwrap().is_empty());
    assert!(names(folder.path()).is_empty());
}

#[tokio::test]
async fn folders_are_created_when_the_file_is() {
    let (folder, _) = state_file();
    for (name, open) in [("opened", true), ("saved", false)] {
        let path = folder.path().join(name).join("a/b/state.json");
        let store = if open {
            FileStateStore::open(&path).await.unwrap()
        } else {
            FileStateStore::new(&path)
        };
        store.save(&subscriptions(&["a"])).await.unwrap();
        assert_eq!(store.load().await.unwrap().len(), 1);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn files_and_folders_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let (folder, _) = state_file();
    let path = folder.path().join("new/state.json");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let store = FileStateStore::new(&path);
    store.save(&subscriptions(&["a"])).await.unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&path.with_extension("json.lock")), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    store.save(&subscriptions(&["b"])).await.unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn a_save_leaves_nothing_but_the_file_and_its_lock() {
    let (folder, path) = state_file();
    let store = FileStateStore::new(&path);
    for _ in 0..3 {
        store.save(&subscriptions(&["a"])).await.unwrap();
    }
    assert_eq!(names(folder.path()), ["state.json", "state.json.lock"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_an_error_and_is_never_replaced() {
    let good = r#"{"formatVersion": 1, "subscriptions": {}}"#;
    let with = |filter: &str| format!(r#"{{"formatVersion": 1, "subscriptions": {filter}}}"#);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("white space", b" \n".to_vec()),
        ("zeros", vec![0; 512]),
        ("not UTF-8", b"{\"\xff\": 1}".to_vec()),
        ("byte order mark", format!("\u{feff}{good}").into_bytes()),
        ("trailing garbage", format!("{good}}}").into_bytes()),
        ("two documents", format!("{good}{good}").into_bytes()),
        ("cut in half", good.as_bytes()[..good.len() / 2].to_vec()),
        ("null", b"null".to_vec()),
        ("array", b"[]".to_vec()),
        ("text", b"\"text\"".to_vec()),
        ("newer", good.replace(": 1", ": 2").into_bytes()),
        ("much newer", good.replace(": 1", ": 1e300").into_bytes()),
        ("version 0", good.replace(": 1", ": 0").into_bytes()),
        ("negative", good.replace(": 1", ": -1").into_bytes()),
        ("fraction", good.replace(": 1", ": 1.5").into_bytes()),
        (
            "version as text",
            good.replace(": 1", ": \"1\"").into_bytes(),
        ),
        ("no subscriptions", b"{\"formatVersion\": 1}".to_vec()),
        (
            "more fields",
            good.replace("{}", "{}, \"more\": 1").into_bytes(),
        ),
        ("subscriptions of another type", with("[]").into_bytes()),
        ("a filter of another type", with(r#"{"a": 1}"#).into_bytes()),
        (
            "a filter as an array",
            with(r#"{"a": ["a", [], true, null]}"#).into_bytes(),
        ),
        (
            "a filter without subjects",
            with(r#"{"a": {"subscriberId": "a", "durable": true}}"#).into_bytes(),
        ),
        (
            "a filter under another key",
            with(r#"{"a": {"subscriberId": "b", "subjects": [], "durable": true}}"#).into_bytes(),
        ),
        (
            "an unknown field of a filter",
            with(r#"{"a": {"subscriberId": "a", "subjects": [], "durable": true, "x": 1}}"#)
                .into_bytes(),
        ),
        (
            "an unknown option",
            with(
                r#"{"a": {"subscriberId": "a", "subjects": [], "durable": true,
                   "options": {"replayPolicy": "original"}}}"#,
            )
            .into_bytes(),
        ),
        (
            "an unknown policy",
            with(
                r#"{"a": {"subscriberId": "a", "subjects": [], "durable": true,
                   "options": {"deliverPolicy": {"type": "sometimes"}}}}"#,
            )
            .into_bytes(),
        ),
        (
            "a filter of the predecessor under another key",
            br#"{"a": {"subscriberId": "b", "subjects": [], "durable": true}}"#.to_vec(),
        ),
        (
            "too deep",
            format!("{}1", "{\"a\":".repeat(200)).into_bytes(),
        ),
        (
            "too large",
            [good.as_bytes(), &vec![b' '; 16 << 20]].concat(),
        ),
    ];
    for (case, content) in cases {
        let (folder, path) = state_file();
        fs::write(&path, &content).unwrap();
        let untouched = |step: &str| {
            assert!(fs::read(&path).unwrap() == content, "{case}: {step}");
            let temporary = names(folder.path())
                .into_iter()
                .any(|name| name.ends_with(".tmp"));
            assert!(!temporary, "{case}: {step}");
        };

        let store = FileStateStore::new(&path);
        refusal(store.load().await, &path);
        untouched("load");
        let text = refusal(store.save(&subscriptions(&["a"])).await, &path);
        assert!(text.contains("could not load"), "{text}");
        assert!(!content.is_empty() || text.contains("remove it"), "{text}");
        untouched("save after load");
        drop(store);
        refusal(
            FileStateStore::new(&path)
                .save(&subscriptions(&["a"]))
                .await,
            &path,
        );
        untouched("save without load");
        refusal(FileStateStore::open(&path).await, &path);
        untouched("open");
    }
}

#[tokio::test]
async fn a_file_that_breaks_under_a_running_store_is_not_replaced_either() {
    let (_folder, path) = state_file();
    let store = FileStateStore::open(&path).await.unwrap();
    store.save(&subscriptions(&["a"])).await.unwrap();
    fs::write(&path, "broken by hand").unwrap();
    refusal(store.save(&subscriptions(&["b"])).await, &path);
    assert_eq!(fs::read(&path).unwrap(), b"broken by hand");

    fs::remove_file(&path).unwrap();
    store.save(&subscriptions(&["b"])).await.unwrap();
    assert_eq!(store.load().await.unwrap(), subscriptions(&["b"]));
}

#[tokio::test]
async fn what_could_not_be_loaded_again_is_not_saved() {
    let (_folder, path) = state_file();
    let store = FileStateStore::open(&path).await.unwrap();
    store.save(&subscriptions(&["a"])).await.unwrap();
    let before = fs::read(&path).unwrap();

    let mut misplaced: Subscriptions = subscriptions(&["b"]);
    let filter = misplaced.remove("b").unwrap();
    misplaced.insert("c".to_owned(), filter.clone());
    refusal(store.save(&misplaced).await, &path);

    let mut large = filter;
    large.subjects = vec!["x".repeat(17 << 20)];
    let large = HashMap::from([("b".to_owned(), large)]);
    let text = refusal(store.save(&large).await, &path);
    assert!(text.contains("larger than"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn what_cannot_be_swept_keeps_nobody_from_working() {
    let (folder, path) = state_file();
    let odd = folder.path().join(".state.json.abcdef.tmp");
    fs::create_dir(&odd).unwrap();
    let store = FileStateStore::open(&path).await.unwrap();
    store.save(&subscriptions(&["a"])).await.unwrap();
    assert!(odd.is_dir());
}

#[test]
fn debug_shows_the_path_only() {
    let store = FileStateStore::new("state.json");
    assert_eq!(
        format!("{store:?}"),
        r#"FileStateStore { path: "state.json", .. }"#
    );
    assert_eq!(store.path(), std::path::Path::new("state.json"));
}
