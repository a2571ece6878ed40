//! A table of a scenario, read field by field: every complaint names path and line.

use crate::{
    ScenarioError,
    tree::{Entries, Node, Value},
};

/// A table whose names are all known.
#[derive(Debug)]
pub(super) struct Section<'a> {
    path: String,
    line: Option<usize>,
    entries: &'a Entries,
}

impl<'a> Section<'a> {
    pub fn root(entries: &'a Entries) -> Self {
        Self { path: String::new(), line: None, entries }
    }

    /// Refuses every name but these.
    pub fn only(self, known: &[&str]) -> Result<Self, ScenarioError> {
        self.check(known).map(|()| self)
    }

    /// See [`Section::only`].
    pub fn check(&self, known: &[&str]) -> Result<(), ScenarioError> {
        for (name, node) in self.entries {
            if !known.contains(&name.as_str()) {
                return Err(self.refused_at(name, node.line, format!("unknown field; {}", meant(name, known))));
            }
        }
        Ok(())
    }

    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<Option<T>, ScenarioError> {
        let Some(node) = self.find(name) else { return Ok(None) };
        read(&node.value).map(Some).map_err(|reason| self.refused_at(name, node.line, reason))
    }

    pub fn required<T>(&self, name: &str, read: impl FnOnce(&Value) -> Result<T, String>) -> Result<T, ScenarioError> {
        self.optional(name, read)?.ok_or_else(|| self.refused(name, "it is missing"))
    }

    pub fn or<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
        default: T,
    ) -> Result<T, ScenarioError> {
        Ok(self.optional(name, read)?.unwrap_or(default))
    }

    /// The table of that name, empty if it is missing.
    pub fn section(&self, name: &str) -> Result<Section<'a>, ScenarioError> {
        const NOTHING: &Entries = &Vec::new();
        match self.find(name) {
            None => Ok(Section { path: self.path_of(name), line: self.line, entries: NOTHING }),
            Some(node) => self.table(name, node),
        }
    }

    /// The tables of `[[name]]`.
    pub fn sections(&self, name: &str) -> Result<Vec<Section<'a>>, ScenarioError> {
        let Some(node) = self.find(name) else { return Ok(Vec::new()) };
        let Value::List(items) = &node.value else {
            let reason = format!("it is {} and has to be a list: [[{name}]]", node.value.kind());
            return Err(self.refused(name, reason));
        };
        items.iter().enumerate().map(|(index, item)| self.table(&format!("{name}.{index}"), item)).collect()
    }

    /// A complaint about a field, or about the whole table if `name` is empty.
    pub fn refused(&self, name: &str, reason: impl Into<String>) -> ScenarioError {
        let line = self.find(name).map_or(self.line, |node| node.line);
        self.refused_at(name, line, reason.into())
    }

    fn table(&self, name: &str, node: &'a Node) -> Result<Section<'a>, ScenarioError> {
        let path = self.path_of(name);
        match &node.value {
            Value::Table(entries) => Ok(Section { path, line: node.line, entries }),
            other => {
                let reason = format!("it is {} and has to be a table", other.kind());
                Err(ScenarioError::Field { path, line: node.line, reason })
            }
        }
    }

    fn find(&self, name: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(known, _)| known == name).map(|(_, node)| node)
    }

    fn path_of(&self, name: &str) -> String {
        match (self.path.as_str(), name) {
            ("", name) => name.to_owned(),
            (path, "") => path.to_owned(),
            (path, name) => format!("{path}.{name}"),
        }
    }

    fn refused_at(&self, name: &str, line: Option<usize>, reason: String) -> ScenarioError {
        ScenarioError::Field { path: self.path_of(name), line, reason }
    }
}

/// ``did you mean `count`?``, or all names if none is near.
pub(crate) fn meant(name: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), *known)).min();
    match nearest {
        Some((distance, nearest)) if distance <= (nearest.len() / 3).max(1) => format!("did you mean `{nearest}`?"),
        _ => format!("known are {}", known.join(", ")),
    }
}
