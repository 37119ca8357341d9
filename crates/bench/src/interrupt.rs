//! Ctrl-C: the first asks to stop, so that what has been measured is still written; the second ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What shells call the end by Ctrl-C: 128 and the number of the signal.
pub const EXIT_CODE: u8 = 130;

/// Whether somebody has asked to stop. Clones share the answer.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

/// A row that was given up because somebody has asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl Interrupt {
    /// Takes Ctrl-C from now on.
    ///
    /// # Errors
    /// Where the system refuses, or it is taken already.
    pub fn listen() -> Result<Self, ctrlc::Error> {
        let interrupt = Self::default();
        let asked = interrupt.clone();
        ctrlc::set_handler(move || {
            if asked.ask() {
                eprintln!("stopping; once more ends at once and writes nothing");
            } else {
                std::process::exit(EXIT_CODE.into());
            }
        })?;
        Ok(interrupt)
    }

    /// Asks to stop. Whether nobody had before.
    pub fn ask(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// Whether somebody has.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// For the places between two pieces of work.
    ///
    /// # Errors
    /// [`Interrupted`] where somebody has asked to stop.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.is_asked() {
            Err(Interrupted)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_asks_and_the_second_is_another_one() {
        let interrupt = Interrupt::default();
        let handler = interrupt.clone();
        assert_eq!(interrupt.check(), Ok(()));
        assert!(handler.ask());
        assert_eq!(interrupt.check(), Err(Interrupted));
        assert!(!handler.ask() && interrupt.is_asked());
    }
}
