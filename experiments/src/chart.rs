//! Small line charts as SVG, written by hand: logarithmic upwards, cluster sizes to the right, light or dark as the
//! reader's browser is.

use std::fmt::Write as _;

pub(crate) const PANEL_WIDTH: f64 = 300.0;
pub(crate) const LEFT: f64 = 52.0;
pub(crate) const TOP: f64 = 56.0;
pub(crate) const PLOT_WIDTH: f64 = 224.0;
pub(crate) const PLOT_HEIGHT: f64 = 200.0;
const HEIGHT: f64 = 330.0;

const STYLE: &str = "\
text{fill:#2d3748}.axis{stroke:#a0aec0}.grid{stroke:#e2e8f0}\
.s0{stroke:#2b6cb0;fill:#2b6cb0}.s1{stroke:#c05621;fill:#c05621}.s2{stroke:#718096;fill:#718096}\
path{fill:none!important;stroke-width:2}.thin{stroke-width:1}circle{stroke:none}.shade{fill:#edf2f7}\
@media(prefers-color-scheme:dark){text{fill:#e2e8f0}.axis{stroke:#718096}.grid{stroke:#4a5568}.shade{fill:#2d3748}\
.s0{stroke:#63b3ed;fill:#63b3ed}.s1{stroke:#f6ad55;fill:#f6ad55}.s2{stroke:#cbd5e0;fill:#cbd5e0}}";

/// One line of a panel: a value for each cluster size.
pub struct Series {
    /// What the legend calls it.
    pub name: &'static str,
    /// Cluster sizes and values.
    pub points: Vec<(usize, f64)>,
}

/// One diagram.
pub struct Panel {
    /// What is shown, with its unit.
    pub title: &'static str,
    /// The lines.
    pub series: Vec<Series>,
}

/// The decades that hold all values.
fn decades(panel: &Panel) -> (f64, f64) {
    let values = panel.series.iter().flat_map(|series| &series.points);
    let logs = values.map(|(_, value)| value.max(1e-3).log10());
    let low = logs.clone().fold(f64::INFINITY, f64::min).floor();
    let high = logs.fold(f64::NEG_INFINITY, f64::max).ceil();
    if low.is_finite() {
        (low, high.max(low + 1.0))
    } else {
        (0.0, 1.0)
    }
}

/// The panels side by side, under one legend.
pub fn svg(title: &str, panels: &[Panel]) -> String {
    frame(title, panels.len(), |out| {
        for (place, panel) in panels.iter().enumerate() {
            draw(out, panel, PANEL_WIDTH * place as f64 + LEFT)?;
        }
        let series = panels.first().map_or(&[][..], |panel| &panel.series);
        let names: Vec<&str> = series.iter().map(|series| series.name).collect();
        legend(out, &names, "to the right: nodes in the cluster")
    })
}

/// A picture as wide as so many panels, and what is drawn in it.
pub(crate) fn frame(
    title: &str,
    panels: usize,
    draw: impl FnOnce(&mut String) -> std::fmt::Result,
) -> String {
    let width = PANEL_WIDTH * panels as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\" aria-labelledby=\"title\">\n\
         <title id=\"title\">{title}</title>\n<style>{STYLE}</style>\n"
    );
    draw(&mut out).expect("a string takes everything");
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, panel: &Panel, left: f64) -> std::fmt::Result {
    let (low, high) = decades(panel);
    let y = |value: f64| {
        let share = (value.max(1e-3).log10() - low) / (high - low);
        TOP + PLOT_HEIGHT * (1.0 - share)
    };
    writeln!(
        out,
        "<text x=\"{left}\" y=\"{:.0}\" font-weight=\"600\">{}</text>",
        TOP - 16.0,
        panel.title
    )?;
    let mut decade = low;
    while decade <= high {
        let (at, label) = (y(10_f64.powf(decade)), number(10_f64.powf(decade)));
        writeln!(
            out,
            "<line class=\"grid\" x1=\"{left}\" x2=\"{:.0}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>",
            left + PLOT_WIDTH
        )?;
        writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            left - 6.0,
            at + 4.0
        )?;
        decade += 1.0;
    }
    let bottom = TOP + PLOT_HEIGHT;
    writeln!(
        out,
        "<line class=\"axis\" x1=\"{left}\" x2=\"{:.0}\" y1=\"{bottom}\" y2=\"{bottom}\"/>",
        left + PLOT_WIDTH
    )?;
    for (size, _) in panel
        .series
        .first()
        .map_or(&[][..], |series| &series.points)
    {
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{size}</text>",
            x(left, *size),
            bottom + 18.0
        )?;
    }
    for (number, series) in panel.series.iter().enumerate() {
        line(out, series, number, |size| x(left, size), y)?;
    }
    Ok(())
}

fn x(left: f64, size: usize) -> f64 {
    left + 10.0 + (PLOT_WIDTH - 20.0) * (size as f64 - 3.0) / 12.0
}

fn line(
    out: &mut String,
    series: &Series,
    number: usize,
    x: impl Fn(usize) -> f64,
    y: impl Fn(f64) -> f64,
) -> std::fmt::Result {
    let points = series.points.iter();
    let path: Vec<String> = points
        .map(|(size, value)| format!("{:.1} {:.1}", x(*size), y(*value)))
        .collect();
    writeln!(out, "<path class=\"s{number}\" d=\"M{}\"/>", path.join("L"))?;
    for (size, value) in &series.points {
        writeln!(
            out,
            "<circle class=\"s{number}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>",
            x(*size),
            y(*value)
        )?;
    }
    Ok(())
}

/// The names of the lines, and what the axis is.
pub(crate) fn legend(out: &mut String, names: &[&str], axis: &str) -> std::fmt::Result {
    let at = TOP + PLOT_HEIGHT + 50.0;
    for (number, name) in names.iter().enumerate() {
        let left = LEFT + 190.0 * number as f64;
        writeln!(
            out,
            "<circle class=\"s{number}\" cx=\"{left}\" cy=\"{:.0}\" r=\"4\"/>",
            at - 4.0
        )?;
        writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{at:.0}\">{name}</text>",
            left + 10.0
        )?;
    }
    let left = LEFT + 190.0 * names.len() as f64;
    writeln!(out, "<text x=\"{left:.0}\" y=\"{at:.0}\">{axis}</text>")
}

pub(crate) fn number(value: f64) -> String {
    if value >= 1_000.0 {
        format!("{:.0}k", value / 1_000.0)
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_value_is_drawn_higher() {
        let panel = Panel {
            title: "x",
            series: vec![Series {
                name: "a",
                points: vec![(3, 10.0), (15, 100.0)],
            }],
        };
        let drawn = svg("t", &[panel]);
        assert!(drawn.contains("M62.0 256.0L266.0 56.0"), "{drawn}");
    }
}
