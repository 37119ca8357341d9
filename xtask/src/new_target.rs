//! A target folder that no build has used before, for builds that are thrown away.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// What such folders are called, before the milliseconds since 1970.
const NAME: &str = "package-";

/// No run takes so long: a folder of this age was left behind by one that was broken off.
const LEFT_BEHIND: Duration = Duration::from_secs(6 * 60 * 60);

/// A folder in `target` named after the time, so that no two runs share it. Those that broken-off runs left, with all their builds, are removed; younger ones
/// may be of a run beside this one.
pub(crate) fn new_target(target: &Path) -> PathBuf {
    let now = UNIX_EPOCH.elapsed().unwrap_or_default();
    // No folder yet: none was left in it.
    let entries = std::fs::read_dir(target).into_iter().flatten().flatten();
    let left_behind = entries.filter(|entry| {
        let name = entry.file_name();
        let made = name.to_str().and_then(time);
        made.is_some_and(|made| now.saturating_sub(made) > LEFT_BEHIND)
    });
    for folder in left_behind {
        // What stays behind is only disk space.
        let _ = std::fs::remove_dir_all(folder.path());
    }
    target.join(format!("{NAME}{}", now.as_millis()))
}

/// When the folder of this name was made; nothing where the name is none of ours.
fn time(name: &str) -> Option<Duration> {
    let digits = name.strip_prefix(NAME)?;
    // A sign would be a number, too.
    let is_ours = digits.bytes().all(|c| c.is_ascii_digit());
    let millis = is_ours.then(|| digits.parse().ok())??;
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_takes_the_place_of_those_that_were_left_behind() {
        let target = tempfile::tempdir().unwrap();
        let at = |name: &str| target.path().join(name);
        let others = ["package-+17", "package-notes", "package-", "debug"];
        for name in others.into_iter().chain(["package-17"]) {
            std::fs::create_dir_all(at(name).join("deps")).unwrap();
        }
        let new = new_target(target.path());
        assert_eq!(new.parent(), Some(target.path()));
        assert!(!new.exists(), "used before: {}", new.display());
        assert!(!at("package-17").exists(), "left behind");
        for name in others {
            assert!(at(name).exists(), "{name} is not ours");
        }
        assert!(new_target(&at("gone")).starts_with(at("gone")));
    }

    #[test]
    fn the_folder_of_a_run_beside_this_one_stays() {
        let target = tempfile::tempdir().unwrap();
        let made_before = |age: Duration| {
            let time = UNIX_EPOCH.elapsed().unwrap() - age;
            let folder = target.path().join(format!("{NAME}{}", time.as_millis()));
            std::fs::create_dir(&folder).unwrap();
            folder
        };
        let hour = Duration::from_secs(60 * 60);
        let beside = new_target(target.path());
        std::fs::create_dir(&beside).unwrap();
        let (slow, old) = (made_before(5 * hour), made_before(7 * hour));
        new_target(target.path());
        assert!(beside.exists() && slow.exists(), "of a living run");
        assert!(!old.exists(), "left behind");
    }
}
