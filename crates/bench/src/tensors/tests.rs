//! Files that are good, damaged, hostile or simply not what was asked for.

use std::path::PathBuf;

use half::{bf16, f16};
use sparse_core::{Matrix, Tensor};
use tempfile::TempDir;

use super::*;

fn file_of(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.safetensors");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn refusal(bytes: &[u8]) -> String {
    let (_folder, path) = file_of(bytes);
    let message = TensorFile::open(&path).unwrap_err().to_string();
    assert!(
        message.ends_with(&path.display().to_string()),
        "the path comes last: {message}"
    );
    message
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.safetensors");
    let half = Tensor::new(vec![1, 3], [0.5, -0.0, 65504.0].map(f16::from_f32).to_vec());
    let brain = Tensor::new(vec![2], [1.0, 3.0e38].map(bf16::from_f32).to_vec());
    let full = Matrix::new(2, 2, vec![1.0_f32, 2.0, 3.0, 4.0]);
    write_tensors(
        &path,
        &[
            ("half", (&half).into()),
            ("brain", (&brain).into()),
            ("full", (&full).into()),
            ("mask", OutTensor::from_u8(&[3], vec![0, 1, 1])),
        ],
    )
    .unwrap();
    let mut file = TensorFile::open(&path).unwrap();
    assert_eq!(file.names(), ["brain", "full", "half", "mask"]);
    assert_eq!(file.tensor("half").unwrap(), AnyTensor::F16(half));
    assert_eq!(file.tensor("brain").unwrap(), AnyTensor::Bf16(brain));
    assert_eq!(file.matrix("full", "").unwrap(), AnyMatrix::F32(full));
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
}

#[test]
fn data_at_an_odd_offset_is_read() {
    let header = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
        "b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}"#;
    let mut data = vec![7_u8];
    data.extend(1.0_f32.to_le_bytes());
    data.extend(2.0_f32.to_le_bytes());
    let (_folder, path) = file_of(&with_header(header, &data));
    let read = TensorFile::open(&path).unwrap().tensor("b").unwrap();
    assert_eq!(read, AnyTensor::F32(Tensor::new(vec![2], vec![1.0, 2.0])));
}

#[test]
fn damaged_and_hostile_files_give_errors() {
    let tensor = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    assert!(refusal(&[1, 2, 3]).starts_with("no safetensors file: it has 3 bytes"));
    assert!(refusal(&[0xff; 16]).contains("the header claims 18446744073709551615 bytes"));
    assert!(
        refusal(&with_header("{}", &[])[..9]).starts_with("truncated: the header needs 2 bytes")
    );
    assert!(refusal(&with_header("[]", &[])).contains("does not start with '{'"));
    assert!(refusal(&with_header("{\"a\":", &[])).starts_with("damaged header"));
    assert!(refusal(&with_header("{\"\u{7f}\":1}", &[])).starts_with("damaged header"));
    assert!(
        refusal(&with_header(tensor, &[0; 7])).starts_with("truncated: the header describes 8")
    );
    assert!(refusal(&with_header(tensor, &[0; 9])).starts_with("damaged: the header describes 8"));
    let overflow = r#"{"a":{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,8]}}"#;
    assert!(refusal(&with_header(overflow, &[0; 8])).contains("overflow"));
    let hole = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    assert!(refusal(&with_header(hole, &[0; 8])).contains("invalid offset for tensor `a`"));
    let backwards = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,-4]}}"#;
    assert!(refusal(&with_header(backwards, &[])).starts_with("damaged header"));
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
        "\u0061":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#;
    let message = refusal(&with_header(twice, &[0; 4]));
    assert!(
        message.starts_with("damaged header: the name \"a\" stands twice"),
        "{message}"
    );
    let short = r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#;
    assert!(refusal(&with_header(short, &[0; 8])).contains("invalid shape, data type, or offset"));
}

#[test]
fn a_missing_file_names_itself_last() {
    let message = TensorFile::open("no/such.safetensors".as_ref())
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("cannot read: ") && message.ends_with(": no/such.safetensors"),
        "{message}"
    );
}

#[test]
fn tensors_that_do_not_fit_say_what_is_possible() {
    let header = r#"{"weight":{"dtype":"F64","shape":[1,1],"data_offsets":[0,8]},
        "bias":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;
    let (_folder, path) = file_of(&with_header(header, &[0; 12]));
    let mut file = TensorFile::open(&path).unwrap();
    let message = file.tensor("wieght").unwrap_err().to_string();
    assert!(
        message.starts_with("there is no tensor \"wieght\"; near it are weight, bias (2 in all)"),
        "{message}"
    );
    let message = file.tensor("weight").unwrap_err().to_string();
    assert!(
        message.contains("is stored as F64; possible are F32, F16 and BF16"),
        "{message}"
    );
    let message = file
        .matrix("bias", "weights [n_out, k]")
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("tensor \"bias\" has shape [1], but weights [n_out, k] is needed"),
        "{message}"
    );
}

