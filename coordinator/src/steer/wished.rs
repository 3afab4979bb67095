//! What operators asked for: the line in the journal, and the sentence that answers them. Pure.

use super::events::{Event, Kind};
use super::knowledge::Knowledge;
use warden_logic::fleet::observed::ServerId;
use warden_logic::fleet::roll::Roll;
use warden_logic::fleet::wishes::{Granted, Pause, Word};

const PAUSED: &str = "no permit is given and nothing is begun by plan; what is out goes back as ever";

/// What is written down of a wish that was taken. `word`: whose it is.
pub(super) fn events(known: &Knowledge, granted: &Granted, word: &Word) -> Vec<Event> {
    let events = match granted {
        Granted::Paused(pause) => vec![Event::new(Kind::Paused, format!("paused by {word}{}: {PAUSED}", for_so_long(pause)))],
        Granted::Resumed(pause) => vec![Event::new(Kind::Resumed, format!("{word} ends the pause of {}", pause.word))],
        Granted::Drained(servers) => {
            let drained = |id| Event::of_server(known, Kind::Drained, id, format_args!("drained by {word}"));
            servers.iter().map(drained).collect()
        }
        Granted::Undrained(servers) => {
            let over = |(id, drain): &(ServerId, Word)| {
                Event::of_server(known, Kind::Undrained, id, format_args!("{word} ends the drain of {drain}"))
            };
            servers.iter().map(over).collect()
        }
        Granted::Rolled => known.wishes.roll().map(|roll| began(roll, word)).into_iter().collect(),
        Granted::RollEnded(of) => {
            vec![Event::new(Kind::RollEnded, format!("{word} ends the roll of {of}; what is under way comes to its own end"))]
        }
        Granted::RollForgotten(_) => Vec::new(),
    };
    events.into_iter().map(|event| Event { operator: Some(word.by.clone()), ..event }).collect()
}

fn began(roll: &Roll, word: &Word) -> Event {
    Event::new(Kind::RollBegan, format!("{word} rolls {}: {}", roll.backend(), extent(roll)))
}

fn extent(roll: &Roll) -> String {
    let (servers, most, soak) = (roll.targets().len(), roll.max_unavailable(), roll.soak());
    format!("{servers} servers, at most {most} at once, each well for {soak} before the next")
}

/// A pause ended by itself.
pub(super) fn ended(pause: &Pause) -> Event {
    let text = format!("the pause by {} is over{}", pause.word, for_so_long(pause).replacen(" for", " after", 1));
    Event { operator: Some(pause.word.by.clone()), ..Event::new(Kind::Resumed, text) }
}

fn for_so_long(pause: &Pause) -> String {
    pause.lasts.map_or(String::new(), |lasts| format!(", for {lasts}"))
}

/// The answer, after whatever follows from the wish was carried out.
pub(super) fn sentence(known: &Knowledge, granted: &Granted) -> String {
    match granted {
        Granted::Paused(pause) => {
            let until = pause.lasts.map_or("until `agentctl fleet resume`".to_owned(), |lasts| format!("for {lasts}"));
            format!("paused {until}: {PAUSED}")
        }
        Granted::Resumed(pause) => format!("no longer paused; it was by {}", pause.word),
        Granted::Drained(servers) => lines(servers.iter().map(|id| drained(known, id))),
        Granted::Undrained(servers) => lines(servers.iter().map(|(id, _)| undrained(known, id))),
        Granted::Rolled => known.wishes.roll().map_or_else(String::new, |roll| format!("rolling {}: {}", roll.backend(), extent(roll))),
        Granted::RollEnded(of) => format!("nothing more of the roll of {of} begins; what is under way comes to its own end"),
        Granted::RollForgotten(of) => format!("the roll of {of} was over; it is not shown any more"),
    }
}

fn lines(all: impl Iterator<Item = String>) -> String {
    all.collect::<Vec<_>>().join("\n")
}

fn drained(known: &Knowledge, id: &ServerId) -> String {
    match known.server(id) {
        None => format!("{id} is drained, and HAProxy does not have it"),
        Some(_) if !known.current => format!("{id} is drained; HAProxy does not answer, and hears of it when it does"),
        Some(server) if server.takes_traffic() => {
            let why = known.note(id).map_or("HAProxy has not confirmed it yet".to_owned(), ToString::to_string);
            format!("{id} is still in rotation: {why}")
        }
        Some(_) => format!("{id} is out of rotation, confirmed by HAProxy; what is in flight finishes"),
    }
}

fn undrained(known: &Knowledge, id: &ServerId) -> String {
    match known.server(id) {
        None => format!("{id} is no longer drained, and HAProxy does not have it"),
        Some(_) if !known.current => format!("{id} is no longer drained; HAProxy does not answer, and hears of it when it does"),
        Some(server) if server.takes_traffic() => format!("{id} is no longer drained, and in rotation"),
        Some(_) => match (known.note(id), known.ledger.verdict(id)) {
            (Some(note), _) => format!("{id} is no longer drained: {note}"),
            (None, Some(warden_logic::fleet::ledger::Verdict::Out(because))) => {
                format!("{id} is no longer drained, and stays out: {}", because.reason.text)
            }
            (None, _) => format!("{id} is no longer drained: in as soon as HAProxy's own check has passed afresh"),
        },
    }
}
