//! Numbers in columns, each told as the difference from the one above it: what a page of a hundred thousand packets is
//! made of.

use std::fmt::Write;

/// A column of numbers, as text of JSON: `12,0,0,-3`.
#[derive(Debug, Default)]
pub(super) struct Column {
    text: String,
    last: i64,
    /// Whether there is anything but zeros.
    any: bool,
}

impl Column {
    /// Adds a number.
    pub(super) fn push(&mut self, value: i64) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        let step = value.wrapping_sub(self.last);
        if (0..10).contains(&step) {
            // By far the most.
            self.text.push(char::from(b'0' + step as u8));
        } else {
            _ = write!(self.text, "{step}");
        }
        self.last = value;
        self.any |= value != 0;
    }

    /// Empties it. A column of zeros is left out: `out` gets the member `"name":[…]` with a comma before it, or nothing.
    pub(super) fn take(&mut self, name: &str, out: &mut String) {
        if self.any {
            _ = write!(out, ",\"{name}\":[{}]", self.text);
        }
        self.text.clear();
        (self.last, self.any) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_told_in_differences_and_not_at_all_if_it_is_zero() {
        let (mut column, mut out) = (Column::default(), String::new());
        [7, 7, 20, -1].into_iter().for_each(|value| column.push(value));
        column.take("sn", &mut out);
        assert_eq!(out, ",\"sn\":[7,0,13,-21]");
        out.clear();
        [0, 0].into_iter().for_each(|value| column.push(value));
        column.take("sn", &mut out);
        assert_eq!(out, "");
        column.push(1);
        column.take("sn", &mut out);
        assert_eq!(out, ",\"sn\":[1]", "it begins anew");
    }
}
