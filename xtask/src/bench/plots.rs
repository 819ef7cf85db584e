//! Plots, as SVG.

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::full_palette::{BROWN, GREY, ORANGE, PURPLE, TEAL};

use super::samples::{Data, Row};

/// Size of a plot, in pixels.
const SIZE: (u32, u32) = (900, 420);

const COLOURS: [RGBColor; 9] = [RED, ORANGE, BLUE, GREEN, TEAL, PURPLE, BROWN, GREY, BLACK];

/// A line of points.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// What a plot says about itself.
pub(super) struct Words<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("a plot: {error}")
}

/// The least and the largest of some numbers, with a little room.
fn range(numbers: impl Iterator<Item = f64>) -> Option<std::ops::Range<f64>> {
    let (least, largest) = numbers
        .filter(|number| number.is_finite() && *number > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(least, largest), number| (least.min(number), largest.max(number)));
    (least <= largest).then_some(least * 0.8..largest * 1.25)
}

/// Lines over two logarithmic axes; nothing without points.
pub(super) fn lines(words: &Words<'_>, lines: &[Line]) -> Result<String> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (Some(x), Some(y)) = (range(points().map(|point| point.0)), range(points().map(|point| point.1)))
    else {
        return Ok(String::new());
    };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .caption(words.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(70)
            .build_cartesian_2d(x.log_scale(), y.log_scale())
            .map_err(failed)?;
        chart.configure_mesh().x_desc(words.x).y_desc(words.y).draw().map_err(failed)?;
        for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
            let drawn = chart.draw_series(LineSeries::new(line.points.iter().copied(), colour));
            let colour = *colour;
            drawn
                .map_err(failed)?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour));
        }
        let mut labels = chart.configure_series_labels();
        labels.background_style(WHITE.mix(0.8)).border_style(BLACK).draw().map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

/// One line for each way of a measure.
pub(super) fn by_way(data: &Data, measure: &str, value: impl Fn(&Row) -> f64) -> Vec<Line> {
    let line = |way: &str| {
        let rows = data.rows.iter().filter(|row| row.measure == measure && row.way == way);
        let points = rows.map(|row| (row.parameter as f64, value(row))).collect();
        Line { name: way.to_owned(), points }
    };
    data.ways(measure).into_iter().map(line).collect()
}

/// The distribution of single round trips: which part of all took longer than so many nanoseconds.
pub(super) fn latencies(data: &Data) -> Vec<Line> {
    let rows = data.rows.iter().filter(|row| row.measure == "latency");
    let line = |row: &Row| {
        let parts = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999];
        let points = parts.map(|part| (row.quantile(part), 1.0 - part)).to_vec();
        Line { name: row.way.clone(), points }
    };
    rows.map(line).collect()
}

/// Stacked bars: what each message of `bars` is made of.
pub(super) fn stacked(title: &str, unit: &str, bars: &[(String, Vec<(String, f64)>)]) -> Result<String> {
    let most = bars.iter().map(|(_, parts)| parts.iter().map(|part| part.1).sum()).fold(0.0, f64::max);
    if most <= 0.0 {
        return Ok(String::new());
    }
    let mut names: Vec<&str> =
        bars.iter().flat_map(|(_, parts)| parts.iter().map(|part| part.0.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let label = |at: &f64| bars.get(*at as usize).map_or(String::new(), |bar| bar.0.clone());
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..bars.len() as f64 + 1.5, 0.0..most * 1.05)
            .map_err(failed)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().x_labels(bars.len() + 2).x_label_formatter(&label).y_desc(unit);
        mesh.draw().map_err(failed)?;
        for (name, colour) in names.iter().zip(COLOURS.iter().cycle()) {
            let rectangles = bars.iter().enumerate().filter_map(|(at, (_, parts))| {
                let under: f64 = parts.iter().take_while(|part| part.0 != *name).map(|part| part.1).sum();
                let this = parts.iter().find(|part| part.0 == *name)?.1;
                let corners = [(at as f64 + 0.1, under), (at as f64 + 0.7, under + this)];
                Some(Rectangle::new(corners, colour.filled()))
            });
            let colour = *colour;
            chart
                .draw_series(rectangles)
                .map_err(failed)?
                .label(*name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        }
        let mut labels = chart.configure_series_labels();
        labels.background_style(WHITE.mix(0.8)).border_style(BLACK).draw().map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Words<'_> = Words { title: "T", x: "x", y: "y" };

    #[test]
    fn a_plot_names_its_lines() {
        let line = Line { name: "ours".to_owned(), points: vec![(1.0, 10.0), (64.0, 20.0)] };
        let svg = lines(&WORDS, &[line]).expect("a plot");
        assert!(svg.starts_with("<svg") && svg.contains("ours") && svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn without_points_there_is_no_plot() {
        assert_eq!(lines(&WORDS, &[]).expect("nothing"), "");
        assert_eq!(stacked("T", "u", &[]).expect("nothing"), "");
    }

    #[test]
    fn bars_are_stacked() {
        let parts = vec![("a".to_owned(), 1.0), ("b".to_owned(), 2.0)];
        let svg = stacked("T", "u", &[("bar".to_owned(), parts)]).expect("a plot");
        assert!(svg.matches("<rect").count() >= 4, "two parts, two legends: {svg}");
    }
}
