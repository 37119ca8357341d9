//! How many instructions of each class.

use super::{Class, Line};

/// Instructions by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    /// Fused multiply-adds.
    pub fma: u32,
    /// Other vector arithmetic.
    pub vector: u32,
    /// Scalar arithmetic.
    pub scalar: u32,
    /// Vector memory.
    pub memory: u32,
    /// Scalar memory.
    pub scalar_memory: u32,
    /// Workgroup memory.
    pub workgroup: u32,
    /// Jumps, barriers, waits.
    pub control: u32,
}

impl Mix {
    /// The mix of some lines.
    pub fn of<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Self {
        let mut mix = Self::default();
        for line in lines {
            if let Line::Instruction { class, times, .. } = line {
                *mix.count(*class) += times;
            }
        }
        mix
    }

    fn count(&mut self, class: Class) -> &mut u32 {
        match class {
            Class::Fma => &mut self.fma,
            Class::Vector => &mut self.vector,
            Class::Scalar => &mut self.scalar,
            Class::Memory => &mut self.memory,
            Class::ScalarMemory => &mut self.scalar_memory,
            Class::Workgroup => &mut self.workgroup,
            Class::Control => &mut self.control,
        }
    }

    /// All of them.
    pub fn all(&self) -> u32 {
        self.fma
            + self.vector
            + self.scalar
            + self.memory
            + self.scalar_memory
            + self.workgroup
            + self.control
    }

    /// Arithmetic of the vector units, multiply-adds included.
    pub fn of_vectors(&self) -> u32 {
        self.fma + self.vector
    }

    /// Multiply-adds in a hundred instructions.
    pub fn fma_share(&self) -> f64 {
        percent(self.fma, self.all())
    }

    /// Multiply-adds in a hundred vector instructions: what is left of the vector units' time for them.
    pub fn fma_share_of_vector(&self) -> f64 {
        percent(self.fma, self.of_vectors())
    }

    /// The class that takes most besides the multiply-adds, in words.
    pub fn held_back_by(&self) -> String {
        let others = [
            (self.vector, "other vector arithmetic"),
            (self.scalar, "scalar arithmetic"),
            (self.memory, "vector memory"),
            (self.scalar_memory, "scalar memory"),
            (self.workgroup, "workgroup memory"),
            (self.control, "jumps, barriers, waits"),
        ];
        match others.iter().rev().max_by_key(|(count, _)| *count) {
            Some((count, name)) if *count > 0 => {
                format!("{name} ({:.0} %)", percent(*count, self.all()))
            }
            _ => "nothing".to_owned(),
        }
    }
}

fn percent(part: u32, whole: u32) -> f64 {
    100.0 * f64::from(part) / f64::from(whole.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assembly::{Decided, Jump};

    #[test]
    fn shares_count_repeated_instructions() {
        let lines = [
            Line::Instruction {
                class: Class::Fma,
                times: 3,
                jump: None,
            },
            Line::once(Class::Vector),
            Line::Label("here".to_owned()),
            Line::once(Class::Memory),
            Line::jump(Jump::Perhaps("here".to_owned(), Decided::Once)),
        ];
        let mix = Mix::of(&lines);
        assert_eq!((mix.fma, mix.all()), (3, 6));
        assert_eq!((mix.fma_share(), mix.fma_share_of_vector()), (50.0, 75.0));
        assert_eq!(mix.held_back_by(), "other vector arithmetic (17 %)");
        assert_eq!(Mix::default().held_back_by(), "nothing");
    }
}
