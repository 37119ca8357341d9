//! Times as tables show them.

/// Milliseconds with three to four significant digits.
pub fn milliseconds(ms: f64) -> String {
    let decimals = match ms {
        ms if ms >= 100.0 => 0,
        ms if ms >= 10.0 => 1,
        ms if ms >= 1.0 => 2,
        _ => 3,
    };
    format!("{ms:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_three_digits() {
        assert_eq!(
            ["0.012", "1.23", "12.3", "1235"],
            [0.0123, 1.234, 12.34, 1234.6].map(milliseconds)
        );
    }
}
