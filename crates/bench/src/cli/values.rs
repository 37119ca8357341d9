//! Checks of single values. Each gives a message that says what is possible.

use std::num::IntErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use sparse_core::DType;

use crate::report::PictureFormat;

/// `f32`, `f16` or `bf16`.
pub(super) fn dtype() -> impl TypedValueParser<Value = DType> {
    PossibleValuesParser::new(DType::ALL.map(DType::name)).map(|name| {
        DType::ALL
            .into_iter()
            .find(|dtype| dtype.name() == name)
            .unwrap_or(DType::F32)
    })
}

/// A whole number from 1 up.
pub(super) fn count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if n > 0 => Ok(n),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Err(format!(
            "it is larger than any count here: {} is the largest",
            usize::MAX
        )),
        _ => Err("it must be a whole number from 1 up".into()),
    }
}

/// Tokens of a block that the kernels take.
pub(super) fn block(text: &str) -> Result<usize, String> {
    let block = count(text)?;
    if block.is_multiple_of(16) {
        return Ok(block);
    }
    let below = block - block % 16;
    let nearest = match (below, below.checked_add(16)) {
        (0, _) => "16".into(),
        (below, Some(above)) => format!("{below} or {above}"),
        (below, None) => below.to_string(),
    };
    Err(format!(
        "the kernels take blocks of a multiple of 16 tokens, such as {nearest}"
    ))
}

/// A whole number from 0 up.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    let refused = |_| format!("it must be a whole number from 0 to {}", u64::MAX);
    text.parse().map_err(refused)
}

/// A finite number.
pub(super) fn finite(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|x: &f64| x.is_finite())
        .ok_or_else(|| "it must be a finite number, as in 0.0625".into())
}

/// A finite number above 0.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|x: &f64| x.is_finite() && *x > 0.0)
        .ok_or_else(|| "it must be a finite number above 0, as in 0.05".into())
}

/// Seconds of a row, at most an hour.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|x: &f64| *x > 0.0 && *x <= 3600.0)
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "it must be a number of seconds above 0 and up to 3600, as in 20".into())
}

/// A file that a picture can be written to.
pub(super) fn picture(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match PictureFormat::of(&path) {
        Some(_) => Ok(path),
        None => Err("pictures are written as PNG or SVG: the name must end in .png or .svg".into()),
    }
}

/// A share of the attention mass, 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|x: &f64| (0.0..=1.0).contains(x))
        .ok_or_else(|| "it must lie between 0 and 1: it is a share of the attention mass".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_of_their_range_are_refused() {
        assert_eq!(count("7"), Ok(7));
        assert!(count("0").is_err() && count("-1").is_err() && count("1.5").is_err());
        let too_large = count("99999999999999999999").unwrap_err();
        assert!(
            too_large.starts_with("it is larger than any count here"),
            "{too_large}"
        );
        assert_eq!(block("96"), Ok(96));
        for (given, nearest) in [
            ("100", "96 or 112"),
            ("7", "16"),
            ("18446744073709551615", "600"),
        ] {
            let refusal = block(given).unwrap_err();
            assert!(refusal.ends_with(nearest), "{refusal}");
        }
        assert!(block("0").unwrap_err().contains("from 1 up"));
        assert_eq!(seed("0"), Ok(0));
        assert!(seed("-1").is_err() && seed("1.5").is_err());
        assert_eq!(finite("-0.5"), Ok(-0.5));
        assert!(finite("inf").is_err() && finite("NaN").is_err() && finite("").is_err());
        assert_eq!((share("0"), share("1")), (Ok(0.0), Ok(1.0)));
        assert_eq!(positive("0.05"), Ok(0.05));
        assert!(positive("0").is_err() && positive("-1").is_err() && positive("inf").is_err());
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(seconds("0").is_err() && seconds("3601").is_err() && seconds("NaN").is_err());
        assert_eq!(picture("a/b.PNG"), Ok("a/b.PNG".into()));
        assert!(picture("b.svg").is_ok() && picture("b.jpg").is_err() && picture("png").is_err());
        assert!(share("1.01").is_err() && share("NaN").is_err());
    }
}
