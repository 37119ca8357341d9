//! Other people's implementations on the same adapter, in the same interleaved run.
//!
//! The libraries are behind the feature `peers`, because they take long to build. Without it everything here is there but no peer is.
//!
//! A library has several strategies for a shape, and which is best is not known before: all of them are run, all results are checked
//! against the CPU reference, those that are close run again by turns, and the fastest right ones take part in the interleaved run.
//! Sparse weights are multiplied by what a library has for them and by its dense products, zeros included, which may be faster. Every
//! strategy is named in the record with what became of it, errors included. Rows with peers are timed by the clock on the wall from
//! recording to the end of waiting, ours alike, since that is what every library allows.

mod chosen;
mod contender;
mod contest;
#[cfg(feature = "peers")]
mod cubek;
#[cfg(feature = "peers")]
mod libraries;
#[cfg(feature = "peers")]
mod numr;
mod qualify;
mod racer;
#[cfg(feature = "peers")]
mod refused;
#[cfg(not(feature = "peers"))]
mod without;

pub use chosen::{check_strategies, strategies_for_attention, strategies_for_matmul};
pub use contender::{Candidate, Contender, Outcome};
pub use contest::Finalists;
#[cfg(feature = "peers")]
pub use libraries::Peers;
#[cfg(not(feature = "peers"))]
pub use without::Peers;

/// Why there are no peers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// They were not built.
    #[error(
        "this sparse-bench was built without other libraries; build it with `cargo build --release --package sparse-bench --features peers` \
         (Rust 1.95, some 200 crates more), or leave out --peers"
    )]
    NotBuilt,
    /// A library does not open the adapter that we measure on.
    #[error(
        "{library} cannot run on {adapter}: {message}; choose another --adapter, or leave out --peers"
    )]
    Unavailable {
        /// Name of the library.
        library: &'static str,
        /// Name of our adapter.
        adapter: String,
        /// What it says.
        message: String,
    },
    /// `--strategies` has a text that stands in no name.
    #[error(
        "--strategies has {given:?}, but no strategy for these rows has that in its name; there are: {}",
        list(known)
    )]
    NoSuchStrategy {
        /// The text.
        given: String,
        /// The names of the strategies for the rows that were to be measured.
        known: Vec<String>,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none: other libraries take part in rows of f32, in products and dense attention"
            .into();
    }
    names
        .iter()
        .fold(String::new(), |list, name| list + "\n  " + name)
}
