//! `--ops LIST`: which operations `compare` runs.

use std::fmt;
use std::str::FromStr;

/// An operation that `compare` measures, by the name it has everywhere in the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// The dense kernel against the kernel named `naive`.
    DenseMatmul,
    /// N:M weights, many tokens, against `dense_matmul`.
    NmMatmul,
    /// N:M weights, at most 8 tokens, against `dense_matmul`.
    NmMatvec,
    /// Block-sparse weights against `dense_matmul`.
    BsrMatmul,
    /// The gradient of block-sparse weights against the dense one.
    BsrSddmm,
    /// The gradient of N:M weights against the dense one.
    NmSddmm,
    /// Attention over selected blocks against the same kernel over all of them, of many queries and of few.
    BlockAttention,
    /// Score, select and attend, end to end, against dense attention.
    Xattention,
    /// The same over sequences of different lengths, packed one after the other.
    VarlenXattention,
}

impl Operation {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 9] = [
        Self::DenseMatmul,
        Self::NmMatmul,
        Self::NmMatvec,
        Self::BsrMatmul,
        Self::BsrSddmm,
        Self::NmSddmm,
        Self::BlockAttention,
        Self::Xattention,
        Self::VarlenXattention,
    ];

    /// The name in `--ops` and in the records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DenseMatmul => "dense_matmul",
            Self::NmMatmul => "nm_matmul",
            Self::NmMatvec => "nm_matvec",
            Self::BsrMatmul => "bsr_matmul",
            Self::BsrSddmm => "bsr_sddmm",
            Self::NmSddmm => "nm_sddmm",
            Self::BlockAttention => "block_attention",
            Self::Xattention => "xattention",
            Self::VarlenXattention => "varlen_xattention",
        }
    }

    /// Whether it multiplies weights, which a file can give.
    pub const fn takes_weights(self) -> bool {
        matches!(
            self,
            Self::DenseMatmul | Self::NmMatmul | Self::NmMatvec | Self::BsrMatmul
        )
    }

    /// Whether it has rows on cooperative matrices: the products of many tokens.
    pub const fn takes_cooperative(self) -> bool {
        matches!(self, Self::DenseMatmul | Self::NmMatmul | Self::BsrMatmul)
    }

    /// Whether only `--preset full` has rows of it.
    pub const fn is_of_full(self) -> bool {
        matches!(
            self,
            Self::BsrSddmm | Self::NmSddmm | Self::VarlenXattention
        )
    }

    /// Whether it takes q, k and v, which a file can give: not those of packed sequences, of which a file has one length.
    pub const fn takes_qkv(self) -> bool {
        matches!(self, Self::BlockAttention | Self::Xattention)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The operations of `--ops`, each once, in the order of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationList(Vec<Operation>);

impl OperationList {
    /// Whether the list names `operation`.
    pub fn contains(&self, operation: Operation) -> bool {
        self.0.contains(&operation)
    }

    /// The operations named.
    pub fn iter(&self) -> impl Iterator<Item = Operation> {
        self.0.iter().copied()
    }
}

impl Default for OperationList {
    fn default() -> Self {
        Self(Operation::ALL.to_vec())
    }
}

/// Why `--ops` was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// The list holds a name that is no operation.
    #[error("there is no operation {given:?}; possible are {}", known())]
    Unknown {
        /// The name.
        given: String,
    },
    /// The list holds no name, or none between two commas.
    #[error(
        "a name is missing at place {place} of the list; possible are {}",
        known()
    )]
    Missing {
        /// Which name, counted from 1.
        place: usize,
    },
}

fn known() -> String {
    Operation::ALL.map(Operation::name).join(", ")
}

impl FromStr for OperationList {
    type Err = OperationError;

    fn from_str(text: &str) -> Result<Self, OperationError> {
        let mut named = Vec::new();
        for (name, place) in text.split(',').map(str::trim).zip(1..) {
            if name.is_empty() {
                return Err(OperationError::Missing { place });
            }
            let operation = Operation::ALL
                .into_iter()
                .find(|operation| operation.name() == name)
                .ok_or_else(|| OperationError::Unknown { given: name.into() })?;
            named.push(operation);
        }
        named.sort_unstable();
        named.dedup();
        Ok(Self(named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_sorted_and_holds_each_operation_once() {
        let list: OperationList = "xattention, nm_matmul,nm_matmul".parse().unwrap();
        assert_eq!(list.0, [Operation::NmMatmul, Operation::Xattention]);
        assert!(!list.contains(Operation::BsrMatmul));
        assert!(OperationList::default().contains(Operation::BsrMatmul));
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = "nm_matmul,spmm"
            .parse::<OperationList>()
            .unwrap_err()
            .to_string();
        assert!(message.starts_with("there is no operation \"spmm\"; possible are dense_matmul, "));
        assert!(message.ends_with("block_attention, xattention, varlen_xattention"));
        for (text, place) in [
            ("", 1),
            (" ,", 1),
            ("nm_matmul,", 2),
            ("nm_matmul,,xattention", 2),
        ] {
            let error = text.parse::<OperationList>().unwrap_err();
            assert_eq!(error, OperationError::Missing { place }, "{text:?}");
        }
    }
}
