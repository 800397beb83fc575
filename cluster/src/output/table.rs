//! **Purpose**: aligned columns.

/// On which side a column's texts meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table under construction.
#[derive(Clone, Debug)]
pub struct Table {
    heads: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(heads: &[(&'static str, Align)]) -> Self {
        Table { heads: heads.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; missing cells stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) -> &mut Self {
        let mut cells: Vec<String> = cells.into_iter().map(|cell| one_line(&cell)).collect();
        cells.resize(self.heads.len(), String::new());
        self.rows.push(cells);
        self
    }

    /// The text; columns are as wide as their widest cell, two blanks apart.
    pub fn render(&self) -> String {
        let width = |at: usize| {
            let cells = self.rows.iter().map(|row| row[at].chars().count());
            cells.chain([self.heads[at].0.len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let line = |cells: &[String]| {
            let padded: Vec<String> = cells
                .iter()
                .zip(&self.heads)
                .zip(&widths)
                .map(|((cell, head), width)| {
                    let blanks = " ".repeat(width - cell.chars().count());
                    match head.1 {
                        Align::Left => format!("{cell}{blanks}"),
                        Align::Right => format!("{blanks}{cell}"),
                    }
                })
                .collect();
            format!("{}\n", padded.join("  ").trim_end())
        };
        let heads: Vec<String> = self.heads.iter().map(|head| head.0.to_owned()).collect();
        std::iter::once(line(&heads)).chain(self.rows.iter().map(|row| line(row))).collect()
    }
}

/// Control characters from elsewhere must not move the cursor or break the columns.
fn one_line(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table =
            Table::new(&[("ID", Align::Right), ("NAME", Align::Left), ("NOTE", Align::Left)]);
        table.row(["1".into(), "a".into(), "x".into()]);
        table.row(["1000".into(), "längere\n".into()]);
        insta::assert_snapshot!(table.render(), @r"
          ID  NAME      NOTE
           1  a         x
        1000  längere
        ");
    }
}
