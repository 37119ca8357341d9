//! `sparse-bench`: see `sparse-bench --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sparse_bench::main()
}
