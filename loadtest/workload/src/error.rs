//! What is wrong with a scenario.

/// One sentence for whoever wrote the scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// Not TOML.
    #[error("line {line}: {reason}")]
    Syntax {
        /// From 1 on.
        line: usize,
        /// What the TOML parser says.
        reason: String,
    },
    /// A field is unknown, missing, or has a value that cannot be.
    #[error("{path}{}: {reason}", line.map(|line| format!(" (line {line})")).unwrap_or_default())]
    Field {
        /// As `--set` takes it: `stages.0.rate`.
        path: String,
        /// From 1 on; `None`: it was set from outside, or is missing altogether.
        line: Option<usize>,
        /// What is wrong with it.
        reason: String,
    },
    /// The input file cannot be read, or has a broken line.
    #[error("{file}{}: {reason}", line.map(|line| format!(":{line}")).unwrap_or_default())]
    Input {
        /// As it was opened.
        file: String,
        /// From 1 on; `None`: the whole file.
        line: Option<usize>,
        /// What is wrong with it.
        reason: String,
    },
}
