//! Files that are of no use before they are whole: they are removed when a signal ends the process, too.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

static LEFTOVERS: Mutex<Leftovers> = Mutex::new(Leftovers { paths: Vec::new(), leaving: false });

struct Leftovers {
    paths: Vec<PathBuf>,
    /// The process is about to end: nothing is begun any more.
    leaving: bool,
}

fn leftovers() -> MutexGuard<'static, Leftovers> {
    LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes all of them, before the process ends.
pub fn remove() {
    let mut leftovers = leftovers();
    leftovers.leaving = true;
    for path in leftovers.paths.drain(..) {
        _ = fs::remove_file(path);
    }
}

/// A file that isn't whole yet. Dropped, it is removed.
#[derive(Debug)]
pub struct Leftover {
    path: PathBuf,
}

impl Leftover {
    /// Begins the file; nothing may have that name.
    ///
    /// # Errors
    /// Those of the system, and that the process is about to end.
    pub fn create(path: PathBuf) -> io::Result<(Self, File)> {
        let mut leftovers = leftovers();
        if leftovers.leaving {
            return Err(io::Error::other("interrupted"));
        }
        let file = File::create_new(&path)?;
        leftovers.paths.push(path.clone());
        Ok((Self { path }, file))
    }

    /// It is whole: it takes the place of what has that name.
    ///
    /// # Errors
    /// Those of the system; it is removed then.
    pub fn rename(self, place: &Path) -> io::Result<()> {
        fs::rename(&self.path, place)
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        leftovers().paths.retain(|path| *path != self.path);
        // Of one that has been renamed, there is none.
        _ = fs::remove_file(&self.path);
    }
}
