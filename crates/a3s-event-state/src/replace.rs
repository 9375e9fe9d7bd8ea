//! Replacing a file so that neither a crash nor a loss of power tears it.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use tempfile::{Builder, NamedTempFile};

/// Random characters in the name of a temporary file.
const RANDOM_CHARACTERS: usize = 6;

/// What replacing a file asks of the disk. A seam, so that tests can cut the
/// power after each step.
pub(crate) trait Disk {
    /// A file that is not there under its final name yet.
    type Temporary;

    fn create(&self, target: &Path) -> io::Result<Self::Temporary>;
    fn write(&self, temporary: &mut Self::Temporary, bytes: &[u8]) -> io::Result<()>;
    fn sync(&self, temporary: &Self::Temporary) -> io::Result<()>;
    fn rename(&self, temporary: Self::Temporary, target: &Path) -> io::Result<()>;
    fn sync_folder(&self, target: &Path) -> io::Result<()>;
}

/// Puts `bytes` in place of what is at `target`, whole or not at all, and
/// returns when they would survive a loss of power.
pub(crate) fn replace<D: Disk>(disk: &D, target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = disk.create(target)?;
    disk.write(&mut temporary, bytes)?;
    // Before the rename, or the new name could survive without its content.
    disk.sync(&temporary)?;
    disk.rename(temporary, target)?;
    // After the rename, which would otherwise survive only at the whim of the
    // file system. Where this fails the new file is in place all the same.
    disk.sync_folder(target)
}

/// The disk of the operating system.
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    type Temporary = NamedTempFile;

    /// Creates a file of mode 0600 that is removed when it is dropped.
    fn create(&self, target: &Path) -> io::Result<NamedTempFile> {
        let (folder, name) = folder_and_name(target)?;
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        Builder::new()
            .prefix(&prefix)
            .suffix(".tmp")
            .rand_bytes(RANDOM_CHARACTERS)
            .tempfile_in(folder)
    }

    fn write(&self, temporary: &mut NamedTempFile, bytes: &[u8]) -> io::Result<()> {
        temporary.write_all(bytes)
    }

    fn sync(&self, temporary: &NamedTempFile) -> io::Result<()> {
        temporary.as_file().sync_all()
    }

    fn rename(&self, temporary: NamedTempFile, target: &Path) -> io::Result<()> {
        temporary.persist(target)?;
        Ok(())
    }

    fn sync_folder(&self, target: &Path) -> io::Result<()> {
        sync(folder_and_name(target)?.0)
    }
}

/// Removes the temporary files that crashes left beside `target`, as far as that
/// is possible. Nobody may be writing: hold the lock.
pub(crate) fn sweep(target: &Path) {
    let Ok((folder, name)) = folder_and_name(target) else {
        return;
    };
    // What cannot be removed does no harm, so it is no reason to refuse to work.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_temporary(
            entry.file_name().as_encoded_bytes(),
            name.as_encoded_bytes(),
        ) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether `candidate` is `.NAME.XXXXXX.tmp`, as [`RealDisk`] names files.
fn is_temporary(candidate: &[u8], name: &[u8]) -> bool {
    let random = candidate
        .strip_prefix(b".")
        .and_then(|rest| rest.strip_prefix(name))
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(|rest| rest.strip_suffix(b".tmp"));
    random.is_some_and(|random| {
        random.len() == RANDOM_CHARACTERS && random.iter().all(u8::is_ascii_alphanumeric)
    })
}

/// Creates `folder` and what is missing above it, for its owner only, so that
/// they survive a loss of power like the file in them.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let Some(parent) = folder.parent() else {
        return Err(io::ErrorKind::NotFound.into());
    };
    create_folder(parent)?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync(parent),
    }
}

/// Writes the names in `folder` to disk, where a folder can be opened for that.
fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The two parts of a path that names a file.
pub(crate) fn folder_and_name(path: &Path) -> io::Result<(&Path, &std::ffi::OsStr)> {
    let parts = path.parent().zip(path.file_name());
    parts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))
}

#[cfg(test)]
mod tests;
