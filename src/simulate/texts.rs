//! The texts of many events in little memory: most of each has been said before, by the same account or of the same coin.

use std::collections::HashMap;
use std::sync::Arc;

/// Shorter pieces, such as numbers, are kept as they are; so are those without an address, which seldom come again.
const LONG: usize = 40;
const ADDRESS: &str = ":\"0x";
/// A long piece is replaced by this and its number; JSON has no such character in its texts.
const REFERENCE: char = '\u{1}';
/// A number's digits, of seven bits each, so that they are ASCII, too.
const DIGITS: usize = 4;

/// JSON texts by number, one behind the other, cut into pieces at their commas: each long one with an address is kept once.
#[derive(Debug, Default)]
pub struct Texts {
    text: String,
    ends: Vec<usize>,
    pieces: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Texts {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Adds one.
    pub fn push(&mut self, text: &str) {
        for piece in text.split_inclusive(',') {
            if piece.len() < LONG || !piece.contains(ADDRESS) {
                self.text.push_str(piece);
            } else {
                let number = self.number(piece);
                self.text.push(REFERENCE);
                self.text.extend((0..DIGITS).filter_map(|digit| char::from_u32((number >> (7 * digit)) & 0x7F)));
            }
        }
        self.ends.push(self.text.len());
    }

    /// Appends a text to `out`.
    pub fn write(&self, at: usize, out: &mut String) {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        let mut rest = &self.text[start..self.ends[at]];
        while let Some((plain, reference)) = rest.split_once(REFERENCE) {
            let (digits, after) = reference.split_at(DIGITS);
            let number = digits.bytes().rev().fold(0, |number, digit| number << 7 | usize::from(digit));
            out.push_str(plain);
            out.push_str(&self.pieces[number]);
            rest = after;
        }
        out.push_str(rest);
    }

    /// A text as it was.
    pub fn get(&self, at: usize) -> String {
        let mut text = String::new();
        self.write(at, &mut text);
        text
    }

    fn number(&mut self, piece: &str) -> u32 {
        if let Some(number) = self.numbers.get(piece) {
            return *number;
        }
        let piece = Arc::<str>::from(piece);
        // Four digits are enough for 268 million pieces, which would fill the memory first.
        let number = u32::try_from(self.pieces.len()).unwrap_or(u32::MAX);
        self.pieces.push(Arc::clone(&piece));
        self.numbers.insert(piece, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were() {
        let long = |number| format!("\"ünterwegs 🚂\":\"0x{number:064}\",");
        let mut all: Vec<_> = (0..300).map(|number| format!("{{{}\"n\":{number}}}", long(number % 200))).collect();
        all.push(String::new());
        let mut texts = Texts::default();
        for text in &all {
            texts.push(text);
        }
        assert_eq!(texts.pieces.len(), 200);
        assert_eq!((0..texts.len()).map(|at| texts.get(at)).collect::<Vec<_>>(), all);
    }
}
