//! Reading the small JSON files that options name: profiles, tables of tiles, kinds of heads.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

/// Bytes of such a file, at most; what is written to one is a few kilobytes.
const MOST_BYTES: u64 = 16 << 20;

/// The whole file. One that never ends, or is of another kind, is not read into memory to find that out.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if read as u64 > MOST_BYTES {
        let reason = "it has more than 16 MiB, a JSON file of this kind a few kilobytes; was another file meant?";
        return Err(Error::new(ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_not_read_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.json");
        // A hole: it takes no room on the disk.
        let file = File::create(&path).unwrap();
        file.set_len(MOST_BYTES).unwrap();
        assert_eq!(read(&path).unwrap().len() as u64, MOST_BYTES);
        file.set_len(1 << 40).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("more than 16 MiB"), "{error}");
    }
}
