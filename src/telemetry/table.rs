//! Aligned tables on a terminal or in a pipe.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};

/// A table with a header line. Columns whose name starts with `>` are aligned to the right.
#[must_use]
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|name| Cell::new(name.trim_start_matches('>')).add_attribute(Attribute::Bold)));
    for row in rows {
        table.add_row(row.into_iter().map(|text| cell(&text)));
    }
    for (index, name) in header.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if name.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.trim_fmt()
}

/// Text of any length as part of a line, control characters shown as `\u{..}`, as they could rewrite the terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    let clean: String = text
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    shortened(&clean, 60)
}

fn cell(text: &str) -> Cell {
    let cell = Cell::new(printable(text));
    if text == "stopped" || text == "waiting" { cell.fg(Color::Red) } else { cell }
}

/// At most `longest` characters, with an ellipsis where something was cut.
#[must_use]
pub fn shortened(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// An address or id short enough for a table: `0x7354…82a1`.
#[must_use]
pub fn brief(text: &str) -> String {
    match (text.get(..6), text.len().checked_sub(4).and_then(|at| text.get(at..))) {
        (Some(head), Some(tail)) if text.len() > 14 && text.starts_with("0x") => format!("{head}…{tail}"),
        _ => text.to_owned(),
    }
}
