//! What `strace -f -yy -x` writes, as a list of calls in the order in which they ended.

/// A system call that succeeded.
#[derive(Debug)]
pub struct Call {
    /// Its place among all lines when it began.
    pub began: usize,
    /// Its place among all lines when it had ended.
    pub ended: usize,
    /// Such as `fsync`.
    pub name: String,
    /// What stood in the parentheses.
    pub arguments: String,
}

impl Call {
    /// The file or socket of the first argument, as `-yy` prints it: `12</path/of/file>`.
    pub fn file(&self) -> Option<&str> {
        let (number, rest) = self.arguments.split_once('<')?;
        let end = rest.find(">,").or_else(|| rest.strip_suffix('>').map(str::len))?;
        number.chars().all(|c| c.is_ascii_digit()).then(|| &rest[..end])
    }

    /// All strings in the arguments, one after the other, as the bytes they stand for.
    pub fn bytes(&self) -> Vec<u8> {
        self.strings().concat()
    }

    /// Each string in the arguments.
    pub fn strings(&self) -> Vec<Vec<u8>> {
        let mut strings = Vec::new();
        let mut rest = self.arguments.as_bytes().iter().copied();
        while rest.any(|byte| byte == b'"') {
            let mut string = Vec::new();
            while let Some(byte) = rest.next() {
                match byte {
                    b'"' => break,
                    b'\\' => string.push(escaped(&mut rest)),
                    byte => string.push(byte),
                }
            }
            strings.push(string);
        }
        strings
    }
}

fn escaped(rest: &mut impl Iterator<Item = u8>) -> u8 {
    match rest.next() {
        Some(b'x') => {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
        }
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'v') => 0x0b,
        Some(b'f') => 0x0c,
        Some(plain) => plain,
        None => panic!("a string ends with a backslash"),
    }
}

/// Puts calls together that were interrupted by other threads (`<unfinished ...>`, `<... resumed>`); leaves out those that
/// failed or never ended.
pub fn parse(trace: &str) -> Vec<Call> {
    let mut unfinished: Vec<(&str, usize, String)> = Vec::new();
    let mut calls = Vec::new();
    for (place, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.trim_start().split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            unfinished.push((thread, place, begun.trim_end().to_owned()));
        } else if let Some((_, resumed)) = rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            let Some(found) = unfinished.iter().position(|(other, _, _)| *other == thread) else { continue };
            let (_, began, begun) = unfinished.swap_remove(found);
            calls.extend(call(began, place, &format!("{begun}{resumed}")));
        } else {
            calls.extend(call(place, place, rest));
        }
    }
    calls
}

fn call(began: usize, ended: usize, text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    // The result follows the last parenthesis; strings in the arguments may hold any.
    let (arguments, result) = rest.rsplit_once(") ")?;
    let result = result.trim_start().strip_prefix("= ")?;
    (!result.starts_with('-') && !result.starts_with('?')).then(|| Call {
        began,
        ended,
        name: name.to_owned(),
        arguments: arguments.trim_end().to_owned(),
    })
}

#[test]
fn interrupted_calls_are_put_together() {
    let trace = r#"100 openat(AT_FDCWD</w>, "/b/a", O_WRONLY) = 3</b/a>
101 fsync(3</b/a> <unfinished ...>
100 writev(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, [{iov_base="\x00\x01", iov_len=2}, {iov_base="a)\n\"", iov_len=4}], 2) = 6
101 <... fsync resumed>)                = 0
102 fsync(4</b/c>)   = -1 EIO (Input/output error)
103 read(5</b/d>,  <unfinished ...>
"#;
    let calls = parse(trace);
    let names: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.began, call.ended)).collect();
    assert_eq!(names, [("openat", 0, 0), ("writev", 2, 2), ("fsync", 1, 3)]);
    assert_eq!(calls[0].strings(), [b"/b/a"]);
    assert_eq!(calls[1].bytes(), b"\x00\x01a)\n\"");
    assert_eq!(calls[1].file(), Some("TCP:[127.0.0.1:1->127.0.0.1:2]"));
    assert_eq!(calls[2].file(), Some("/b/a"));
}
