//! Lines and areas.

use crate::chart::{
    Line,
    frame::{Frame, px},
};

/// A line with its area, in as many strokes as there are stretches with values.
pub fn draw(frame: &Frame, line: &Line) -> String {
    let class = line.look.class();
    let mut out = String::new();
    for stretch in line.points.split(|(x, y)| !(x.is_finite() && y.is_some_and(f64::is_finite))) {
        let places: Vec<(f64, f64)> = stretch.iter().filter_map(|(x, y)| Some((frame.x(*x), frame.y((*y)?)))).collect();
        let places = thin(&places);
        let (Some(first), Some(last)) = (places.first(), places.last()) else { continue };
        if places.len() == 1 {
            out.push_str(&format!(
                "<circle class=\"dot {class}\" cx=\"{}\" cy=\"{}\" r=\"3\"/>\n",
                px(first.0),
                px(first.1)
            ));
            continue;
        }
        let way = way(&places);
        if line.filled {
            let base = px(frame.bottom);
            let (from, to) = (px(first.0), px(last.0));
            out.push_str(&format!("<path class=\"area {class}\" d=\"{way}L{to} {base}L{from} {base}Z\"/>\n"));
        }
        out.push_str(&format!("<path class=\"line {class}\" d=\"{way}\"/>\n"));
    }
    out
}

fn way(places: &[(f64, f64)]) -> String {
    let steps = places.iter().enumerate().map(|(nth, (x, y))| {
        let command = if nth == 0 { 'M' } else { 'L' };
        format!("{command}{} {}", px(*x), px(*y))
    });
    steps.collect()
}

/// Of the points that fall on one column of pixels, the first, the lowest, the highest and the last: no spike is lost.
fn thin(places: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = Vec::new();
    for column in places.chunk_by(|left, right| left.0.floor() == right.0.floor()) {
        let mut kept: Vec<usize> = vec![0, column.len() - 1];
        let by_height = |a: &usize, b: &usize| column[*a].1.total_cmp(&column[*b].1);
        kept.extend((0..column.len()).min_by(by_height));
        kept.extend((0..column.len()).max_by(by_height));
        kept.sort_unstable();
        kept.dedup();
        out.extend(kept.into_iter().map(|nth| column[nth]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_keeps_its_spike() {
        let crowded: Vec<(f64, f64)> =
            (0..100).map(|nth| (10.0 + f64::from(nth) / 200.0, if nth == 40 { 3.0 } else { 90.0 })).collect();
        let thinned = thin(&crowded);
        assert!(thinned.len() <= 4 && thinned.contains(&(10.2, 3.0)), "{thinned:?}");
        let apart: Vec<(f64, f64)> = (0..5).map(|nth| (f64::from(nth) * 2.0, 1.0)).collect();
        assert_eq!(thin(&apart), apart);
        assert!(thin(&[]).is_empty());
    }
}
