//! The test data: how many rows each table has, and what is in row number n.
//!
//! Pure and without memory: a row depends on its number alone, so any part of a table can be made anywhere.

use std::ops::RangeInclusive;

use crate::database::pgtime::{Date, Timestamp};
use crate::splitmix::SplitMix;

/// 2000-01-01 to 2023-11-01, in days.
const SESSIONS_UNTIL: u64 = 8_705;
const MICROSECONDS_A_MINUTE: u64 = 60_000_000;

/// One table's size, and that of the tables it refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) kind: Kind,
    pub(super) rows: u32,
    customers: u32,
    movies: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Customers,
    Movies,
    Sessions,
}

impl Table {
    /// The three tables at this share of their full size, at least one row each.
    pub(super) fn at_scale(scale: f64) -> [Self; 3] {
        let part = |full: f64| (full * scale).round().max(1.0) as u32;
        let (customers, movies) = (part(500_000.0), part(29_000.0));
        let table = |kind, rows| Self { kind, rows, customers, movies };
        [table(Kind::Customers, customers), table(Kind::Movies, movies), table(Kind::Sessions, part(5_000_000.0))]
    }

    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Customers => "customers",
            Kind::Movies => "movies",
            Kind::Sessions => "sessions",
        }
    }

    /// The ids in portions, the last one perhaps smaller.
    pub(super) fn portions(&self, size: u32) -> impl Iterator<Item = RangeInclusive<u32>> + use<> {
        let rows = self.rows;
        (1..=rows).step_by(size as usize).map(move |first| first..=rows.min(first.saturating_add(size - 1)))
    }

    pub(super) fn session(&self, id: u32) -> Session {
        let mut numbers = numbers(self.kind, id);
        Session {
            id: i64::from(id),
            start_time: Timestamp((numbers.below(SESSIONS_UNTIL * 24 * 60) * MICROSECONDS_A_MINUTE) as i64),
            customer_id: 1 + numbers.below(u64::from(self.customers)) as i32,
            movie_id: 1 + numbers.below(u64::from(self.movies)) as i32,
        }
    }
}

/// Every row has a stream of its own: kind and id are the seed.
fn numbers(kind: Kind, id: u32) -> SplitMix {
    SplitMix::new(((kind as u64) << 32) | u64::from(id))
}

fn pick<'a>(numbers: &mut SplitMix, words: &[&'a str]) -> &'a str {
    let index = numbers.below(words.len() as u64) as usize;
    words.get(index).copied().unwrap_or_default()
}

pub(super) struct Customer {
    pub(super) id: i32,
    pub(super) name: &'static str,
    pub(super) surname: String,
    pub(super) birthday: Date,
    pub(super) email: String,
}

pub(super) struct Movie {
    pub(super) id: i32,
    pub(super) name: String,
    pub(super) year: i32,
    pub(super) duration: i32,
}

pub(super) struct Session {
    pub(super) id: i64,
    pub(super) start_time: Timestamp,
    pub(super) customer_id: i32,
    pub(super) movie_id: i32,
}

impl Customer {
    pub(super) fn row(id: u32) -> Self {
        let mut numbers = numbers(Kind::Customers, id);
        let name = pick(&mut numbers, &NAMES);
        let surname = format!("{}{}", pick(&mut numbers, &SURNAME_STEMS), pick(&mut numbers, &SURNAME_ENDS));
        Self {
            id: id as i32,
            name,
            // 1940 to 2009; the epoch is 2000.
            birthday: Date(numbers.below(70 * 365) as i32 - 60 * 365),
            email: format!("{}.{}.{id}@example.com", name.to_lowercase(), surname.to_lowercase()),
            surname,
        }
    }
}

impl Movie {
    pub(super) fn row(id: u32) -> Self {
        let mut numbers = numbers(Kind::Movies, id);
        Self {
            id: id as i32,
            name: format!("The {} {} {}", pick(&mut numbers, &QUALITIES), pick(&mut numbers, &THINGS), pick(&mut numbers, &PLACES)),
            year: 1920 + numbers.below(104) as i32,
            duration: 60 + numbers.below(140) as i32,
        }
    }
}

