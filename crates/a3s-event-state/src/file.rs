use std::{
    collections::HashMap,
    fmt,
    fs::{self, File, TryLockError},
    io::{self, Read},
    path::{self, Path, PathBuf},
    sync::Arc,
};

use a3s_event_core::{
    BoxError, EventError, Result, async_trait, state::StateStore, types::SubscriptionFilter,
};
use tokio::{sync::Mutex, task};

use crate::{
    format::{MAX_BYTES, Subscriptions, decode, encode},
    replace::{RealDisk, create_folder, folder_and_name, replace, sweep},
};

/// Keeps subscriptions in a JSON file that is always whole.
///
/// # The file
///
/// Readable, with a `formatVersion`, sorted, and for its owner only (mode 0600).
/// A missing file or folder is an empty state. A file that is empty, corrupt,
/// larger than 16 MiB, or of a newer format is an error and stays as it is, byte
/// for byte: no save replaces what no load understands. The bare map that
/// `a3s-event` 0.4 wrote is read, and replaced by the first save.
///
/// Where the path is a symbolic link, the file that it points to is replaced and
/// the link stays. A link is followed once, at the first use.
///
/// # Crashes
///
/// A save writes a temporary file beside the file, syncs it, renames it and
/// syncs the folder. Whatever happens on the way, a later load gives the state
/// before or after it, and a save that returned `Ok` is never lost. Temporary
/// files that a crash left are removed when the lock is taken.
///
/// # Other processes
///
/// One store at a time may save: it holds a lock on the file `<name>.lock`
/// beside the state, which stays there and must not be removed. [`open`] takes
/// the lock; a store made with [`new`] takes it at its first save, and refuses
/// if the file has changed since it loaded it. The lock is held until the store
/// is dropped and goes with the process. Loading needs no lock. Network file
/// systems may not honor locks.
///
/// # Runtime
///
/// Files are read and written on the blocking threads of Tokio: call the methods
/// within a Tokio runtime.
///
/// [`new`]: Self::new
/// [`open`]: Self::open
///
/// # Examples
///
/// ```
/// use a3s_event_core::state::StateStore;
/// use a3s_event_state::FileStateStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("subscriptions.json");
/// let store = FileStateStore::open(&path).await?;
/// assert!(store.load().await?.is_empty());
///
/// let second = FileStateStore::open(&path).await;
/// assert!(second.is_err(), "the first one has the lock");
/// # Ok(())
/// # }
/// ```
pub struct FileStateStore {
    path: PathBuf,
    // Fair, so that saves take effect in the order in which they are called.
    state: Arc<Mutex<State>>,
}

impl FileStateStore {
    /// Creates a store for the file at `path` and touches nothing yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            state: Arc::new(Mutex::new(State::new(path.clone()))),
            path,
        }
    }

    /// Opens a store for the file at `path`: creates the folder, takes the lock,
    /// removes what crashes left, and checks that the file can be read.
    ///
    /// # Errors
    ///
    /// [`EventError::State`] when another store has the lock or the file cannot
    /// be read. The file is untouched.
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives the lock back.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let store = Self::new(path);
        store.run("open", State::open).await?;
        Ok(store)
    }

    /// Returns the path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on a blocking thread, one after the other. Once it has begun
    /// it ends, whatever becomes of this future.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut State) -> Result<T, BoxError> + Send + 'static,
    ) -> Result<T> {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        let done = task::spawn_blocking(move || work(&mut state)).await;
        done.unwrap_or_else(|error| Err(error.into()))
            .map_err(|error| error_at(operation, &self.path, error))
    }
}

#[async_trait]
impl StateStore for FileStateStore {
    /// Replaces the file.
    ///
    /// # Errors
    ///
    /// [`EventError::State`] naming the file, when another store has the lock,
    /// when what is there cannot be read, for a key that is not the id of its
    /// filter, for more than 16 MiB, and when the disk refuses. The file is
    /// untouched, unless only the last step failed, syncing the folder.
    ///
    /// # Cancellation
    ///
    /// A save that has begun ends, so that the file holds the old or the new
    /// state.
    async fn save(&self, subscriptions: &HashMap<String, SubscriptionFilter>) -> Result<()> {
        let bytes = encode(subscriptions).map_err(|error| error_at("save", &self.path, error))?;
        self.run("save", move |state| state.save(&bytes)).await
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`EventError::State`] naming the file, for anything but a file that this
    /// version wrote, one of `a3s-event` 0.4, and none.
    async fn load(&self) -> Result<HashMap<String, SubscriptionFilter>> {
        self.run("load", State::load).await
    }
}

