//! The terminal: taken over, drawn on once a second, and given back however it ends.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, poll, read},
    execute, queue,
    style::Print,
    terminal::{
        Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
    },
};

use super::{report::Report, table};
use crate::admin::client::ClientError;

/// The size of a terminal that does not tell.
const SIZE_DEFAULT: (u16, u16) = (80, 24);

/// Whether there is one.
pub(super) fn is_there() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal()
}

/// Shows what `look` finds until the user has seen enough. A gateway that does not answer any more is waited for; one
/// that never did is an error.
pub(super) fn show(
    mut look: impl FnMut() -> Result<Report, ClientError>,
    interval: Duration,
) -> Result<ExitCode, ClientError> {
    let mut report = look()?;
    let mut trouble = None;
    let _screen = Screen::take().map_err(ClientError::System)?;
    loop {
        let (width, height) = size().unwrap_or(SIZE_DEFAULT);
        let lines = table::fitting(&report, trouble.as_deref(), (width.into(), height.into()));
        draw(&lines).map_err(ClientError::System)?;
        if user_leaves(interval).map_err(ClientError::System)? {
            return Ok(ExitCode::SUCCESS);
        }
        match look() {
            Ok(found) => (report, trouble) = (found, None),
            Err(error) => trouble = Some(error.to_string()),
        }
    }
}

/// The terminal while it is ours.
struct Screen;

impl Screen {
    fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        let screen = Self; // from here on it is given back
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

fn draw(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (line, at) in lines.iter().zip(0_u16..) {
        queue!(out, MoveTo(0, at), Print(line), Clear(ClearType::UntilNewLine))?;
    }
    queue!(out, Clear(ClearType::FromCursorDown))?;
    out.flush()
}

/// Waits until it is time to look again, or something happens; whether that was the user's wish to leave.
fn user_leaves(interval: Duration) -> io::Result<bool> {
    if !poll(interval)? {
        return Ok(false);
    }
    Ok(matches!(read()?, Event::Key(key) if key.kind != KeyEventKind::Release && leaves(key)))
}

fn leaves(key: KeyEvent) -> bool {
    match key.code {
        KeyCode::Char('c' | 'd') => key.modifiers.contains(KeyModifiers::CONTROL),
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
        _ => false,
    }
}
