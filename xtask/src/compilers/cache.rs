//! What is fetched, in the user's cache: each compiler whole or not at all.

use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The folder of what is fetched; nothing where the user has no cache folder.
pub(crate) fn folder() -> Option<PathBuf> {
    folder_in(&|name| std::env::var_os(name))
}

fn folder_in(environment: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let variable = |name: &str| {
        let value = environment(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    let home = |below: &str| variable("HOME").map(|home| home.join(below));
    let cache = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        home("Library/Caches")
    } else {
        // A relative one is to be ignored, says the XDG Base Directory Specification.
        let cache = variable("XDG_CACHE_HOME").filter(|path| path.is_absolute());
        cache.or_else(|| home(".cache"))
    };
    Some(cache?.join("sparse-shader-compilers"))
}

/// The file that says of which version what lies beside it is.
const STAMP: &str = "version.txt";

/// Whether the compiler is there, whole and of this version.
pub(super) fn holds(folder: &Path, compiler: &str, version: &str) -> bool {
    let stamp = fs::read_to_string(folder.join(compiler).join(STAMP));
    stamp.is_ok_and(|stamp| stamp == version)
}

/// Has `fill` fetch the compiler into a folder that nobody looks into, and puts this in its place only when it is whole: what was broken off, by Ctrl-C, a
/// full disk or a lost connection, is no compiler, and one of another version stays until then.
pub(super) fn put(
    folder: &Path,
    compiler: &str,
    version: &str,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let unfinished = folder.join(format!("{compiler}.unfinished"));
    clear(&unfinished)?;
    let doing = |what: &str, path: &Path| format!("{what}: {}", path.display());
    fs::create_dir_all(&unfinished)
        .with_context(|| doing("the folder cannot be made", &unfinished))?;
    fill(&unfinished)?;
    let stamp = unfinished.join(STAMP);
    fs::write(&stamp, version).with_context(|| doing("not written", &stamp))?;
    let place = folder.join(compiler);
    clear(&place)?;
    fs::rename(&unfinished, &place)
        .with_context(|| doing("what was fetched cannot be moved", &place))
}

fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => {
            removed.with_context(|| format!("the folder cannot be cleared: {}", folder.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    fn fill(library: &'static str) -> impl FnOnce(&Path) -> Result<()> {
        move |folder| Ok(fs::write(folder.join("library"), library)?)
    }

    #[test]
    fn a_compiler_is_there_when_it_is_whole() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("new");
        assert!(!holds(&folder, "dxc", "1"), "nothing is there");
        put(&folder, "dxc", "1", fill("one")).unwrap();
        assert!(holds(&folder, "dxc", "1"));
        let library = fs::read_to_string(folder.join("dxc/library")).unwrap();
        assert_eq!(library, "one");
        assert!(!holds(&folder, "dxc", "2"), "another version");
        assert!(!holds(&folder, "tint", "1"), "another compiler");
    }

    #[test]
    fn what_was_broken_off_is_no_compiler_and_takes_the_place_of_none() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path();
        let broken_off = |into: &Path| {
            fs::write(into.join("library"), "half")?;
            bail!("the connection is gone")
        };
        let error = put(folder, "dxc", "1", broken_off).unwrap_err();
        assert!(error.to_string().contains("connection"), "{error}");
        assert!(!holds(folder, "dxc", "1") && !folder.join("dxc").exists());
        // As earlier versions of this program left it.
        fs::create_dir_all(folder.join("dxc")).unwrap();
        fs::write(folder.join("dxc/library"), "half").unwrap();
        assert!(!holds(folder, "dxc", "1"), "without a stamp");

        put(folder, "dxc", "1", fill("one")).unwrap();
        put(folder, "dxc", "2", broken_off).unwrap_err();
        assert!(holds(folder, "dxc", "1"), "the earlier one stays");
        put(folder, "dxc", "2", |into| {
            assert!(!into.join("library").exists(), "what was broken off");
            fill("two")(into)
        })
        .unwrap();
        assert!(holds(folder, "dxc", "2"));
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "all else is gone");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_folder_is_in_the_cache_of_the_user() {
        fn with(set: &[(&str, &str)]) -> Option<PathBuf> {
            folder_in(&|name| {
                let mut set = set.iter();
                let (_, value) = set.find(|(variable, _)| *variable == name)?;
                Some(value.into())
            })
        }
        let of_home = Some("/h/.cache/sparse-shader-compilers".into());
        for ignored in ["", "relative"] {
            let folder = with(&[("HOME", "/h"), ("XDG_CACHE_HOME", ignored)]);
            assert_eq!(folder, of_home);
        }
        let folder = with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]);
        assert_eq!(folder, Some("/c/sparse-shader-compilers".into()));
        assert_eq!(with(&[]), None);
    }
}
