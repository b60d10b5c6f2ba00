//! Curves over time as SVG: both axes linear, the time of a fault shaded.

use std::fmt::Write as _;

use crate::chart::{LEFT, PANEL_WIDTH, PLOT_HEIGHT, PLOT_WIDTH, TOP, frame, legend, number};

/// One curve: its values at equal distances.
pub struct Curve {
    /// What the legend calls it.
    pub name: String,
    /// From the left edge to the right.
    pub values: Vec<f64>,
}

/// One diagram.
pub struct Panel {
    /// What happened.
    pub title: String,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// What all panels of a figure share.
pub struct Axis {
    /// Seconds from the left edge to the fault.
    pub before: u32,
    /// Seconds that it lasted.
    pub away: u32,
    /// Seconds from its end to the right edge.
    pub back: u32,
}

impl Axis {
    fn seconds(&self) -> u32 {
        self.before + self.away + self.back
    }

    fn x(&self, left: f64, second: f64) -> f64 {
        left + PLOT_WIDTH * second / f64::from(self.seconds())
    }
}

/// The panels side by side, under one legend.
pub fn svg(title: &str, axis: &Axis, panels: &[Panel]) -> String {
    let top = highest(panels);
    frame(title, panels.len(), |out| {
        for (place, panel) in panels.iter().enumerate() {
            let left = PANEL_WIDTH * place as f64 + LEFT;
            draw(out, axis, panel, left, top)?;
        }
        let curves = panels.first().map_or(&[][..], |panel| &panel.curves);
        let names: Vec<&str> = curves.iter().map(|curve| curve.name.as_str()).collect();
        legend(
            out,
            &names,
            "to the right: seconds; shaded: the fault lasts",
        )
    })
}

/// A round number above all values: all panels have the same height.
fn highest(panels: &[Panel]) -> f64 {
    let curves = panels.iter().flat_map(|panel| &panel.curves);
    let most = curves
        .flat_map(|curve| &curve.values)
        .fold(1.0_f64, |most, value| most.max(*value));
    let step = grid_step(most);
    (most / step).ceil() * step
}

/// 1, 2 or 5 times a power of ten, at most five of which make the whole.
fn grid_step(most: f64) -> f64 {
    let least = most / 5.0;
    let decade = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|times| times * decade);
    steps
        .into_iter()
        .find(|step| *step >= least)
        .unwrap_or(most)
}

fn draw(out: &mut String, axis: &Axis, panel: &Panel, left: f64, top: f64) -> std::fmt::Result {
    let right = left + PLOT_WIDTH;
    let bottom = TOP + PLOT_HEIGHT;
    let y = |value: f64| TOP + PLOT_HEIGHT * (1.0 - value / top);
    let fault = f64::from(axis.before);
    let (begin, end) = (
        axis.x(left, fault),
        axis.x(left, fault + f64::from(axis.away)),
    );
    writeln!(
        out,
        "<rect class=\"shade\" x=\"{begin:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{PLOT_HEIGHT}\"/>",
        end - begin
    )?;
    writeln!(
        out,
        "<text x=\"{left}\" y=\"{:.0}\" font-weight=\"600\">{}</text>",
        TOP - 16.0,
        panel.title
    )?;
    let step = grid_step(top);
    let mut value = 0.0;
    while value <= top {
        let (at, class) = (y(value), if value > 0.0 { "grid" } else { "axis" });
        writeln!(
            out,
            "<line class=\"{class}\" x1=\"{left}\" x2=\"{right:.0}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"
        )?;
        writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 6.0,
            at + 4.0,
            number(value)
        )?;
        value += step;
    }
    for second in (0..=axis.seconds()).step_by(2) {
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            axis.x(left, second.into()),
            bottom + 18.0,
            i64::from(second) - i64::from(axis.before)
        )?;
    }
    for (place, curve) in panel.curves.iter().enumerate() {
        line(out, axis, curve, place, left, y)?;
    }
    Ok(())
}

/// Each value is drawn in the middle of its stretch of time.
fn line(
    out: &mut String,
    axis: &Axis,
    curve: &Curve,
    place: usize,
    left: f64,
    y: impl Fn(f64) -> f64,
) -> std::fmt::Result {
    let stretch = f64::from(axis.seconds()) / curve.values.len().max(1) as f64;
    let points = curve.values.iter().enumerate();
    let path: Vec<String> = points
        .map(|(place, value)| {
            let second = (place as f64 + 0.5) * stretch;
            format!("{:.1} {:.1}", axis.x(left, second), y(*value))
        })
        .collect();
    writeln!(
        out,
        "<path class=\"s{place} thin\" d=\"M{}\"/>",
        path.join("L")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_round_and_not_too_fine() {
        assert_eq!(grid_step(9_800.0), 2_000.0);
        assert_eq!(grid_step(10_000.0), 2_000.0);
        assert_eq!(grid_step(10_001.0), 5_000.0);
        assert_eq!(grid_step(430.0), 100.0);
    }

    #[test]
    fn values_lie_in_the_middle_of_their_time_and_the_fault_is_shaded() {
        let panel = Panel {
            title: "kill".to_owned(),
            curves: vec![Curve {
                name: "a".to_owned(),
                values: vec![0.0, 100.0],
            }],
        };
        let axis = Axis {
            before: 2,
            away: 4,
            back: 4,
        };
        let drawn = svg("t", &axis, &[panel]);
        assert!(drawn.contains("M108.0 256.0L220.0 56.0"), "{drawn}");
        assert!(drawn.contains("x=\"96.8\""), "{drawn}");
    }
}
