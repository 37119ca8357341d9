//! Files that are missing, cut off, or whose header lies.

use crate::support::{Folder, counting, refused};
use crate::{attention, matmul};

#[test]
fn a_missing_file_is_named_last() {
    refused(
        "matmul --weights no/such.safetensors --tensor t --pattern 2:4 --out o",
        &["error: cannot read: ", ": no/such.safetensors\n"],
    );
    refused("attention --qkv no/such --out o", &["error: cannot read: "]);
}

#[test]
fn damaged_files_are_refused() {
    for (bytes, message) in [
        (&b"abc"[..], "no safetensors file: it has 3 bytes"),
        (
            &[0xff; 64][..],
            "the header claims 18446744073709551615 bytes",
        ),
        (
            &b"\x40\0\0\0\0\0\0\0{}"[..],
            "truncated: the header needs 64 bytes",
        ),
        (
            &b"\x02\0\0\0\0\0\0\0[]"[..],
            "damaged header: it does not start with '{'",
        ),
        (&b"\x02\0\0\0\0\0\0\0{]"[..], "damaged header"),
    ] {
        let folder = Folder::with_bytes(bytes);
        refused(&matmul(&folder, "--tensor t"), &[message]);
        refused(&attention(&folder, ""), &[message]);
        assert!(!folder.out().exists());
    }
}

#[test]
fn a_truncated_file_is_refused() {
    let folder = Folder::with(&[("t", counting(&[4, 8]))]);
    let bytes = std::fs::read(folder.file()).unwrap();
    std::fs::write(folder.file(), &bytes[..bytes.len() - 1]).unwrap();
    refused(
        &matmul(&folder, "--tensor t"),
        &["truncated: the header describes 128 bytes of data, the file has 127"],
    );
}

#[test]
fn a_hostile_header_is_refused() {
    for (header, message) in [
        (
            r#"{"t":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#,
            "overflow",
        ),
        (
            r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,0]}}"#,
            "damaged header",
        ),
        (
            r#"{"t":{"dtype":"F32","shape":[2,1],"data_offsets":[0,4]}}"#,
            "damaged header",
        ),
        (
            r#"{"t":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#,
            "damaged header",
        ),
    ] {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 4]);
        refused(
            &matmul(&Folder::with_bytes(&bytes), "--tensor t"),
            &[message],
        );
    }
}
