//! The lists that a text is within, while Markdown is written for a platform that has none.

/// From the outermost to the innermost: the next number, or none where items have a bullet.
#[derive(Debug, Default)]
pub(crate) struct Lists(Vec<Option<u64>>);

impl Lists {
    pub(crate) fn begin(&mut self, first: Option<u64>) {
        self.0.push(first);
    }

    pub(crate) fn end(&mut self) {
        self.0.pop();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Line ends between two blocks: an empty line, but not within a list.
    pub(crate) fn between(&self) -> usize {
        if self.is_empty() { 2 } else { 1 }
    }

    /// What stands before the next item: `indent` for each list around its own, then its number or `bullet`.
    pub(crate) fn mark(&mut self, indent: &str, bullet: &str) -> String {
        let indent = indent.repeat(self.0.len().saturating_sub(1));
        match self.0.last_mut() {
            Some(Some(next)) => {
                *next += 1;
                format!("{indent}{}. ", *next - 1)
            }
            _ => format!("{indent}{bullet} "),
        }
    }
}
