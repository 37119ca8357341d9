//! Geometry of the roofline plot: multiply-adds a second against multiply-adds a byte, both axes logarithmic, under the ceilings.

use serde::Serialize;

use crate::ceilings::{Ceilings, Roofline};
use crate::record::Record;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 44.0;

/// What the template draws.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct RooflinePlot {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    roofs: Vec<Roof>,
    points: Vec<Point>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Tick {
    at: f64,
    label: String,
}

/// A slope of memory that ends in the plateau of compute.
#[derive(Debug, PartialEq, Serialize)]
struct Roof {
    label: String,
    path: String,
}

#[derive(Debug, PartialEq, Serialize)]
struct Point {
    x: f64,
    y: f64,
    right: bool,
    title: String,
}

/// The ranges of both axes and where a value lies on them.
#[derive(Clone, Copy, Debug)]
struct Axes {
    intensity: [f64; 2],
    rate: [f64; 2],
}

impl Axes {
    fn x(&self, intensity: f64) -> f64 {
        LEFT + share(intensity, self.intensity) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, rate: f64) -> f64 {
        HEIGHT - BOTTOM - share(rate, self.rate) * (HEIGHT - TOP - BOTTOM)
    }
}

/// Where a value lies between two others, logarithmically.
fn share(value: f64, [low, high]: [f64; 2]) -> f64 {
    (value / low).ln() / (high / low).ln()
}

/// The plot of all rows that have a roofline; none where no row has.
pub(super) fn roofline(records: &[Record], ceilings: &Ceilings) -> Option<RooflinePlot> {
    let rows: Vec<(&Record, Roofline, f64)> = records
        .iter()
        .filter_map(|record| {
            let roofline = record.roofline?;
            let rate = 1e3 * roofline.work.fmas / record.sparse_ms;
            // A logarithm needs a positive number.
            (rate > 0.0 && rate.is_finite() && roofline.intensity() > 0.0)
                .then_some((record, roofline, rate))
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    let peak = ceilings.fmas_per_second;
    let intensities = rows.iter().map(|(_, roofline, _)| roofline.intensity());
    let ridges = ceilings
        .read
        .iter()
        .map(|read| peak / read.bytes_per_second);
    let [least, most] = range(intensities.chain(ridges));
    let [slowest, fastest] = range(rows.iter().map(|(_, _, rate)| *rate).chain([peak]));
    let axes = Axes {
        intensity: [least / 2.0, most * 2.0],
        rate: [slowest / 2.0, fastest * 1.5],
    };
    let roofs = ceilings.read.iter().map(|read| Roof {
        label: format!(
            "{:.1} GB/s from {:.0} MiB",
            read.bytes_per_second * 1e-9,
            read.working_set / f64::from(1 << 20)
        ),
        path: roof(axes, peak, read.bytes_per_second),
    });
    Some(RooflinePlot {
        width: WIDTH,
        height: HEIGHT,
        left: LEFT,
        right: WIDTH - RIGHT,
        top: TOP,
        bottom: HEIGHT - BOTTOM,
        x_ticks: ticks(axes.intensity, |value| axes.x(value), 1.0),
        y_ticks: ticks(axes.rate, |value| axes.y(value), 1e-9),
        roofs: roofs.collect(),
        points: rows
            .iter()
            .map(|(record, roofline, rate)| Point {
                x: axes.x(roofline.intensity()),
                y: axes.y(*rate),
                right: record.is_right(),
                title: format!(
                    "{} {} {} {}: {:.2} billion multiply-adds a second, {:.0} % of the {} ceiling",
                    record.op,
                    record.shape,
                    record.dtype,
                    record.pattern,
                    rate * 1e-9,
                    roofline.share * 100.0,
                    roofline.bound.name()
                ),
            })
            .collect(),
    })
}

/// Least and largest.
fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([f64::INFINITY, 0.0], |[low, high], value| {
        [low.min(value), high.max(value)]
    })
}

/// From where the slope enters the plot, up to the ridge, then level.
fn roof(axes: Axes, peak: f64, bytes_per_second: f64) -> String {
    let first = axes.intensity[0].max(axes.rate[0] / bytes_per_second);
    let ridge = peak / bytes_per_second;
    format!(
        "M{:.1} {:.1}L{:.1} {:.1}H{:.1}",
        axes.x(first),
        axes.y(first * bytes_per_second),
        axes.x(ridge),
        axes.y(peak),
        WIDTH - RIGHT
    )
}

/// Powers of ten inside of the range, shown in units of `1 / unit`.
fn ticks(range: [f64; 2], at: impl Fn(f64) -> f64, unit: f64) -> Vec<Tick> {
    let [low, high] = range;
    (-6..=18)
        .map(|power| 10_f64.powi(power))
        .filter(|value| (low..=high).contains(value))
        .map(|value| Tick {
            at: at(value),
            label: format!("{}", (value * unit * 1e6).round() * 1e-6),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use sparse_measure::Work;

    use super::*;
    use crate::fixture;

    #[test]
    fn rows_lie_below_their_roof_and_inside_of_the_frame() {
        let ceilings = fixture::ceilings();
        let row = |fmas: f64, bytes: f64, share: f64| {
            let mut record = fixture::nm_matmul();
            let work = Work {
                fmas,
                bytes,
                working_set: bytes,
            };
            let ceiling = Roofline::of(&ceilings, work, 1.0).ceiling_ms;
            record.sparse_ms = ceiling / share;
            record.roofline = Some(Roofline::of(&ceilings, work, record.sparse_ms));
            record
        };
        let records = [row(1e9, 1e5, 1.0), row(1e5, 2e6, 0.5), row(1e3, 1e3, 0.1)];
        let plot = roofline(&records, &ceilings).unwrap();
        assert_eq!((plot.points.len(), plot.roofs.len()), (3, 2));
        for point in &plot.points {
            assert!((plot.left..=plot.right).contains(&point.x), "{point:?}");
            assert!((plot.top..=plot.bottom).contains(&point.y), "{point:?}");
        }
        // The first reaches the plateau, where every roof ends.
        let plateau = format!(" {:.1}H", plot.points[0].y);
        for roof in &plot.roofs {
            assert!(roof.path.contains(&plateau), "{roof:?} {plateau}");
        }
        assert!(plot.points[1].title.contains("50 % of the memory ceiling"));
    }

    #[test]
    fn without_a_row_there_is_no_plot() {
        let record = Record {
            roofline: None,
            ..fixture::nm_matmul()
        };
        assert_eq!(roofline(&[record], &fixture::ceilings()), None);
    }
}