impl fmt::Debug for FileStateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStateStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What is known of the file, and all access to it.
struct State {
    path: PathBuf,
    /// The file behind the links, once they have been followed.
    target: Option<PathBuf>,
    /// Held until the store is dropped.
    lock: Option<Lock>,
    /// What the last load without the lock found.
    seen: Option<Content>,
}

/// The bytes of the file; `None` where there is none.
type Content = Option<Vec<u8>>;

impl State {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            target: None,
            lock: None,
            seen: None,
        }
    }

    fn open(&mut self) -> Result<(), BoxError> {
        let target = self.target()?;
        create_folder(folder_and_name(&target)?.0)?;
        self.acquire(&target)?;
        understood(&read(&target)?)?;
        Ok(())
    }

    fn load(&mut self) -> Result<Subscriptions, BoxError> {
        let content = read(&self.target()?)?;
        let subscriptions = understood(&content)?;
        if self.lock.is_none() {
            self.seen = Some(content);
        }
        Ok(subscriptions)
    }

    fn save(&mut self, bytes: &[u8]) -> Result<(), BoxError> {
        let target = self.target()?;
        create_folder(folder_and_name(&target)?.0)?;
        self.acquire(&target)?;
        // What cannot be read is not ours to replace.
        let present = read(&target).and_then(|content| understood(&content));
        present.map_err(|error| error_at("load", &self.path, error))?;
        replace(&RealDisk, &target, bytes)?;
        Ok(())
    }

    fn target(&mut self) -> io::Result<PathBuf> {
        if let Some(target) = &self.target {
            return Ok(target.clone());
        }
        let target = follow(&self.path)?;
        self.target = Some(target.clone());
        Ok(target)
    }

    /// Takes the lock, unless it is taken already.
    fn acquire(&mut self, target: &Path) -> Result<(), BoxError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let lock = Lock::take(target)?;
        if let Some(seen) = &self.seen
            && *seen != read(target)?
        {
            return Err("it has changed since this store loaded it: load it again".into());
        }
        sweep(target);
        self.seen = None;
        self.lock = Some(lock);
        Ok(())
    }
}

/// The lock beside a state file; given back when it is dropped.
struct Lock(File);

impl Lock {
    fn take(target: &Path) -> Result<Self, BoxError> {
        // Never the file itself: a rename puts another one in its place.
        let mut name = target.as_os_str().to_owned();
        name.push(".lock");
        let mut options = File::options();
        options.create(true).read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(name)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => {
                Err("another store has it locked, here or in another process".into())
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would be enough, did not a process that is being started
        // right now hold a copy of the file until it runs. If it fails, closing
        // is what remains.
        let _ = self.0.unlock();
    }
}

fn error_at(operation: &'static str, path: &Path, source: BoxError) -> EventError {
    EventError::state(operation, path.display().to_string(), source)
}

fn understood(content: &Content) -> Result<Subscriptions, BoxError> {
    content
        .as_deref()
        .map_or_else(|| Ok(Subscriptions::new()), decode)
}

/// Reads the file at `target`, or nothing where there is none.
fn read(target: &Path) -> Result<Content, BoxError> {
    let read = || {
        // Asked before opening, because opening a pipe waits for a writer.
        if !fs::metadata(target)?.is_file() {
            let reason = "there is something that is no regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let mut bytes = Vec::new();
        // One byte more than may be there, for `decode` to refuse.
        let most = u64::try_from(MAX_BYTES + 1).unwrap_or(u64::MAX);
        File::open(target)?.take(most).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => Ok(result?),
    }
}

/// Follows symbolic links to the file that is meant, which need not exist.
fn follow(path: &Path) -> io::Result<PathBuf> {
    /// As many as Linux follows.
    const MOST_LINKS: usize = 40;

    let last = path.as_os_str().as_encoded_bytes().last();
    if last.is_some_and(|&last| path::is_separator(char::from(last))) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path names a folder",
        ));
    }
    let mut target = path::absolute(path)?;
    for _ in 0..MOST_LINKS {
        match fs::read_link(&target) {
            Ok(link) => target = folder_and_name(&target)?.0.join(link),
            // No link, or nothing there: whoever reads or writes it will see.
            Err(_) => {
                folder_and_name(&target)?;
                return Ok(target);
            }
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

#[cfg(test)]
mod tests {
    use super::Lock;

    #[test]
    fn a_lock_is_free_at_once_even_where_a_process_being_started_has_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("state.json");
        let lock = Lock::take(&target).unwrap();
        assert!(Lock::take(&target).is_err());

        let inherited = lock.0.try_clone().unwrap();
        drop(lock);
        Lock::take(&target).unwrap();
        drop(inherited);
    }
}
