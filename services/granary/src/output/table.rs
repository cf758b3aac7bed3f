//! Plain tables, as kubectl prints them: upper-case headers, no lines, nothing cut.

use comfy_table::{ColumnConstraint, Table as Grid, Width};

use crate::human;

/// Rows of text below headers, or fields each with its name.
#[derive(Debug)]
pub(crate) struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    widths: Vec<u16>,
}

impl Table {
    /// A table with these headers.
    pub(crate) fn new<const N: usize>(headers: [&'static str; N]) -> Self {
        Self {
            headers: headers.into(),
            rows: Vec::new(),
            widths: Vec::new(),
        }
    }

    /// One thing, a field a line.
    pub(crate) fn fields() -> Self {
        Self {
            headers: Vec::new(),
            rows: Vec::new(),
            widths: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows
            .push(cells.iter().map(|cell| human::shown(cell)).collect());
    }

    /// Adds a field, unless its value is empty.
    #[must_use]
    pub(crate) fn field(mut self, name: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.rows
                .push(vec![format!("{name}:"), human::shown(&value)]);
        }
        self
    }

    /// How many rows it has.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The text, each line ended.
    pub(crate) fn render(mut self) -> String {
        self.drain()
    }

    /// The text of the rows so far, which are forgotten; headers come once, and later rows keep to the columns.
    pub(crate) fn drain(&mut self) -> String {
        if self.rows.is_empty() && self.headers.is_empty() {
            return String::new();
        }
        let mut grid = Grid::new();
        grid.force_no_tty()
            .load_style(comfy_table::presets::NOTHING);
        if !self.headers.is_empty() {
            grid.add_row(std::mem::take(&mut self.headers));
        }
        grid.add_rows(std::mem::take(&mut self.rows));
        let found = grid.column_max_content_widths();
        self.widths.resize(found.len().max(self.widths.len()), 0);
        for (width, found) in self.widths.iter_mut().zip(found) {
            *width = (*width).max(found);
        }
        for (column, width) in grid.column_iter_mut().zip(&self.widths) {
            column
                .set_padding((0, 2))
                .set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(
                    width.saturating_add(2),
                )));
        }
        grid.lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let mut table = Table::new(["NAME", "SIZE"]);
        table.row(["é".into(), "1 B".into()]);
        table.row(["longer".into(), String::new()]);
        assert_eq!(table.render(), "NAME    SIZE\né       1 B\nlonger\n");
    }

    #[test]
    fn later_rows_keep_to_the_columns_and_repeat_no_headers() {
        let mut table = Table::new(["NAME", "SIZE"]);
        table.row(["longer".into(), "1 B".into()]);
        assert_eq!(table.drain(), "NAME    SIZE\nlonger  1 B\n");
        table.row(["a".into(), "2 B".into()]);
        assert_eq!(table.drain(), "a       2 B\n");
    }

    #[test]
    fn empty_fields_are_left_out() {
        let table = Table::fields().field("Name", "a\nb").field("Error", "");
        assert_eq!(table.render(), "Name:  a\\nb\n");
    }

    #[test]
    fn a_table_without_rows_shows_its_headers() {
        assert_eq!(Table::new(["NAME"]).render(), "NAME\n");
    }
}
