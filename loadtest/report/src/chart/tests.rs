use super::*;

fn line(points: &[(f64, Option<f64>)]) -> Line {
    Line { label: "p99 <b>".into(), look: Look::Main, filled: true, points: points.to_vec() }
}

fn drawn(points: &[(f64, Option<f64>)]) -> String {
    let chart = Chart::over_time("Latency", "in ms", 10.0, Quantity::Milliseconds);
    chart.with_spread(vec![line(points)]).with_hover().figure(Room::Tall)
}

#[test]
fn a_gap_breaks_the_line_and_a_lone_point_is_a_dot() {
    let html = drawn(&[(0.0, Some(1.0)), (1.0, Some(2.0)), (2.0, None), (3.0, Some(4.0))]);
    assert_eq!(html.matches("class=\"line main\"").count(), 2, "{html}");
    assert_eq!(html.matches("class=\"dot main\"").count(), 2, "{html}");
}

#[test]
fn what_is_no_number_is_not_drawn() {
    let html = drawn(&[(f64::NAN, Some(1.0)), (1.0, Some(f64::NAN)), (2.0, Some(f64::INFINITY)), (3.0, Some(0.0))]);
    assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
}

#[test]
fn nothing_is_an_empty_plot() {
    assert!(!drawn(&[]).contains("class=\"line"));
    let endless = Chart::over_time("t", "", f64::NAN, Quantity::Count).with_lines(Vec::new()).figure(Room::Half);
    assert!(!endless.contains("NaN"), "{endless}");
}

#[test]
fn labels_and_read_outs_are_escaped() {
    let html = drawn(&[(0.0, Some(1.0)), (1.0, Some(900.0))]);
    assert!(html.contains("p99 &lt;b&gt;") && !html.contains("<b>"), "{html}");
    assert!(html.contains("log scale") && html.contains("1 s: p99 &lt;b&gt; 900 ms"), "{html}");
}

#[test]
fn marks_that_would_touch_are_one() {
    let mut chart = Chart::over_time("t", "", 100.0, Quantity::Count).with_lines(vec![line(&[(0.0, Some(1.0))])]);
    chart.marks = vec![
        Mark { at: 20.0, number: 1, grave: false },
        Mark { at: 20.5, number: 2, grave: true },
        Mark { at: 60.0, number: 3, grave: false },
    ];
    let html = chart.svg("wide", Size::new(780.0, 300.0));
    assert!(html.contains(">1–2<") && html.contains(">3<"), "{html}");
    assert_eq!(html.matches("class=\"pill grave\"").count(), 1, "{html}");
}
