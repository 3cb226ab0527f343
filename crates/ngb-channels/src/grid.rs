//! A table for platforms that have none: lines of equal columns, to stand in a code block.

/// Its rows, a line each; three backticks in a cell don't end the block.
pub(crate) fn grid(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let count = |it: &str| it.chars().count();
    let width = |at: usize| rows.iter().filter_map(|it| it.get(at)).map(|it| count(it)).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or_default()).collect();
    let mut shown = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(it, width)| {
            let pad = " ".repeat(width - count(it));
            format!("{it}{pad}")
        });
        let line = cells.collect::<Vec<_>>().join("  ").replace("```", "``\u{200b}`");
        shown += line.trim_end();
        shown.push('\n');
    }
    shown
}
