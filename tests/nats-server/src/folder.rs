use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process,
};

use crate::error::{Error, Result};

/// A folder that is removed on drop.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn create() -> Result<Self> {
        let parent = env::temp_dir();
        let process = process::id();
        // An earlier process with the same id may have left some behind.
        for number in 0.. {
            let path = parent.join(format!("a3s-event-nats-server-{process}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(Error::io(format_args!("create {}", path.display()))(error));
                }
            }
        }
        unreachable!("there are more numbers than folders")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A test that passed does not fail because the system cannot clean up.
        let _ = fs::remove_dir_all(&self.0);
    }
}
