//! The file of `compare --json`: what was run, and its rows.

use serde::Serialize;

use super::Record;

/// One run of `compare`.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The command as it was typed.
    pub command: &'a str,
    /// Date and time, see [`crate::report::utc_date_time`].
    pub date: &'a str,
    /// Rows that could not be measured, and why.
    pub failures: &'a [String],
    /// Rows that were left when somebody asked to stop.
    pub missing: &'a [String],
    /// The measured rows.
    pub rows: &'a [Record],
}

/// The run as a JSON object, the version of this crate with it, one row a line.
///
/// # Errors
/// None for records made of numbers and text; the serialiser's otherwise.
pub fn to_json(run: Run<'_>) -> serde_json::Result<String> {
    let Run {
        command,
        date,
        failures,
        missing,
        rows,
    } = run;
    Ok(format!(
        "{{\n  \"command\": {},\n  \"version\": {},\n  \"date\": {},\n  \"failures\": {},\n  \"missing\": {},\n  \"rows\": {}\n}}\n",
        serde_json::to_string(command)?,
        serde_json::to_string(env!("CARGO_PKG_VERSION"))?,
        serde_json::to_string(date)?,
        lines(failures)?,
        lines(missing)?,
        lines(rows)?
    ))
}

/// An array with an element a line.
fn lines(elements: &[impl Serialize]) -> serde_json::Result<String> {
    let lines: Vec<String> = elements
        .iter()
        .map(serde_json::to_string)
        .collect::<Result<_, _>>()?;
    Ok(match lines.is_empty() {
        true => "[]".into(),
        false => format!("[\n    {}\n  ]", lines.join(",\n    ")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::fixture;

    fn run(rows: &[Record]) -> Run<'_> {
        Run {
            command: "sparse-bench compare --strategies 'simple \"unit\"'",
            date: "2026-11-22 17:05 UTC",
            failures: &[],
            missing: &[],
            rows,
        }
    }

    #[test]
    fn the_json_file_has_exactly_the_fields_of_the_contract_in_order() {
        let text = to_json(run(&[fixture::nm_matmul()])).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            text,
            format!(
                "{{\n  \"command\": \"sparse-bench compare --strategies 'simple \\\"unit\\\"'\",\n  \"version\": \"{version}\",\n  \
                 \"date\": \"2026-11-22 17:05 UTC\",\n  \"failures\": [],\n  \"missing\": [],\n  \"rows\": [\n    \
                 {{\"op\":\"nm_matmul\",\"shape\":{{\"tokens\":1024,\"n_out\":1024,\"k_in\":1024}},\
                 \"dtype\":\"f32\",\"pattern\":\"8:2:8\",\"density\":0.25,\
                 \"adapter\":\"llvmpipe <LLVM 15>\",\"driver\":\"llvmpipe Mesa 22.3.6\",\"backend\":\"vulkan\",\
                 \"tier\":\"Portable\",\"kernel\":\"matmul/nm\",\"tile\":\"64x64x16\",\"timing\":\"gpu\",\
                 \"dense_ms\":120.0,\"sparse_ms\":32.0,\"speedup\":3.75,\"ideal_speedup\":4.0,\
                 \"share_of_ideal\":0.9375,\"peer\":{{\"name\":\"cubek\",\"ms\":140.0,\"speedup\":4.375,\"spread\":0.02}},\
                 \"max_err_over_bound\":0.21,\"runs\":17,\"spread\":0.03,\"weight_copies\":1,\
                 \"dense_kernel\":\"matmul/dense\",\"dense_tile\":\"32x64x16\",\"tuned\":true,\
                 \"class\":\"software-avx512\",\"source\":\"generated\",\
                 \"roofline\":{{\"fmas\":1000000000.0,\"bytes\":1000000.0,\"ceiling_ms\":16.0,\"bound\":\"compute\",\"share\":0.5}}}}\n  ]\n}}\n"
            )
        );
    }

    #[test]
    fn what_there_is_none_of_is_null_or_empty() {
        let record = Record {
            peer: None,
            dense_ms: None,
            speedup: None,
            dense_kernel: None,
            max_err_over_bound: f64::NAN,
            roofline: None,
            ..fixture::nm_matmul()
        };
        assert!(!record.is_right());
        let json: Value = serde_json::from_str(&to_json(run(&[record])).unwrap()).unwrap();
        let row = &json["rows"][0];
        for key in [
            "peer",
            "dense_ms",
            "speedup",
            "dense_kernel",
            "max_err_over_bound",
        ] {
            assert!(row[key].is_null() && row.get(key).is_some(), "{key} {row}");
        }
        assert!(row.get("roofline").is_none() && row.get("contenders").is_none());
        let nothing: Value = serde_json::from_str(&to_json(run(&[])).unwrap()).unwrap();
        assert_eq!(nothing["rows"], serde_json::json!([]));
    }

    #[test]
    fn rows_that_are_missing_are_told() {
        let told = [
            "nm_matvec 1 x 8: no \"memory\"".to_owned(),
            "two".to_owned(),
        ];
        let partial = Run {
            failures: &told,
            missing: &told[1..],
            ..run(&[])
        };
        let json: Value = serde_json::from_str(&to_json(partial).unwrap()).unwrap();
        assert_eq!(json["failures"], serde_json::json!(told));
        assert_eq!(json["missing"], serde_json::json!(["two"]));
    }
}
