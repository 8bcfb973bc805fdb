//! A line chart with a logarithmic x axis, as SVG text.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const COLOURS: [&str; 4] = ["#2f81f7", "#8b949e", "#d29922", "#3fb950"];

/// What is drawn.
pub struct Chart {
    pub name: &'static str,
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    pub series: Vec<Series>,
}

/// One line.
pub struct Series {
    pub label: &'static str,
    /// By ascending x, which is above 0.
    pub points: Vec<(f64, f64)>,
}

impl Chart {
    /// The whole picture; needs at least one point.
    pub fn draw(&self) -> String {
        let all: Vec<(f64, f64)> = self.series.iter().flat_map(|series| series.points.iter().copied()).collect();
        let greatest = all.iter().map(|(_, y)| *y).fold(0.0, f64::max);
        let step = tick(greatest);
        let top = (greatest / step).ceil() * step;
        let (low, high) = all.iter().fold((f64::MAX, 0.0_f64), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
        let across = |x: f64| LEFT + (WIDTH - LEFT - RIGHT) * (x / low).ln() / (high / low).ln().max(f64::MIN_POSITIVE);
        let up = |y: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / top;

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" \
             fill=\"#7d8590\">\n<text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{}</text>\n",
            self.title
        );
        for line in 0..=(top / step).round() as u32 {
            let y = f64::from(line) * step;
            let (height, label) = (up(y), short(y));
            let right = WIDTH - RIGHT;
            _ = writeln!(svg, "<path d=\"M{LEFT} {height:.1}H{right}\" stroke=\"#7d8590\" stroke-opacity=\".25\"/>");
            _ = writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 8.0, height + 4.0);
        }
        let mut marks: Vec<f64> = all.iter().map(|(x, _)| *x).collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        for x in marks {
            let label = if self.x == "percentile" { format!("{}", 100.0 - 100.0 / x) } else { short(x) };
            let (across, below) = (across(x), HEIGHT - BOTTOM + 18.0);
            _ = writeln!(svg, "<text x=\"{across:.1}\" y=\"{below}\" text-anchor=\"middle\">{label}</text>");
        }
        let middle = (LEFT + WIDTH - RIGHT) / 2.0;
        _ = writeln!(svg, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>", HEIGHT - 10.0, self.x);
        _ = writeln!(svg, "<text x=\"8\" y=\"{}\">{}</text>", TOP - 16.0, self.y);

        let drawn = self.series.iter().filter(|series| !series.points.is_empty());
        for (number, (series, colour)) in drawn.zip(COLOURS).enumerate() {
            let points: Vec<_> = series.points.iter().map(|(x, y)| format!("{:.1} {:.1}", across(*x), up(*y))).collect();
            let path = points.join("L");
            _ = writeln!(svg, "<path d=\"M{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
            let (x, y) = (WIDTH - RIGHT + 12.0, TOP + 20.0 * number as f64);
            _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{}</text>", series.label);
        }
        svg + "</svg>\n"
    }
}

/// A round step that divides the axis into four to ten parts.
fn tick(greatest: f64) -> f64 {
    let power = 10_f64.powf(greatest.max(1e-9).log10().floor());
    let parts = greatest / power;
    power
        * if parts < 2.0 {
            0.25
        } else if parts < 5.0 {
            0.5
        } else {
            1.0
        }
}

/// `10k`, `1M`.
fn short(number: f64) -> String {
    if number >= 1e6 {
        format!("{}M", number / 1e6)
    } else if number >= 1e4 {
        format!("{}k", number / 1e3)
    } else {
        format!("{number}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_lies_within_the_picture() {
        let points = vec![(1_000.0, 40.0), (1_000_000.0, 95.0)];
        let chart = Chart { name: "n", title: "t", x: "x", y: "y", series: vec![Series { label: "ours", points }] };
        let svg = chart.draw();
        assert!(svg.contains("M70.0 ") && svg.contains("L570.0 "), "{svg}");
        assert!(svg.contains(">1M</text>") && svg.contains(">100</text>"), "{svg}");
    }

    #[test]
    fn axes_have_round_steps() {
        assert_eq!([tick(95.0), tick(1.5), tick(300.0)], [10.0, 0.25, 50.0]);
    }
}