/// Tensors without a token are empty, however many heads they have.
#[test]
fn more_heads_than_any_memory_holds_the_rules_of_are_refused() {
    let tensor = r#"{"dtype":"F32","shape":[1,4294967295,0,16],"data_offsets":[0,0]}"#;
    let header = format!(r#"{{"q":{tensor},"k":{tensor},"v":{tensor}}}"#);
    let (_folder, path) = file_of(&with_header(&header, &[]));
    let message = Qkv::read(&path).unwrap_err().to_string();
    assert!(
        message.starts_with("1 batch items of 4294967295 query heads are more than the 16777216"),
        "{message}"
    );
}

/// The data of this file takes no space, and none of it is read.
#[cfg(unix)]
#[test]
fn a_tensor_of_another_type_is_refused_before_it_is_read() {
    let header = r#"{"a":{"dtype":"F64","shape":[536870913],"data_offsets":[0,4294967304]}}"#;
    let bytes = with_header(header, &[]);
    let (_folder, path) = file_of(&bytes);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(bytes.len() as u64 + 4_294_967_304).unwrap();
    let message = TensorFile::open(&path)
        .unwrap()
        .tensor("a")
        .unwrap_err()
        .to_string();
    assert!(message.contains("is stored as F64"), "{message}");
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.safetensors");
    std::fs::write(&path, "old").unwrap();
    let wrong = OutTensor::new(&[3], &[1.0_f32]);
    let message = write_tensors(&path, &[("y", wrong)])
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("cannot form a safetensors file: "),
        "{message}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    let message = write_file(&folder.path().join("no/y"), b"")
        .unwrap_err()
        .to_string();
    assert!(message.starts_with("cannot write: "), "{message}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_what_is_no_file_is_not_replaced() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    std::fs::write(&real, "old").unwrap();
    symlink(&real, &link).unwrap();
    write_file(&link, b"new").unwrap();
    assert_eq!(std::fs::read(&real).unwrap(), b"new");
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(write_file(&socket, b"new").is_err());
    assert!(std::fs::metadata(&socket).unwrap().file_type().is_socket());
}

#[cfg(unix)]
#[test]
fn a_pipe_is_written_to_although_its_folder_takes_no_files() {
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;
    let (mut reader, writer) = std::io::pipe().unwrap();
    // What a shell hands over for `>(jq .)`.
    let path = format!("/dev/fd/{}", writer.as_raw_fd());
    check_out(path.as_ref(), &[]).unwrap();
    write_file(path.as_ref(), b"report").unwrap();
    drop(writer);
    let mut written = String::new();
    reader.read_to_string(&mut written).unwrap();
    assert_eq!(written, "report");
}

#[cfg(unix)]
#[test]
fn a_pipe_that_nobody_reads_yet_is_checked_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    check_out(&path, &[]).unwrap();
    assert!(std::fs::metadata(&path).is_ok());
}

#[cfg(target_os = "linux")]
#[test]
fn a_link_is_checked_where_its_file_lies() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    // Its folder takes no new file, whoever asks.
    std::os::unix::fs::symlink("/proc/self/status", &link).unwrap();
    let message = check_out(&link, &[]).unwrap_err().to_string();
    assert!(
        message.starts_with("cannot write: ")
            && message.ends_with(&format!(": {}", link.display())),
        "{message}"
    );
}

#[cfg(unix)]
#[test]
fn a_file_hands_its_permissions_on() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("y");
    // One that a new file never has, and one whose last bits a process usually masks.
    for mode in [0o600, 0o666] {
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        check_out(&path, &[]).unwrap();
        write_file(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        let found = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{found:o}");
    }
}

#[test]
fn a_read_only_file_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("y");
    std::fs::write(&path, "old").unwrap();
    let before = std::fs::metadata(&path).unwrap().permissions();
    let mut closed = before.clone();
    closed.set_readonly(true);
    std::fs::set_permissions(&path, closed).unwrap();
    let message = check_out(&path, &[]).unwrap_err().to_string();
    assert!(
        message.starts_with(
            "cannot write: the file is read-only; make it writable or choose another file: "
        ),
        "{message}"
    );
    // Else Windows cannot remove the folder.
    std::fs::set_permissions(&path, before).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
}

#[cfg(unix)]
#[test]
fn a_link_to_what_is_not_there_yet_is_followed() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("store")).unwrap();
    // Through another link, and as links mostly are: from where they lie.
    symlink("store/first", path("link")).unwrap();
    symlink("second", path("store/first")).unwrap();
    check_out(&path("link"), &[]).unwrap();
    assert!(is_same_out(&path("link"), &path("store/second")));
    write_file(&path("link"), b"new").unwrap();
    assert_eq!(std::fs::read(path("store/second")).unwrap(), b"new");
    for link in ["link", "store/first"] {
        let found = std::fs::symlink_metadata(path(link)).unwrap();
        assert!(found.is_symlink(), "{link}");
    }

    symlink("none/y", path("astray")).unwrap();
    let message = check_out(&path("astray"), &[]).unwrap_err().to_string();
    assert!(
        message.contains("none does not exist, create it first"),
        "{message}"
    );
    symlink("round", path("round")).unwrap();
    let message = check_out(&path("round"), &[]).unwrap_err().to_string();
    assert!(message.contains("in a circle"), "{message}");
    assert!(write_file(&path("round"), b"new").is_err());
}
