use super::*;

fn columns(time: &str, key: &str) -> Columns {
    let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    Columns { time: name(time), key: name(key) }
}

fn read(text: &str, format: Format, columns: &Columns) -> Result<Input, String> {
    Input::read("trace".to_owned(), Cow::Owned(text.as_bytes().to_vec()), format, columns)
        .map_err(|error| error.to_string())
}

#[test]
fn rows_come_in_the_order_of_their_times() {
    let text = "at,who,\"what, else\"\r\n\
                2013-07-01T00:00:02Z,b,\"x \"\"y\"\"\"\r\n\
                2013-07-01 00:00:01,a,\r\n\
                2013-07-01T02:00:01.5+02:00,,z\r\n";
    let input = read(text, Format::Csv, &columns("at", "who")).unwrap();
    assert_eq!(input.rows(), 3);
    assert_eq!([0, 1, 2].map(|row| input.at_ns(row)), [0, 500_000_000, 1_000_000_000]);
    assert_eq!([0, 1, 2, 3].map(|row| input.key(row)), [Some(&b"a"[..]), None, Some(b"b"), Some(b"a")]);
    assert_eq!(input.line(0), b"2013-07-01 00:00:01,a,");
    assert_eq!(input.line(2), b"2013-07-01T00:00:02Z,b,\"x \"\"y\"\"\"");
}

#[test]
fn json_lines_have_times_and_keys_too() {
    let text = "{\"t\": 1700000000.25, \"k\": 7}\n{\"t\": 1700000000000, \"k\": null}\n{\"t\":\"2023-11-14T22:13:21Z\",\"k\":\"x\"}";
    let input = read(text, Format::Ndjson, &columns("t", "k")).unwrap();
    assert_eq!([0, 1, 2].map(|row| input.at_ns(row)), [0, 250_000_000, 1_000_000_000]);
    assert_eq!([0, 1, 2].map(|row| input.key(row)), [None, Some(&b"7"[..]), Some(b"x")]);
}

#[test]
fn text_of_the_rows_goes_on_over_and_over() {
    let input = read("head\nab\ncd\n", Format::Csv, &Columns::default()).unwrap();
    let mut out = [0; 8];
    input.fill(1, &mut out);
    assert_eq!(&out, b"cd\nab\ncd");
    assert_eq!(input.line(5), b"cd");
}

#[test]
fn broken_lines_are_refused_with_their_numbers() {
    let timed = columns("at", "");
    for (text, format, refusal) in [
        ("", Format::Csv, "trace: is empty"),
        ("", Format::Ndjson, "trace: is empty"),
        ("at,b\n", Format::Csv, "trace: has a header and no rows"),
        ("att,b\n1,2\n", Format::Csv, "trace:1: there is no column `at`; did you mean `att`?"),
        ("at,b\n1,2\n1\n", Format::Csv, "trace:3: the line has 1 fields and the header 2"),
        ("at,b\n1,\"2\n", Format::Csv, "trace:2: a quote is not closed in its line"),
        ("at,b\n1,\"2\"x\n", Format::Csv, "trace:2: after a closing quote there is \"x\" and not a comma"),
        ("at,b\n1,2\n\n", Format::Csv, "trace:3: the line is empty"),
        ("at,b\n-1,2\n", Format::Csv, "trace:2: `-1` is neither seconds nor milliseconds since 1970"),
        ("{\"at\": 1}\n[1]\n", Format::Ndjson, "trace:2: the line is not a JSON object"),
        ("{\"a\": 1}\n", Format::Ndjson, "trace:1: there is no field `at`"),
        ("{\"at\": true}\n", Format::Ndjson, "trace:1: the time `at` is true"),
    ] {
        assert_eq!(read(text, format, &timed).unwrap_err(), refusal);
    }
    for time in ["noon", "2013-07-01", "2013-13-01 00:00:00", "2013-07-01 25:00", "", "1e300", "NaN"] {
        let refusal = read(&format!("at,b\n{time},2\n"), Format::Csv, &timed).unwrap_err();
        assert!(refusal.starts_with(&format!("trace:2: `{time}` is ")), "{refusal}");
    }
    assert!(read("{\"at\": 1", Format::Ndjson, &timed).unwrap_err().starts_with("trace:1: the line is not JSON: EOF"));
}

#[test]
fn lines_that_cannot_be_values_are_refused() {
    let long = format!("a\n{}\n", "x".repeat(VALUE_BYTES_MAX));
    let refusal = read(&long, Format::Csv, &Columns::default()).unwrap_err();
    assert!(refusal.starts_with("trace:2: the line has 1048576 bytes"), "{refusal}");
    let bytes = Cow::Borrowed(&b"a\nx\xff\n"[..]);
    let refusal = Input::read("trace".to_owned(), bytes, Format::Csv, &Columns::default()).unwrap_err();
    assert_eq!(refusal.to_string(), "trace:2: the line is not UTF-8 from byte 2 on");
}
