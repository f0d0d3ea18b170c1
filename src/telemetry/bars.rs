//! Bars beneath the log, one for each of several things that go on at once. Only on a terminal.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// One bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    pub name: String,
    pub done: u64,
    pub expected: u64,
    /// What else is to be said of it.
    pub note: String,
}

/// All that is drawn; nothing where stderr is no terminal.
static SCREEN: LazyLock<MultiProgress> = LazyLock::new(|| {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    MultiProgress::with_draw_target(target)
});

/// The bars of one task. They disappear with it.
#[derive(Default)]
pub struct Bars {
    bars: Vec<ProgressBar>,
    foot: Option<ProgressBar>,
}

impl Bars {
    /// Whether there is anybody to see them.
    #[must_use]
    pub fn are_seen() -> bool {
        !SCREEN.is_hidden()
    }

    /// Draws `bars`, and a line below them.
    pub fn show(&mut self, bars: &[Bar], foot: &str) {
        if bars.len() != self.bars.len() {
            self.clear();
            let blank = |template| {
                let bar = SCREEN.add(ProgressBar::new(0));
                bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar
            };
            self.bars = bars.iter().map(|_| blank("{prefix} {bar:25} {msg}")).collect();
            self.foot = Some(blank("{msg}"));
        }
        let width = bars.iter().map(|bar| bar.name.len()).max().unwrap_or_default();
        for (drawn, bar) in self.bars.iter().zip(bars) {
            drawn.set_length(bar.expected);
            drawn.set_position(bar.done);
            drawn.set_prefix(format!("{:width$}", bar.name));
            let mut text = format!("{}/{}", bar.done, bar.expected);
            if !bar.note.is_empty() {
                let _ = write!(text, ", {}", bar.note);
            }
            drawn.set_message(text);
        }
        if let Some(drawn) = &self.foot {
            drawn.set_message(foot.to_owned());
        }
    }

    /// Takes them away.
    pub fn clear(&mut self) {
        for bar in self.bars.drain(..).chain(self.foot.take()) {
            bar.finish_and_clear();
            SCREEN.remove(&bar);
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A terminal's writer that the bars make way for.
pub struct AboveBars<W>(pub W);

impl<W: io::Write> io::Write for AboveBars<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        SCREEN.suspend(|| self.0.write(text))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
