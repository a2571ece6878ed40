//! Writes the page of a made-up run: `cargo run -p eagre-report --example sample -- OUT.html [passed|incorrect|partial|broken|compare|long|summary]`.

mod run;

use std::{
    env, fs,
    io::{self, Write as _},
};

use eagre_report::{compare, page, summary};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let out = arguments.next().unwrap_or_else(|| "sample.html".to_owned());
    let kind = arguments.next().unwrap_or_default();
    let text = match kind.as_str() {
        "incorrect" => page(&run::incorrect()),
        "partial" => page(&run::partial()),
        "broken" => page(&run::broken()),
        "long" => page(&run::long()),
        "compare" => compare(&run::several()),
        "summary" => summary(&run::passed()),
        _ => page(&run::passed()),
    };
    fs::write(&out, &text)?;
    writeln!(io::stdout(), "{out}: {} bytes", text.len())
}
