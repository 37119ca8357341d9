//! A program's listing, as far as all drivers' listings are alike: labels, instructions of a class, jumps.

mod graph;
mod loops;
mod mix;
mod ways;

pub use loops::Loop;
pub use mix::Mix;
pub use ways::{Count, Ways};

/// What an instruction keeps busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A fused multiply-add of floats, one for each invocation: what the kernels are for.
    Fma,
    /// Any other arithmetic, one for each invocation.
    Vector,
    /// Arithmetic once for a whole subgroup.
    Scalar,
    /// Memory, an address for each invocation.
    Memory,
    /// Memory, one address for a whole subgroup.
    ScalarMemory,
    /// Memory of the workgroup.
    Workgroup,
    /// Jumps, barriers, waits, hints.
    Control,
}

/// Where an instruction goes on, if not with the next line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jump {
    /// At the label, always.
    Always(String),
    /// At the label or with the next line.
    Perhaps(String, Decided),
    /// Nowhere.
    End,
}

/// Who decides on a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decided {
    /// The subgroup as one: it goes one way.
    Once,
    /// The listing does not tell: the instruction is the same for both.
    Untold,
    /// Each invocation for itself: the subgroup may go both ways, one after the other.
    ByEach,
}

impl Decided {
    /// `once`, `untold` or `by each`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Untold => "untold",
            Self::ByEach => "by each",
        }
    }
}

/// One line of a listing that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A place that can be jumped to.
    Label(String),
    /// Something that is executed.
    Instruction {
        /// What it keeps busy.
        class: Class,
        /// How often it is issued: some can repeat themselves.
        times: u32,
        /// Where it goes on, if not with the next line.
        jump: Option<Jump>,
    },
}

impl Line {
    /// An instruction that is issued once and does not jump.
    pub fn once(class: Class) -> Self {
        Self::Instruction {
            class,
            times: 1,
            jump: None,
        }
    }

    /// A jump.
    pub fn jump(jump: Jump) -> Self {
        Self::Instruction {
            class: Class::Control,
            times: 1,
            jump: Some(jump),
        }
    }
}