const NAMES: [&str; 24] = [
    "Ada", "Alan", "Barbara", "Boris", "Carol", "Dennis", "Edsger", "Elena", "Frances", "Grace", "Hedy", "Ivan", "Joan", "Ken", "Leslie",
    "Margaret", "Niklaus", "Olga", "Pavel", "Radia", "Sofia", "Tony", "Vera", "Yuri",
];

const SURNAME_STEMS: [&str; 32] = [
    "Abra", "Bel", "Cher", "Dol", "Efi", "Fro", "Gri", "Hol", "Iva", "Jur", "Kal", "Lev", "Mor", "Naz", "Orl", "Pet", "Rom", "Sav", "Tar",
    "Uva", "Vas", "Wol", "Yak", "Zim", "Bar", "Dan", "Fil", "Kor", "Lan", "Mir", "Pol", "Sok",
];

const SURNAME_ENDS: [&str; 16] =
    ["ov", "in", "sky", "enko", "berg", "mann", "son", "ski", "ev", "ich", "ley", "ton", "well", "ford", "stein", "uk"];

const QUALITIES: [&str; 24] = [
    "Broken",
    "Brave",
    "Cold",
    "Crimson",
    "Distant",
    "Eternal",
    "Final",
    "Forgotten",
    "Golden",
    "Hidden",
    "Iron",
    "Last",
    "Lonely",
    "Lost",
    "Midnight",
    "Quiet",
    "Restless",
    "Sacred",
    "Second",
    "Silent",
    "Stolen",
    "Sunken",
    "Twisted",
    "Winter",
];

const THINGS: [&str; 24] = [
    "Bridge", "Castle", "Crown", "Daemon", "Engine", "Forest", "Garden", "Harbor", "Island", "Journey", "King", "Letter", "Mirror", "Node",
    "Ocean", "Process", "Queen", "River", "Signal", "Station", "Storm", "Summer", "Tower", "Witness",
];

const PLACES: [&str; 12] = [
    "of Avalon",
    "of Berlin",
    "of Kazan",
    "of Lisbon",
    "of Minsk",
    "of Omsk",
    "of Prague",
    "of Riga",
    "of Tartu",
    "of Venice",
    "at Dawn",
    "Returns",
];

#[cfg(test)]
mod tests {
    use super::{Customer, Kind, Movie, Table};

    #[test]
    fn full_size_is_the_real_ones() {
        assert_eq!(Table::at_scale(1.0).map(|table| table.rows), [500_000, 29_000, 5_000_000]);
        assert_eq!(Table::at_scale(0.001).map(|table| table.rows), [500, 29, 5_000]);
        assert_eq!(Table::at_scale(1e-9).map(|table| table.rows), [1, 1, 1]);
    }

    #[test]
    fn portions_cover_every_id_once() {
        for table in Table::at_scale(0.000_33) {
            let ids: Vec<u32> = table.portions(100).flatten().collect();
            assert_eq!(ids, (1..=table.rows).collect::<Vec<_>>());
        }
    }

    #[test]
    fn sessions_refer_to_rows_that_exist() {
        let [customers, movies, sessions] = Table::at_scale(0.001);
        assert_eq!(sessions.kind, Kind::Sessions);
        let mut seen = [false; 30];
        for id in 1..=sessions.rows {
            let session = sessions.session(id);
            assert!((1..=customers.rows as i32).contains(&session.customer_id));
            assert!((1..=movies.rows as i32).contains(&session.movie_id));
            seen[session.movie_id as usize] = true;
        }
        assert!(seen[1] && seen[29], "first and last movie are both referred to");
    }

    #[test]
    fn rows_are_the_same_every_time() {
        assert_eq!(Customer::row(7).email, Customer::row(7).email);
        assert_ne!(Customer::row(7).email, Customer::row(8).email);
        assert!((1920..=2023).contains(&Movie::row(3).year));
    }
}
