//! The picture: a line about the view, the status, and under it the last events.

use super::super::events::record::Event;
use super::super::status;
use anstyle::{AnsiColor, Color as AnsiColour, Effects};
use jiff::ZonedDateTime;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Paragraph, Wrap};
use std::collections::VecDeque;
use warden_protocol::v1::control::AgentStatus;

/// What is known, and where one looks.
pub(super) struct Screen {
    pub(super) status: AgentStatus,
    /// Why there is none at the moment; the one that is shown is old.
    silent: Option<String>,
    events: VecDeque<Event>,
    /// Why no events are shown.
    pub(super) no_events: Option<String>,
    /// The first line that is shown.
    top: u16,
}

impl Screen {
    pub(super) fn new(status: AgentStatus) -> Self {
        Self { status, silent: None, events: VecDeque::new(), no_events: None, top: 0 }
    }

    pub(super) fn answered(&mut self, answer: Result<AgentStatus, String>) {
        match answer {
            Ok(status) => (self.status, self.silent) = (status, None),
            Err(sentence) => self.silent = Some(sentence),
        }
    }

    pub(super) fn happened(&mut self, event: Event) {
        if self.events.len() == super::EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    pub(super) fn scroll(&mut self, lines: i32) {
        self.top = u16::try_from(i32::from(self.top).saturating_add(lines).max(0)).unwrap_or(u16::MAX);
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, now: &ZonedDateTime) {
        let area = frame.area();
        let below = (area.height / 3).clamp(3, 14);
        let [head, body, foot] = Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(below)]).areas(area);
        frame.render_widget(self.head(now), head);

        let text = text(&status::draw_live(&self.status));
        // The last line stays in sight.
        let most = u16::try_from(text.lines.len()).unwrap_or(u16::MAX).saturating_sub(body.height.min(3));
        self.top = self.top.min(most);
        let style = if self.silent.is_some() { Style::new().add_modifier(Modifier::DIM) } else { Style::new() };
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }).scroll((self.top, 0)).style(style), body);

        let block = Block::new().borders(Borders::TOP).title(" events ");
        let room = usize::from(below.saturating_sub(1));
        let lines = match &self.no_events {
            Some(why) => Text::raw(why.clone()),
            None if self.events.is_empty() => Text::raw("the journal has no event of the agent yet"),
            None => {
                let skip = self.events.len().saturating_sub(room);
                let drawn = self.events.iter().skip(skip).map(Event::draw).collect::<Vec<_>>().join("\n");
                self::text(&drawn)
            }
        };
        let events = Paragraph::new(lines).block(block);
        // A sentence may be longer than the screen is wide; an event is a line.
        frame.render_widget(if self.no_events.is_some() { events.wrap(Wrap { trim: false }) } else { events }, foot);
    }

    fn head(&self, now: &ZonedDateTime) -> Line<'static> {
        let keys = format!("{}  q ends, ↑↓ scroll  ", now.strftime("%H:%M:%S"));
        match &self.silent {
            Some(why) => Line::from(vec![Span::raw(keys), Span::styled(format!("old: {why}"), Style::new().fg(Color::Red))]),
            None => Line::styled(keys, Style::new().add_modifier(Modifier::DIM)),
        }
    }
}

/// A drawing with its colours, as the screen wants it. Whatever else would move a cursor was escaped when it was drawn.
fn text(drawn: &str) -> Text<'static> {
    let mut colours = anstream::adapter::WinconBytes::new();
    let lines = drawn.lines().map(|line| {
        let spans = colours.extract_next(line.as_bytes()).map(|(style, text)| Span::styled(text, style_of(style)));
        Line::from(spans.collect::<Vec<_>>())
    });
    Text::from(lines.collect::<Vec<_>>())
}

fn style_of(style: anstyle::Style) -> Style {
    let colour = match style.get_fg_color() {
        Some(AnsiColour::Ansi(AnsiColor::Green)) => Style::new().fg(Color::Green),
        Some(AnsiColour::Ansi(AnsiColor::Yellow)) => Style::new().fg(Color::Yellow),
        Some(AnsiColour::Ansi(AnsiColor::Red)) => Style::new().fg(Color::Red),
        // Nothing else is painted with.
        _ => Style::new(),
    };
    let effects = style.get_effects();
    let modifiers = [(Effects::BOLD, Modifier::BOLD), (Effects::DIMMED, Modifier::DIM)];
    modifiers.into_iter().filter(|(effect, _)| effects.contains(*effect)).fold(colour, |style, (_, modifier)| style.add_modifier(modifier))
}
