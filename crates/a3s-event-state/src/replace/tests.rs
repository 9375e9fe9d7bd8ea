//! The power is cut after every step.

use std::{
    cell::{Cell, RefCell},
    io,
    path::Path,
};

use super::{Disk, is_temporary, replace};

const OLD: &[u8] = b"old";
const NEW: &[u8] = b"new state";

/// A disk that keeps what was synced and may keep or lose everything else.
struct SimulatedDisk {
    /// Steps until the power is cut.
    steps_left: Cell<usize>,
    written: RefCell<Vec<u8>>,
    synced: Cell<bool>,
    renamed: Cell<bool>,
    folder_synced: Cell<bool>,
}

impl SimulatedDisk {
    fn with_power_for(steps: usize) -> Self {
        Self {
            steps_left: Cell::new(steps),
            written: RefCell::default(),
            synced: Cell::new(false),
            renamed: Cell::new(false),
            folder_synced: Cell::new(false),
        }
    }

    fn step(&self) -> io::Result<()> {
        let left = self.steps_left.get().checked_sub(1);
        self.steps_left.set(left.ok_or(io::ErrorKind::Other)?);
        Ok(())
    }

    /// Everything that the file may hold when the power is back.
    fn survivors(&self) -> Vec<Vec<u8>> {
        let written = self.written.borrow().clone();
        let data = if self.synced.get() {
            vec![written]
        } else {
            let prefixes = 0..=written.len();
            prefixes.map(|length| written[..length].to_vec()).collect()
        };
        match (self.renamed.get(), self.folder_synced.get()) {
            (false, _) => vec![OLD.to_vec()],
            (true, false) => [data, vec![OLD.to_vec()]].concat(),
            (true, true) => data,
        }
    }
}

impl Disk for SimulatedDisk {
    type Temporary = ();

    fn create(&self, _: &Path) -> io::Result<()> {
        self.step()
    }

    fn write(&self, (): &mut (), bytes: &[u8]) -> io::Result<()> {
        // A cut may come after any byte.
        for byte in bytes {
            self.step()?;
            self.written.borrow_mut().push(*byte);
        }
        Ok(())
    }

    fn sync(&self, (): &()) -> io::Result<()> {
        self.step()?;
        self.synced.set(true);
        Ok(())
    }

    fn rename(&self, (): (), _: &Path) -> io::Result<()> {
        self.step()?;
        self.renamed.set(true);
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.step()?;
        self.folder_synced.set(true);
        Ok(())
    }
}

#[test]
fn whenever_the_power_is_cut_the_old_or_the_new_state_survives() {
    let steps = NEW.len() + 4;
    for cut in 0..steps {
        let disk = SimulatedDisk::with_power_for(cut);
        assert!(replace(&disk, Path::new("state.json"), NEW).is_err());
        for survivor in disk.survivors() {
            assert!(survivor == OLD || survivor == NEW, "cut after step {cut}");
        }
    }
    let disk = SimulatedDisk::with_power_for(steps);
    replace(&disk, Path::new("state.json"), NEW).unwrap();
    assert_eq!(disk.survivors(), [NEW]);
}

#[test]
fn the_simulation_would_notice_a_sync_that_is_missing() {
    let without_content = SimulatedDisk::with_power_for(100);
    without_content.write(&mut (), NEW).unwrap();
    without_content.rename((), Path::new("")).unwrap();
    without_content.sync_folder(Path::new("")).unwrap();
    assert!(without_content.survivors().contains(&Vec::new()));

    let without_folder = SimulatedDisk::with_power_for(100);
    without_folder.write(&mut (), NEW).unwrap();
    without_folder.sync(&()).unwrap();
    without_folder.rename((), Path::new("")).unwrap();
    assert!(without_folder.survivors().contains(&OLD.to_vec()));
}

#[test]
fn only_temporary_files_of_this_state_are_recognized() {
    assert!(is_temporary(b".state.json.aB3xYz.tmp", b"state.json"));
    for other in [
        "state.json",
        "state.json.lock",
        ".state.json.tmp",
        ".state.json.aB3xY.tmp",
        ".state.json.aB3xYzz.tmp",
        ".state.json.aB3-Yz.tmp",
        ".state.json.aB3xYz.bak",
        ".other.json.aB3xYz.tmp",
        ".state.json.eu.aB3xYz.tmp",
        "state.json.aB3xYz.tmp",
    ] {
        assert!(!is_temporary(other.as_bytes(), b"state.json"), "{other}");
    }
}
