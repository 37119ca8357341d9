//! Where the dynamic linker of Linux finds a shared library, and whether that library is of this processor.

use super::Environment;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that the linker searches without being told, on the distributions that have no linker cache.
const DEFAULT_FOLDERS: [&str; 5] = ["/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib"];

/// The libraries that this process could load by name.
#[derive(Debug)]
pub(crate) struct Libraries {
    /// Folders of `LD_LIBRARY_PATH`: searched before the cache.
    first: Vec<PathBuf>,
    /// The linker cache. One name can have several libraries, one for each processor.
    cache: BTreeMap<String, Vec<PathBuf>>,
    /// Folders searched last.
    last: Vec<PathBuf>,
    /// The processor of the running program; a library of another one cannot be loaded. `None` where the program cannot find
    /// its own file (a chroot without /proc): then any processor's library counts, rather than none.
    own: Option<Processor>,
}

impl Libraries {
    /// What the linker of this machine searches, in its order.
    pub(crate) fn of_this_machine(environment: Environment<'_>) -> Self {
        let first = environment("LD_LIBRARY_PATH").unwrap_or_default();
        Self {
            first: std::env::split_paths(&first).collect(),
            cache: linker_cache(),
            last: DEFAULT_FOLDERS.iter().map(PathBuf::from).collect(),
            own: own_processor(),
        }
    }

    /// Only these folders, for tests.
    #[cfg(test)]
    pub(crate) fn in_folders<P: Into<PathBuf>>(folders: impl IntoIterator<Item = P>) -> Self {
        let first = folders.into_iter().map(Into::into).collect();
        Self {
            first,
            cache: BTreeMap::new(),
            last: Vec::new(),
            own: own_processor(),
        }
    }

    /// The library that loading `name` would give, if any fits this processor.
    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        let cached = self.cache.get(name).into_iter().flatten().cloned();
        let first = self.first.iter().map(|folder| folder.join(name));
        let last = self.last.iter().map(|folder| folder.join(name));
        first.chain(cached).chain(last).find(|path| self.fits(path))
    }

    /// Whether the file is a library that this process can load: an ELF file of the same kind as ours.
    pub(crate) fn fits(&self, path: &Path) -> bool {
        Processor::of(path).is_some_and(|found| self.own.is_none_or(|own| own == found))
    }
}

/// What an ELF header says of the processor: word size, byte order, instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Processor {
    class: u8,
    byte_order: u8,
    machine: [u8; 2],
}

impl Processor {
    /// `None` where the file cannot be read or is not ELF.
    fn of(path: &Path) -> Option<Self> {
        // ELF: bytes 0..4 magic, 4 class (32 or 64 bit), 5 byte order, 18..20 machine.
        let mut head = [0; 20];
        File::open(path).ok()?.read_exact(&mut head).ok()?;
        let magic = head[..4] == *b"\x7fELF";
        magic.then_some(Self {
            class: head[4],
            byte_order: head[5],
            machine: [head[18], head[19]],
        })
    }
}

fn own_processor() -> Option<Processor> {
    Processor::of(&std::env::current_exe().ok()?)
}

/// The linker's cache; empty where there is no `ldconfig` (musl).
fn linker_cache() -> BTreeMap<String, Vec<PathBuf>> {
    // A user's PATH often lacks the folder that ldconfig lies in.
    ["ldconfig", "/sbin/ldconfig", "/usr/sbin/ldconfig"]
        .iter()
        .find_map(|program| Command::new(program).arg("-p").output().ok())
        .map_or_else(BTreeMap::new, |output| {
            parse_cache(&String::from_utf8_lossy(&output.stdout))
        })
}

/// Lines of `ldconfig -p`: `libvulkan.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libvulkan.so.1`.
fn parse_cache(text: &str) -> BTreeMap<String, Vec<PathBuf>> {
    let mut cache = BTreeMap::<String, Vec<PathBuf>>::new();
    for line in text.lines() {
        let Some((left, path)) = line.split_once(" => ") else {
            continue;
        };
        let Some(name) = left.split_whitespace().next() else {
            continue;
        };
        cache
            .entry(name.to_owned())
            .or_default()
            .push(path.trim().into());
    }
    cache
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linker_cache_is_read_with_all_libraries_of_a_name() {
        let cache = parse_cache(
            "2 libs found in cache `/etc/ld.so.cache'\n\
             \tlibvulkan.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libvulkan.so.1\n\
             \tlibvulkan.so.1 (libc6) => /lib/i386-linux-gnu/libvulkan.so.1\n",
        );
        assert_eq!(cache.len(), 1);
        assert_eq!(
            cache["libvulkan.so.1"],
            [
                PathBuf::from("/lib/x86_64-linux-gnu/libvulkan.so.1"),
                PathBuf::from("/lib/i386-linux-gnu/libvulkan.so.1"),
            ]
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_library_of_another_processor_is_passed_over() {
        let wrong = tempfile::tempdir().unwrap();
        let right = tempfile::tempdir().unwrap();
        let mut head = std::fs::read(std::env::current_exe().unwrap()).unwrap()[..64].to_vec();
        std::fs::write(right.path().join("lib.so"), &head).unwrap();
        head[18] ^= 0xff;
        std::fs::write(wrong.path().join("lib.so"), &head).unwrap();
        let libraries = Libraries::in_folders([wrong.path(), right.path()]);
        assert_eq!(libraries.find("lib.so"), Some(right.path().join("lib.so")));
        assert!(
            !libraries.fits(&wrong.path().join("lib.so")),
            "a foreign library counted as ours"
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_program_that_cannot_find_itself_takes_any_library_but_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        std::fs::write(folder.path().join("lib.so"), &program[..64]).unwrap();
        std::fs::write(
            folder.path().join("text.so"),
            "not a library, though long enough",
        )
        .unwrap();
        let libraries = Libraries {
            own: None,
            ..Libraries::in_folders([folder.path()])
        };
        assert_eq!(libraries.find("lib.so"), Some(folder.path().join("lib.so")));
        assert_eq!(libraries.find("text.so"), None);
    }

    #[test]
    fn a_short_file_is_no_library() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lib.so"), b"\x7fELF").unwrap();
        assert_eq!(Libraries::in_folders([folder.path()]).find("lib.so"), None);
    }
}
