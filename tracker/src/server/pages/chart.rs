//! A line over time, drawn as SVG. Of no BEP.
//!
//! Draws at most [`POINTS`] points however many samples there are. Knows nothing of what they mean.

use super::html::{Html, rate};

/// Columns that are drawn. Ours: more than a screen shows apart.
const POINTS: usize = 240;

/// The size that coordinates are in; the page stretches it.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;

/// Draws samples at even distances, oldest first. `slots` is the number that fills the width, so
/// that a young line stands at the right.
pub(super) fn draw(html: &mut Html, samples: &[f64], slots: usize) {
    let points = thinned(samples);
    let most = points.iter().copied().fold(0.0, f64::max);
    let top = nice(most);
    html.raw("<div class=\"plot\"><svg viewBox=\"0 0 600 120\" preserveAspectRatio=\"none\" ");
    html.raw("aria-hidden=\"true\"><path class=\"grid\" d=\"M0 0.5H600M0 60H600\"/>");
    if points.len() > 1 {
        let line = path(&points, slots.max(samples.len()), samples.len(), top);
        html.raw("<path class=\"area\" d=\"M")
            .point(line[0].0)
            .raw(" 120");
        for (x, y) in &line {
            html.raw("L").point(*x).raw(" ").point(*y);
        }
        html.raw("L600 120Z\"/><path class=\"line\" d=\"");
        for (at, (x, y)) in line.iter().enumerate() {
            html.raw(if at == 0 { "M" } else { "L" })
                .point(*x)
                .raw(" ")
                .point(*y);
        }
        html.raw("\"/>");
    }
    html.raw("</svg><span class=\"top\">")
        .plain(label(top))
        .raw("</span>");
    html.raw("<span class=\"mid\">")
        .plain(label(top / 2.0))
        .raw("</span></div>");
}

/// A number at the axis: whole ones as such.
fn label(number: f64) -> String {
    rate(number).replace(".0", "")
}

/// At most [`POINTS`] of them, each the mean of its neighbours.
fn thinned(samples: &[f64]) -> Vec<f64> {
    let size = samples.len().div_ceil(POINTS).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a few samples")]
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    // From the newest on, so that it is never drawn from fewer than the others.
    let mut points: Vec<_> = samples.rchunks(size).map(mean).collect();
    points.reverse();
    points
}

#[expect(clippy::cast_precision_loss, reason = "a few points")]
fn path(points: &[f64], slots: usize, samples: usize, top: f64) -> Vec<(f64, f64)> {
    let width = WIDTH * (samples.max(2) - 1) as f64 / (slots.max(2) - 1) as f64;
    let step = width / (points.len() - 1) as f64;
    let at = |(at, value): (usize, &f64)| {
        let x = WIDTH - width + step * at as f64;
        (x, HEIGHT - value / top * (HEIGHT - 1.0))
    };
    points.iter().enumerate().map(at).collect()
}

/// The next number of one digit, or 15, by powers of ten; at least 1.
fn nice(number: f64) -> f64 {
    let mut unit = 1.0;
    loop {
        for factor in [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0] {
            if number <= factor * unit || unit > 1e15 {
                return factor * unit;
            }
        }
        unit *= 10.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn axis_ends_at_a_number_that_people_know() {
        let check = |number, expect: f64| assert!((nice(number) - expect).abs() < 1e-9);
        check(0.0, 1.0);
        check(1.6, 2.0);
        check(42.0, 50.0);
        check(81.0, 100.0);
        check(123_456.0, 150_000.0);
    }

    #[test]
    fn young_line_stands_at_the_right() {
        let line = path(&[1.0, 1.0], 11, 2, 1.0);
        assert!((line[0].0 - 540.0).abs() < 1e-9 && (line[1].0 - 600.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn every_point_lies_in_the_picture(samples in prop::collection::vec(0.0..1e9, 0..2_000)) {
            let points = thinned(&samples);
            prop_assert!(points.len() <= POINTS);
            if points.len() > 1 {
                let top = nice(points.iter().copied().fold(0.0, f64::max));
                for (x, y) in path(&points, 720.max(samples.len()), samples.len(), top) {
                    prop_assert!((-0.1..=600.1).contains(&x) && (0.9..=120.1).contains(&y));
                }
            }
            let mut html = Html::default();
            draw(&mut html, &samples, 720);
            prop_assert!(!html.into_string().contains("NaN"));
        }
    }
}
