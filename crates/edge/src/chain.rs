//! The whole chain of an error on one line: the only way errors are printed.

use std::error::Error;
use std::fmt;

/// Displays an error and all its sources, joined by `: `. A source whose text the outer error already ends with is not repeated.
pub struct Chain<'e>(pub &'e (dyn Error + 'e));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            let text = error.to_string();
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            next = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);
    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }
    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|layer| layer as _)
        }
    }

    #[test]
    fn every_source_is_said_once() {
        let error = Layer("reading x", Some(Box::new(Layer("open: denied", Some(Box::new(Layer("denied", None)))))));
        assert_eq!(Chain(&error).to_string(), "reading x: open: denied");
    }
}
