//! xtask's own tests, which `cargo xtask` cannot run on Windows.
//!
//! In a build of the whole workspace the dependencies of xtask have more features, so that cargo builds xtask anew; Windows lets nobody replace the file of a
//! running program, and xtask is running.

/// Whether they have to be left out.
pub(crate) const LEFT_OUT: bool = cfg!(windows);

/// Leaves them out of a `cargo test --workspace`.
pub(crate) const EXCLUSION: [&str; 2] = ["--exclude", "xtask"];

/// What a run without them says at its end.
pub(crate) const NOT_CHECKED: &str = "NOT CHECKED: xtask's own tests, because Windows does not let a running program be built anew; \
     run them by: cargo test --package xtask";
